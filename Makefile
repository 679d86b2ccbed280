# Two commands on a fresh machine: `make demo` and `make test`. Everything happens inside .venv.
# PYTHON=python3.12  another interpreter       VENV=path  another environment
# TORCH='torch==2.13.0 ...'  what pip is asked for torch, with any of its options, to get another build
# OUT=folder  where the demo's report goes
# PEERS=path  another environment for the libraries that `make bench` compares with

PYTHON ?= python3
VENV ?= .venv
PEERS ?= .venv-peers
TORCH ?= $(shell grep '^torch==' constraints.txt)
PYTEST_WORKERS ?= 2
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
BIN = $(VENV)/bin

.PHONY: demo test check lint types imports bench figures clean

demo: $(VENV)/.demo
	$(BIN)/superscope tour $(if $(OUT),--out $(OUT))

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS)

check: lint types imports
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --doctest-modules src/superscope
	$(BIN)/python -m pytest --doctest-glob='*.md' README.md docs

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/basedpyright

imports: $(VENV)/.dev
	$(BIN)/lint-imports

bench: $(VENV)/.dev $(PEERS)/.done
	$(BIN)/python -m benchmarks

figures: $(VENV)/.demo
	$(BIN)/python docs/figures/draw.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

# torch first and alone, so that what it is asked for is what is had; the rest keeps it.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "superscope needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt $(TORCH)
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# Rivals in an environment of their own; requirements.txt says why none of them is resolved.
$(PEERS)/.done: constraints.txt benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt $(TORCH)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -r benchmarks/peers/requirements.txt
	touch $@
