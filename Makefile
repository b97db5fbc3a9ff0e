# Two commands do everything: `make run` and `make test`. The rest are their parts and the benches.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Everything is installed once per change of the files that say what to install.
INSTALLED := $(VENV)/.installed

.PHONY: run test install lint types proto clean experts

run: install
	@$(BIN)/python -m expertd.daemon.main

test: install lint types
	$(BIN)/python -m pytest

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

proto: install
	$(BIN)/python proto/generate.py

# bench-start, bench-route, bench-swap, …: each file in bench/ with a figure prints a table and writes
# build/bench/<name>.json.
bench-%: install
	$(BIN)/python -m bench.$*

# All that was trained, anew, from the data sets in ../shared/data (or $$EXPERTD_DATA): the trunk, whose weights come from
# the model hub; what the router knows of requests and of languages; the experts on the trunk; those without it.
experts: install
	$(BIN)/python -m expertd.distill.trunk --out build/trunk
	$(BIN)/python -m expertd.distill.background --trunk build/trunk
	$(BIN)/python -m expertd.distill.language
	$(BIN)/python -m expertd.distill.spam --trunk build/trunk
	$(BIN)/python -m expertd.distill.phishing --trunk build/trunk
	$(BIN)/python -m expertd.distill.prompt_attack --trunk build/trunk
	$(BIN)/python -m expertd.distill.toxicity --trunk build/trunk
	$(BIN)/python -m expertd.distill.sentiment --trunk build/trunk
	$(BIN)/python -m expertd.distill.emotion --trunk build/trunk
	$(BIN)/python -m expertd.distill.topic --trunk build/trunk
	$(BIN)/python -m expertd.distill.urgency --trunk build/trunk
	$(BIN)/python -m expertd.distill.question_type --trunk build/trunk
	$(BIN)/python -m expertd.distill.language_expert
	$(BIN)/python -m expertd.distill.pii

clean:
	rm -rf $(VENV) build *.egg-info
