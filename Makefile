# `make` lists what there is. Every target first installs the packages that it needs, if they are missing.

PROFILE ?= quick
PROTOCOL ?= corrected
DATA ?= data/sample
STUDY ?=
SEEDS ?=
EPOCHS ?=
PATIENCE ?=
TRAIN ?=
VAL ?=
TEST ?=
STAGES ?=
SKIP ?=
TIME ?=
REPORT ?=
RUNS ?= reports/runs
SCHEDULER ?=
FRESH ?=
PRECISION ?= float32
HALVING ?=
SPLITS ?=
SIZE ?=
ACCEPT ?=
TRUST ?=
REMOVE ?=

PYTHON ?=
BIN := .venv/bin
READY := .venv/.ready
READY_DEV := .venv/.ready-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE = $(BIN)/uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" --upgrade --quiet

# A value as one word of the shell. From the command line or the environment, it is used as it is, without
# a special meaning of `$`.
quoted = '$(subst ','\'',$(if $(filter file,$(origin $(1))),$($(1)),$(value $(1))))'

# Options of cnnlab: those of some variables that are not empty, and flags for those that are 1.
option = $(if $(value $(1)),--$(2) $(call quoted,$(1)))
flag = $(if $(filter 1,$(value $(1))),--$(2))
BUDGET = --profile $(call quoted,PROFILE) $(call option,SEEDS,seeds) $(call option,EPOCHS,epochs) \
	$(call option,PATIENCE,patience) $(call option,TRAIN,train) $(call option,VAL,val) $(call option,TEST,test) \
	$(call option,STAGES,stages) $(call option,SKIP,skip)
STUDY_OPTIONS = $(call option,STUDY,study) --protocol $(call quoted,PROTOCOL) --data $(call quoted,DATA) $(BUDGET) \
	--runs $(call quoted,RUNS) $(call option,SCHEDULER,scheduler) $(call flag,FRESH,fresh) \
	--precision $(call quoted,PRECISION) $(call flag,HALVING,halving) $(call option,ACCEPT,accept) \
	$(call option,SIZE,size) $(call option,SPLITS,splits) $(call option,TIME,time) $(call flag,TRUST,trust)

VARIABLES := PROFILE PROTOCOL DATA STUDY SEEDS EPOCHS PATIENCE TRAIN VAL TEST STAGES SKIP TIME REPORT RUNS SCHEDULER \
	FRESH PRECISION HALVING SPLITS SIZE ACCEPT TRUST REMOVE PYTHON BIN
unknown := $(filter-out $(VARIABLES),$(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name))))
ifneq ($(unknown),)
$(error Expected variables named $(VARIABLES). Received: $(unknown))
endif
$(foreach name,FRESH HALVING TRUST,$(if $(filter-out 0 1 no,$(value $(name))),\
	$(error Expected $(name) to be 1, 0, no or empty. Received: $(value $(name)))))

.DEFAULT_GOAL := help
.PHONY: help report plan runs test lab data lint lock clean

help: ## Show this list
	@echo "Targets:"
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16
	@echo
	@echo "Variables of make report and make plan (now):"
	@echo "  DATA=$(DATA)    folder or archive of images, see data/README.md"
	@echo "  SIZE=$(SIZE)    height and width of the images, as 48 or 48x64; none: their own if all are alike and at most 64, else 32"
	@echo "  STUDY=$(STUDY)    study file, see docs/studies.md, or recipe; none: the published study"
	@echo "  PROFILE=$(PROFILE)    how much is run: smoke, quick, laptop, full"
	@echo "  SEEDS=$(SEEDS) EPOCHS=$(EPOCHS) PATIENCE=$(PATIENCE) TRAIN=$(TRAIN) VAL=$(VAL) TEST=$(TEST)"
	@echo "                  numbers that differ from the profile's: seeds, epochs, images"
	@echo "  TIME=$(TIME)    the largest budget that fits, as 2h or 90m"
	@echo "  STAGES=$(STAGES)    stages to run, as dropout,loss; all,mistakes adds the mistakes"
	@echo "  SKIP=$(SKIP)    stages to skip"
	@echo "  PROTOCOL=$(PROTOCOL)    how it is run: corrected, published"
	@echo "  REPORT=$(REPORT)    folder of the report; none: reports/, then the study or the profile"
	@echo "  RUNS=$(RUNS)    folder of stored runs"
	@echo "  SCHEDULER=$(SCHEDULER)    address of a Dask scheduler; none: this machine"
	@echo "  FRESH=$(FRESH)    1: repeat stored runs too"
	@echo "  PRECISION=$(PRECISION)    of the fits: float32, mixed_bfloat16"
	@echo "  HALVING=$(HALVING)    1: drop trials of a stage with low scores early"
	@echo "  SPLITS=$(SPLITS)    training and validation images: resampled (for each seed), fixed"
	@echo "  ACCEPT=$(ACCEPT)    kinds of warnings about the images to accept, as near-copies,layout"
	@echo "  TRUST=$(TRUST)    1: run the code of the study's own model"
	@echo "  PYTHON=$(PYTHON)    the Python that makes .venv, if there is none yet; none: python3.13 to python3.11, or python3"

# If make is killed, no process keeps running.
report: $(READY) ## Run every stage that is not stored yet and write the report
	@CNNLAB_END_WITH_PARENT=$$PPID exec $(BIN)/cnnlab report $(STUDY_OPTIONS) $(call option,REPORT,report)

plan: $(READY) ## Estimate what make report would take: runs, epochs, disk, time
	@CNNLAB_END_WITH_PARENT=$$PPID exec $(BIN)/cnnlab plan $(STUDY_OPTIONS)

runs: $(READY) ## Count stored runs; REMOVE=unused or REMOVE=all removes them
	@$(BIN)/cnnlab runs --runs $(call quoted,RUNS) $(call option,REMOVE,remove)

test: $(READY_DEV) ## Run every test, slow ones too
	@$(BIN)/python -m pytest -n auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder

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

clean: ## Remove reports, caches and the built-in sample; stored runs and the environment stay
	@rm -rf data/sample .pytest_cache .mypy_cache .ruff_cache
	@if [ -d reports ]; then find reports -mindepth 1 -maxdepth 1 ! -name runs \
		-exec sh -c 'ls "$$1"/*.run >/dev/null 2>&1 || rm -rf "$$1"' _ {} \;; fi

$(READY): requirements.lock pyproject.toml
	@set -e; for python in $(if $(value PYTHON),$(call quoted,PYTHON),python3.13 python3.12 python3.11 python3); do \
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
