# Two commands: `make bench` measures the first suite on this machine, `make test` tests the harness.
# Both build their environment in .venv/, from pyproject.toml alone.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Shown at the end of a campaign by pytest-benchmark, which knows more columns.
COLUMNS_SHOWN := median,iqr,min,max,rounds

# Figures that are counts of trials: few in the tests, as many as the promise says here.
COUNTED := false_alarms power throttling

.PHONY: bench test figures clean

bench: .venv/.bench
	$(BIN)/pytest suites/ultrasound.toml --device local --benchmark-columns=$(COLUMNS_SHOWN)

# Most tests wait for a device, so two run side by side; those that compare speeds are alone.
test: .venv/.test
	.ci/system
	$(BIN)/pytest tests --ignore=tests/benchmarks -n 2 --dist=loadfile
	$(BIN)/pytest tests/benchmarks -s

# The figures that the project promises, printed as they are measured.
figures: .venv/.test
	EDGEWARD_TRIALS=300 $(BIN)/pytest tests/benchmarks/test_false_alarms.py -s
	EDGEWARD_TRIALS=100 $(BIN)/pytest tests/benchmarks/test_power.py -s
	EDGEWARD_TRIALS=50 $(BIN)/pytest tests/benchmarks/test_throttling.py -s
	EDGEWARD_TRIALS=200 $(BIN)/pytest tests/benchmarks $(COUNTED:%=--ignore=tests/benchmarks/test_%.py) tests/unit/test_stats.py tests/unit/test_noise.py tests/unit/test_percentiles.py tests/devices/test_footprints.py -s

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.bench: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/.test: pyproject.toml .venv/.bench
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .benchmarks
