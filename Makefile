# The README's two commands do all the set-up:
#   make demo   find sounds by a phrase, a picture and a sound, in a small real corpus
#   make test   lint, types, tests
# demo installs what everyday work needs, test everything, in the versions that constraints.txt says
# were tested.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
# What everyday work needs, and no PyTorch: the tests marked "everyday" run there, too.
LIGHT := .venv-light
LIGHT_STAMP := $(LIGHT)/.installed
# A server of the S3 protocol for tests; it and the project need different versions of the same.
S3 := .venv-s3
S3_STAMP := $(S3)/.installed
LIGHT_TOOLS := hypothesis pytest pytest-timeout pytest-xdist httpx2

.PHONY: demo test lint types unit light bench docs clean help

help:
	@sed -n 's/^#   //p' Makefile

demo: $(STAMP)
	$(BIN)/wav2clip demo

test: lint types unit light

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP)
	$(BIN)/mypy

# One process per core, each with one thread: threads of several processes would wait for each other.
# Tests that share something costly, such as a Ray cluster, are of one group and run in one process.
unit: $(DEV_STAMP) $(S3_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadgroup

light: $(LIGHT_STAMP) $(S3_STAMP)
	OMP_NUM_THREADS=1 $(LIGHT)/bin/python -m pytest -n auto --dist loadgroup -m everyday

bench: $(DEV_STAMP)
	$(BIN)/python benchmarks/bench.py

$(VENV):
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "wav2clip needs Python 3.11 or newer, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(VENV)
	@echo "installing wav2clip into $(VENV), which takes a minute or two"
	$(PIP) -e .
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(PIP) torch
	$(PIP) -e '.[dev]'
	@touch $@

$(LIGHT_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt -e . $(LIGHT_TOOLS)
	@touch $@

$(S3_STAMP): constraints-s3.txt
	$(PYTHON) -m venv $(S3)
	$(S3)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints-s3.txt 'moto[s3]' flask flask-cors
	@touch $@

clean:
	rm -rf $(VENV) $(LIGHT) $(S3) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
