# Every target does its own set-up: Python >= 3.11 and make are all a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One thread a worker: two workers with two threads each would fight over the cores.
WORKERS ?= 2
# A second environment, with the oldest versions that pyproject.toml allows; about 6 GB. Old releases use what newer ones
# beside them deprecate (timm 1.0.20 torch.jit.interface), which is no fault of medfeat's.
OLDEST := .venv-oldest
OLDEST_TESTS ?= tests/cache tests/medfeat/heads tests/medfeat/evaluation tests/medfeat/backbones
TEST_TOOLS := datasets pytest pytest-timeout pytest-xdist psutil pyyaml statsmodels
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: help demo test test-oldest lint bench gpu soak mutants docs format clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "medfeat needs Python 3.11 or newer, found " + sys.version.split()[0] + ": set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## the whole main job on made-up images, without a network, in under a minute
	$(BIN)/medfeat demo

test: $(READY) ## all quick tests
	$(PYTEST) -n $(WORKERS) -m "not slow and not network and not gpu"

$(OLDEST)/.ready: pyproject.toml tools/oldest.py | $(READY)
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(BIN)/python tools/oldest.py $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(OLDEST)/constraints.txt --editable '.[dicom,nifti,parquet,excel,tensorboard,onnx,lite,fast,dask,gpu]' $(TEST_TOOLS)
	@touch $@

test-oldest: $(OLDEST)/.ready ## tests of store, heads, evaluation, backbones with the oldest versions that are allowed
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n $(WORKERS) -p no:cacheprovider -W ignore::DeprecationWarning -m "not slow and not network and not gpu" $(OLDEST_TESTS)

lint: $(READY) ## ruff, mypy strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure, and write benchmarks/results/
	MEDFEAT_BENCH=1 $(BIN)/python -m pytest benchmarks -s --timeout=0

gpu: ## try every claim about GPUs on one and measure, in under 9 minutes; WHEELS=DIR brings what is not installed
	$(PYTHON) tools/check_gpu.py $(if $(WHEELS),--wheels $(WHEELS))

soak: $(READY) ## the long tests: every backbone, hundreds of kills, every hostile input
	$(PYTEST) -m slow --timeout=0 -s

mutants: $(READY) ## change the code in one place at a time, and list the changes that no test sees
	$(BIN)/python tools/mutation_sample.py --count 60

docs: $(READY) ## regenerate the pages that are made from the code, and build all pages into site/
	$(BIN)/python tools/make_docs.py
	$(BIN)/python tools/make_growth.py
	$(BIN)/python benchmarks/scale_plans.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## remove the environment and every cache
	rm -rf $(VENV) $(OLDEST) site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist build
