# `make demo` and `make test` work in a fresh clone: they make .venv and install what they need.

PYTHON ?= python3
BACKENDS ?= jax tensorflow
TESTS ?=
PAGES ?=
BIN := .venv/bin
# Python compiles what it imports; pip would compile ten times as much.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: demo test test-slow lint docs dist clean

demo: .venv/demo.done      ## train a small ViT on real handwritten digits: about a minute
	@$(BIN)/keras-vit train
	@echo "Before these commands, once in each terminal: source .venv/bin/activate"

# Most of the tests' time on JAX is compiling: it keeps the programs, and optimizes them little.
test test-slow: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/.venv/jax
test test-slow: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
test: export JAX_DISABLE_MOST_OPTIMIZATIONS = 1

test: .venv/test.done      ## the quick tests, on every backend of BACKENDS; all of them, or TESTS
	@for backend in $(BACKENDS); do \
		echo "== tests on $$backend"; \
		KERAS_BACKEND=$$backend $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(TESTS) || exit 1; \
	done

test-slow: .venv/test.done ## the slow tests: large models, whole training runs
	@for backend in $(BACKENDS); do \
		echo "== slow tests on $$backend"; \
		KERAS_BACKEND=$$backend $(BIN)/python -m pytest -n 2 --dist worksteal -m slow || exit 1; \
	done

lint: .venv/test.done      ## what pre-commit runs before each commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: .venv/docs.done      ## run the tutorials that have changed, build the site into site/, strictly
	$(BIN)/python docs/pages.py $(PAGES)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

dist: .venv/made.done      ## build the source archive and the wheel into dist/
	$(PIP) build
	$(BIN)/python -m build

clean:
	rm -rf .venv site build dist docs/tutorials *.egg-info

.venv/made.done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "keras_vit needs Python 3.11 or newer. Received: $$($(PYTHON) --version 2>&1). Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/demo.done: .venv/made.done pyproject.toml
	@echo "Installing Keras, JAX and scikit-learn into .venv: about half a minute."
	@$(PIP) --editable ".[jax,tutorials]"
	@touch $@

.venv/test.done: .venv/made.done pyproject.toml
	$(PIP) --editable ".[jax,tensorflow,dev]"
	@touch $@

.venv/docs.done: .venv/made.done pyproject.toml
	$(PIP) --editable ".[jax,docs]"
	@touch $@
