# The project's doors. `make test` is all that a fresh Debian machine can run, and what CI runs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SEEDS ?= 20
KILLS ?= 10
# A seed of all faults takes minutes; say SEEDS=n for more.
FAULT_SEEDS := $(if $(filter command line environment,$(origin SEEDS)),$(SEEDS),2)

.PHONY: help venv check format test test-fast demo bench sim faults proto requirements clean

help:
	@echo "make demo    an emulated cluster, the daemon, and three example jobs"
	@echo "make check   format, lint, types, import arrows, generated code (seconds)"
	@echo "make test    make check and every test, the real Mesos included (minutes)"
	@echo "make sim     simulated clusters under faults, SEEDS=n"
	@echo "make faults  real daemons and etcd under faults, judged from outside, SEEDS=n KILLS=n"
	@echo "make bench   throughput and CPU time a task"

$(VENV)/installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

venv: $(VENV)/installed

check: venv
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m scheduler.protogen --check

format: venv
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

test: check
	$(BIN)/pytest -n 2 --dist loadgroup

test-fast: venv
	$(BIN)/pytest -m "not real_mesos and not slow"

sim: venv
	OFFERD_SIMULATION_SEEDS=$(SEEDS) $(BIN)/pytest tests/simulation

faults: venv
	OFFERD_FAULT_SEEDS=$(FAULT_SEEDS) OFFERD_FAULT_KILLS=$(KILLS) $(BIN)/pytest tests/faults

bench: venv
	$(BIN)/python -m benchmarks

demo: $(VENV)/runs
	@$(BIN)/offerd dev --jobs config/jobs

$(VENV)/runs: requirements/run.txt pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

proto: venv
	$(BIN)/python -m scheduler.protogen

requirements: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		--extra test --extra check pyproject.toml -o requirements/dev.txt
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' \
		| $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		- -o requirements/build.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo dist build
