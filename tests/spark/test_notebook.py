import time

import pytest
from jupyter_client.manager import start_new_kernel

LONG = """
import time
from maggy import Float, Searchspace, experiment

def train_fn(x, reporter):
    print("going")
    for _ in range(1000):
        reporter.broadcast(x)
        time.sleep(0.02)
    return x

space = Searchspace(x=Float(0, 1))
result = experiment.lagom(train_fn, space, num_trials=20, name="long", num_executors=2, verbose=True)
"""
pytestmark = [
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),  # of Jupyter's own parts
]


def test_interrupting_the_kernel_returns_a_result(tmp_path):
    """The stop button ends trials and jobs within seconds, and the study can be resumed."""
    manager, client = start_new_kernel(cwd=str(tmp_path))
    try:
        client.execute(LONG)
        while "going" not in client.get_iopub_msg(timeout=90)["content"].get("text", ""):
            pass  # what the trials print comes live, as verbose=True asks for
        manager.interrupt_kernel()
        interrupted = time.monotonic()
        after = client.execute_interactive(
            "print(result.interrupted, len(result.trials))", timeout=30, output_hook=said
        )
        assert after["content"]["status"] == "ok"
        assert time.monotonic() - interrupted < 5
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "True 2" in "".join(SAID)


SAID = []


def said(message):
    SAID.append(message["content"].get("text", ""))
