# `make` lists what there is. Every target first installs the packages that it needs, if they are missing.

PROFILE ?= quick
PROTOCOL ?= corrected
DATA ?= data/sample
REPORT ?= reports/$(PROFILE)
RUNS ?= reports/runs
SCHEDULER ?=
FRESH ?=
PRECISION ?= float32
HALVING ?=
ACCEPT ?=

PYTHON ?=
BIN := .venv/bin
READY := .venv/.ready
READY_DEV := .venv/.ready-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE = $(BIN)/uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" --upgrade --quiet

# A value as one word of the shell. From the command line or the environment, it is taken letter by letter: no $ in it is
# expanded.
quoted = '$(subst ','\'',$(if $(filter file,$(origin $(1))),$($(1)),$(value $(1))))'

.DEFAULT_GOAL := help
.PHONY: help report test lab data lint lock clean

help: ## Show this list
	@echo "Targets:"
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16
	@echo
	@echo "Variables of make report (now):"
	@echo "  PROFILE=$(PROFILE)    how much is run: smoke, quick, full"
	@echo "  PROTOCOL=$(PROTOCOL)    how it is run: corrected, published"
	@echo "  DATA=$(DATA)    folder or archive of images, see data/README.md"
	@echo "  REPORT=$(REPORT)    folder of the report"
	@echo "  RUNS=$(RUNS)    folder of stored runs"
	@echo "  SCHEDULER=$(SCHEDULER)    address of a Dask scheduler; none: this machine"
	@echo "  FRESH=$(FRESH)    1: repeat stored runs too"
	@echo "  PRECISION=$(PRECISION)    of the fits: float32, mixed_bfloat16"
	@echo "  HALVING=$(HALVING)    1: drop hopeless trials of a stage early"
	@echo "  ACCEPT=$(ACCEPT)    kinds of warnings about the images to accept, as near-copies,layout"

# Even make killed outright leaves nothing running.
report: $(READY) ## Run every stage that is not stored yet and write the report
	@CNNLAB_END_WITH_PARENT=$$PPID exec $(BIN)/cnnlab report --profile $(call quoted,PROFILE) \
		--protocol $(call quoted,PROTOCOL) --data $(call quoted,DATA) --report $(call quoted,REPORT) \
		--runs $(call quoted,RUNS) $(if $(SCHEDULER),--scheduler $(call quoted,SCHEDULER)) \
		$(if $(filter 1,$(FRESH)),--fresh) --precision $(call quoted,PRECISION) $(if $(filter 1,$(HALVING)),--halving) \
		--accept $(call quoted,ACCEPT)

test: $(READY_DEV) ## Run every test, slow ones too
	@$(BIN)/python -m pytest -n auto --maxprocesses 2 --dist loadfile

lab: $(READY) ## Open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=. notebooks/00-start.ipynb

data: $(READY) ## Download the real CIFAR-10 into data/cifar10, checksummed
	@$(BIN)/cnnlab data fetch data/cifar10

lint: $(READY_DEV) ## Check format, style, types and imports
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

# The second step resolves everything at the versions of the first, then keeps the packages that requirements.lock lacks.
lock: $(READY_DEV) ## Renew both lock files from pyproject.toml
	@$(COMPILE) --output-file requirements.lock
	@$(COMPILE) --group dev --constraint requirements.lock --output-file .venv/all.lock
	@awk 'NR == FNR { locked[$$0]; next } /^[a-z0-9]/ { skip = $$0 in locked } !skip' requirements.lock .venv/all.lock \
		> requirements-dev.lock

clean: ## Remove reports (and the stored runs in them), caches and the built-in sample; the environment stays
	@rm -rf reports data/sample .pytest_cache .mypy_cache .ruff_cache

$(READY): requirements.lock pyproject.toml
	@set -e; for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
		if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then \
			echo "Making .venv with $$("$$python" --version) and what a report needs (about 2.8 GB; a few minutes)"; \
			"$$python" -m venv .venv; \
			$(PIP) --require-hashes -r requirements.lock; \
			$(PIP) --no-deps --no-build-isolation -e .; \
			touch $@; exit 0; \
		fi; \
	done; \
	echo "Expected Python 3.11, 3.12 or 3.13. Received: none of them. Name one: make PYTHON=/path/to/python3.11" >&2; exit 2

$(READY_DEV): $(READY) requirements-dev.lock
	@echo "Adding what tests and checks need to .venv (about 0.7 GB; a minute)"
	@$(PIP) --require-hashes -r requirements.lock -r requirements-dev.lock
	@touch $@
