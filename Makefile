# `make bench` measures the first suite on this machine, `make test` does all the set-up and tests the harness.
# Both build their environment in .venv/, from pyproject.toml alone. `make help` lists every target.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

# SYSTEM=no: install no Debian package; tests that need one are then skipped and say so.
SYSTEM ?= yes
# Most tests wait for a device, so three run side by side on two processors. Files are begun in the order of the folders,
# the longest ones early: the default, by the number of tests, leaves files of few and long ones for the end.
PARALLEL := -n 3 --dist=loadfile --no-loadscope-reorder
# Tests that start no device, no server and no browser, but for two: test_house.py runs what `make lint` and `make type`
# run, and those of COUNTING count errors of intervals in thousands of trials for more than a minute.
COUNTING := tests/unit/test_noise.py tests/unit/test_non_inferiority.py
PURE := tests/unit tests/lab_files --ignore=tests/unit/test_house.py $(COUNTING:%=--ignore=%)

# Shown at the end of a campaign by pytest-benchmark, which knows more columns.
COLUMNS_SHOWN := median,iqr,min,max,rounds
# Figures that are counts of trials: few in `make test`, as many as the promise says in `make nightly`.
COUNTED := false_alarms controls power throttling
COUNTED_HERE := $(COUNTED:%=tests/benchmarks/test_%.py)

# What `make table` measures, and where: `vm` is an aarch64 board that this machine emulates, whose floats are
# slow, so that the phantom is measured there on fewer images.
TABLE := local:breastmnist local:ultrasound-robust vm:breastmnist vm:ultrasound-board

.PHONY: help bench table lint type unit test nightly figures clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST)

bench: .venv/.bench  ## measure suites/ultrasound.toml on this machine
	$(BIN)/pytest suites/ultrasound.toml --device local --benchmark-columns=$(COLUMNS_SHOWN)

# Cases that fail their suite's [accept] are rows like others: pytest's 1 is no error here.
table: .venv/.test  ## models x techniques x accuracies and costs, also corrupted and attacked, on two devices
	SYSTEM=$(SYSTEM) .ci/system
	@for one in $(TABLE); do \
	  device=$${one%%:*}; suite=$${one#*:}; test $$device != vm || $(BIN)/edgeward lab up vm || exit; \
	  begun=$$(date +%s); $(BIN)/pytest suites/$$suite.toml --device $$device --quick; code=$$?; \
	  echo "table: $$suite on $$device took $$(($$(date +%s) - begun)) s"; test $$code -le 1 || exit $$code; \
	done
	$(if $(filter vm:%,$(TABLE)),$(BIN)/edgeward lab down vm)
	$(BIN)/edgeward table --format html --out reports/html/table.html
	$(BIN)/edgeward table --out reports/html/table.md
	@echo "table: reports/html/table.html and table.md"

lint: .venv/.test  ## ruff (rules and format) and the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: .venv/.test  ## mypy, strict, over harness, tests, devices and suites
	$(BIN)/mypy

unit: .venv/.test  ## the pure tests: no device, no server, no browser
	$(BIN)/pytest $(PURE) $(PARALLEL) -q

# Most tests are of real devices, which share this machine with each other and with whatever else runs here. A test that
# fails is therefore tried a second time, by itself: what is wrong fails twice. Both are printed, so a test that
# needs it is seen and mended. An ending of pytest itself (any code but 1) is not tried again.
define tried
	$(BIN)/pytest $(1) $(2) || { test $$? = 1 && echo "tried again, each by itself:" && \
	  $(BIN)/pytest $(1) --last-failed --last-failed-no-failures=none --exitfirst -s; }
endef

# All of it, lint and types included (tests/unit/test_house.py). Tests that compare speeds run alone.
test: .venv/.test  ## every test; installs the Debian packages they need, unless SYSTEM=no
	SYSTEM=$(SYSTEM) .ci/system
	$(call tried,tests --ignore=tests/benchmarks,$(PARALLEL) --durations=30)
	$(call tried,tests/benchmarks,-s --durations=15)

nightly: test figures  ## every test, then the figures at full counts: hours

# The figures that the project promises, printed as they are measured.
figures: .venv/.test  ## overhead, false alarms, power and the rest, counted as often as the promise says
	EDGEWARD_FUZZ_S=600 $(BIN)/pytest tests/faults/test_fuzz.py -s
	EDGEWARD_TRIALS=300 $(BIN)/pytest tests/benchmarks/test_false_alarms.py -s
	EDGEWARD_TRIALS=300 $(BIN)/pytest tests/benchmarks/test_controls.py -s
	EDGEWARD_TRIALS=100 $(BIN)/pytest tests/benchmarks/test_power.py -s
	EDGEWARD_TRIALS=50 $(BIN)/pytest tests/benchmarks/test_throttling.py -s
	EDGEWARD_TRIALS=200 EDGEWARD_KILLS=40 $(BIN)/pytest tests/benchmarks $(COUNTED_HERE:%=--ignore=%) tests/unit/test_stats.py $(COUNTING) tests/unit/test_percentiles.py tests/devices/test_footprints.py tests/devices/test_held_devices.py -s

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.bench: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/.test: pyproject.toml .venv/.bench
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:  ## remove the environment and the caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .benchmarks
