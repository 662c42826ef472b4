# Everything a fresh machine with Python 3.11 or newer and make needs. Each target sets up what is missing first.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test app check bench

help:
	@echo "make demo    load the demo pairs, train, evaluate, triage, open the app (APP=no stops before the app)"
	@echo "make app     the app on your own store"
	@echo "make test    all tests"
	@echo "make check   lint, types and layers"
	@echo "make bench   the benchmarks that need no data (DATA=FOLDER runs those on real preference data too)"

setup: $(STAMP)

# torch goes in first and alone, so that the build that this machine's index offers is kept by what depends on it.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Tiebreak needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "Making a virtual environment in .venv"; $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "Installing Tiebreak and what it needs into .venv (a few minutes, once)"
	@$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: setup
	@$(BIN)/tiebreak --store .tiebreak/demo.db demo $(if $(filter no,$(APP)),--no-app)

app: setup
	@$(BIN)/tiebreak app

test: setup
	@$(BIN)/python -m pytest

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_layers.py tests/test_words.py

bench: setup
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,bench]"
	@$(BIN)/python -m tests.benchmarks $(NAMES) $(if $(DATA),--data $(DATA)) $(if $(KEEP),--keep $(KEEP))
