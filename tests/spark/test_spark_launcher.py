import pytest

from maggy.driver.spark import brief

FRAMES = "\n\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.x(PythonRunner.scala:1)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "An error occurred while calling z.\n: org.apache.spark.SparkException: Job aborted due to stage failure: "
            "Task 0 in stage 1.0 failed 1 times, most recent failure: Lost task 0.0 (TID 3): "
            'org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n  File "a.py", line 1\n'
            f"KeyError: 'x'\n{FRAMES}\n\nDriver stacktrace:\n\tat x.y(z)",
            "KeyError: 'x'",
        ),
        (
            "An error occurred\n: org.apache.spark.SparkException: Job aborted: Lost task 0.0: org.apache.spark."
            f"SparkException: Python worker exited unexpectedly (crashed){FRAMES}\nDriver stacktrace:\n\tat x",
            "Job aborted: Lost task 0.0: org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)",
        ),
        (
            "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n"
            '  File "worker.py", line 4174, in invoke_udf\n    check(version)\n'
            "pyspark.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] 3.12 is not 3.11.\nPlease check PYSPARK_PYTHON.",
            "pyspark.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] 3.12 is not 3.11. Please check PYSPARK_PYTHON.",
        ),
        ("Job 3 cancelled part of cancelled job group", "Job 3 cancelled part of cancelled job group"),
    ],
)
def test_a_failed_job_is_told_in_a_line(text, expected):
    """Of the pages of stack traces the line remains that says why."""
    assert brief(text) == expected
