# The README's two commands do all the set-up:
#   make demo   find sounds by a phrase, a picture and a sound, in a small real corpus
#   make test   lint, types, tests
# Both make .venv if it is not there and install into it what constraints.txt says was tested.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
# A server of the S3 protocol for tests; it and the project need different versions of the same.
S3 := .venv-s3
S3_STAMP := $(S3)/.installed

.PHONY: demo test lint types unit bench docs clean help

help:
	@sed -n 's/^#   //p' Makefile

demo: $(STAMP)
	$(BIN)/wav2clip demo

test: lint types unit

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP)
	$(BIN)/mypy

# One process per core, each with one thread: threads of several processes would wait for each other.
# Tests that share something costly, such as a Ray cluster, are of one group and run in one process.
unit: $(DEV_STAMP) $(S3_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadgroup

bench: $(DEV_STAMP)
	$(BIN)/python benchmarks/bench.py

$(VENV):
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "wav2clip needs Python 3.11 or newer, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(VENV)
	@echo "installing wav2clip into $(VENV), which takes a minute or two"
	$(PIP) torch
	$(PIP) -e .
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(PIP) -e '.[dev]'
	@touch $@

$(S3_STAMP): constraints-s3.txt
	$(PYTHON) -m venv $(S3)
	$(S3)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints-s3.txt 'moto[s3]' flask flask-cors
	@touch $@

clean:
	rm -rf $(VENV) $(S3) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
