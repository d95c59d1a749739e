# Two commands are enough on a new machine: make train, make test. Both make .venv first, once.
#   make train ARGS="loss=wgan_gp data=ring"      make test ARGS="-k ema"
#   make PYTHON=python3.12 VENV=~/venvs/gan train  uses another Python, or keeps an environment you have

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup train sweep conditionings report test test-all test-slow lint format smoke bench mutants site clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev  ## install gantrain editable with everything developers need

train: $(VENV)/.run  ## train on the digits (ARGS="loss=… data=…" for anything else)
	@$(BIN)/gantrain $(ARGS)

conditionings: $(VENV)/.sweep  ## which conditioning? seven, three seeds each, on the digits, and their report (about twenty-five minutes)
	@$(BIN)/gantrain -m conditioning=none,concat,projection,acgan,adcgan,multi_hinge,reacgan 'seed=range(3)' data=digits \
	  budget=d_updates budget.amount=4000 hydra/launcher=joblib run.root=outputs/conditionings $(ARGS); \
	code=$$?; $(BIN)/gantrain-report outputs/conditionings && exit $$code

sweep: $(VENV)/.sweep  ## which loss? four losses, three seeds each, on the digits, and their report (about eight minutes)
	@$(BIN)/gantrain -m experiment=compare_losses loss=vanilla,lsgan,wgan_gp,hinge 'seed=range(3)' data=digits \
	  budget=d_updates budget.amount=4000 hydra/launcher=joblib run.root=outputs/sweep $(ARGS); \
	code=$$?; $(BIN)/gantrain-report outputs/sweep && exit $$code

report: $(VENV)/.run  ## compare all runs in outputs/ (ARGS="DIR… out=FILE.html" for others)
	@$(BIN)/gantrain-report $(if $(ARGS),$(ARGS),outputs)

test: $(VENV)/.test  ## run the tests, in about eight minutes on two cores (ARGS=tests/losses or "-k word" for some)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

test-all: $(VENV)/.test  ## run them for every loss and every case too
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not slow' $(ARGS)

test-slow: $(VENV)/.test  ## run the longer proofs: trainings that must reach a target
	@$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(VENV)/.dev  ## check format, style and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(VENV)/.dev  ## rewrite files in the house style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

smoke: $(VENV)/.run  ## train every loss for 20 steps through the real command
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(BIN)/gantrain -m 'loss=glob(*)' data=digits,ring total_steps=20 hydra.sweep.dir="$$folder" $(ARGS)

bench: $(VENV)/.run  ## measure speed of steps and of reading, and write docs/performance.md (ARGS=--quick: five minutes, ARGS=--guard: one, steps alone)
	@$(BIN)/python scripts/bench/train_step.py $(ARGS)
	@$(if $(findstring --guard,$(ARGS)),true,$(BIN)/python scripts/bench/loading.py $(filter --quick,$(ARGS)) >&2)

mutants: $(VENV)/.dev  ## plant 60 faults and print those that no test notices (long; ARGS=--quick: less)
	@$(BIN)/python scripts/mutants.py $(ARGS)

site: $(VENV)/.docs  ## build the documentation into site/, strictly: every link and anchor must lead somewhere
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build $(ARGS)

clean:  ## remove caches and builds; runs and .venv stay
	@rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache

# Stamps: an environment is installed once, and again when pyproject.toml changes.
$(VENV)/.run: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and f"gantrain needs Python 3.11, 3.12 or 3.13; {sys.executable} is {sys.version.split()[0]}. Name another: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing gantrain into $(VENV) (torch is large: minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.sweep: $(VENV)/.run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[sweep]'
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
