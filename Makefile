# Everything a developer or a reader runs. `make` alone lists it.
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
JOBS ?= 1
MINUTES ?= 5

.DEFAULT_GOAL := help
.PHONY: help setup demo serve-demo check format test test-long mutants docs clean fuzz kill-battery soak

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install lexirec with the pinned dependencies (once)

demo: $(STAMP) ## the main job on the built-in toy shop: train, measure, recommend
	$(BIN)/lexirec demo

serve-demo: $(STAMP) ## train the toy shop once and serve it: http://127.0.0.1:8000/shop/ and /workbench/
	$(BIN)/lexirec run lexirec:toy-gram.toml --store demo/store
	$(BIN)/lexirec serve toy-gram --store demo/store

check: $(STAMP) ## format, lint, types and the layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## format the code and fix what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# One thread a worker: two workers on two cores must not fight over them.
test: $(STAMP) check ## everything in check, then the tests but for the long ones
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) -m "not long"

test-long: $(STAMP) ## the long tests: tutorials, the site, kills, whole experiments
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) -m long

# Takes about ten minutes of one idle core: not part of `test`. JOBS=4 tries four at a time.
mutants: $(STAMP) ## break some sixty important lines, one at a time: a test has to fail each time
	$(BIN)/python benchmarks/mutants.py --jobs $(JOBS)

kill-battery: $(STAMP) ## kill, damage and change runs of both families at random moments: they end as undisturbed ones
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/kill_battery.py

fuzz: $(STAMP) ## 2,000 pairs of tables as people have them through init, plan and run --until data (an hour)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fuzz_tables.py --tables 2000

soak: $(STAMP) ## serve the toy shop under mixed traffic for five minutes, then four times its capacity: it neither grows nor fails
	$(BIN)/lexirec run lexirec:toy-gram.toml --store demo/store
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/soak.py --store demo/store --minutes $(MINUTES)

# Strict: a broken link or anchor, an unresolved reference or any other warning fails. Nothing is loaded from elsewhere.
docs: $(STAMP) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) site .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# `ensurepip` is missing on some systems: then the environment is made without pip, and the system's pip fills it.
# Byte code is left to the first import: compiling all sixteen thousand files of the dependencies takes longer than unpacking.
$(STAMP): pyproject.toml $(wildcard constraints.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "lexirec needs Python 3.11 or newer, and $(PYTHON) is older; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install --quiet pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile $(PIP_ARGS) \
	  $(addprefix -c ,$(wildcard constraints.txt)) --editable ".[dev]"
	@touch $(STAMP)
