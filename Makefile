# Every target except clean creates .venv, and reinstalls if requirements.txt or
# pyproject.toml changed.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: train results test test-all lint clean

train: $(INSTALLED)  ## train a UNet on the bundled images; options in ARGS
	$(BIN)/python scripts/train_unet.py --down strided --up upsample --loss dice $(ARGS)

results: $(INSTALLED)  ## rebuild tables and figures from results/*.json and saved_models/
	$(BIN)/python experiments/compare_unets.py --no-train
	$(BIN)/python experiments/compare_cvaes.py --no-train
	$(BIN)/python experiments/tables.py

test: $(INSTALLED)  ## the fast tests
	$(BIN)/pytest

test-all: $(INSTALLED)  ## the slow tests too
	$(BIN)/pytest -m "slow or not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(INSTALLED): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Expected Python 3.11 to 3.13; received %d.%d. Name one by: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

clean:  ## remove the environment; runs and SavedModels stay
	rm -rf .venv *.egg-info
