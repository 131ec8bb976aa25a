# `make demo` and `make test` work in a fresh clone: they make .venv and install what they need.

PYTHON ?= python3
BACKENDS ?= jax tensorflow
TESTS ?=
MARKS ?= not slow and not weekly
PAGES ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-slow test-all lint docs benchmark clean

demo: .venv/demo.done      ## train a small ViT on real handwritten digits: about a minute
	$(BIN)/keras-vit train

# Most of the tests' time on JAX is compiling: the programs are kept for the next run.
test: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/.venv/jax
test: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0

test: .venv/test.done      ## the quick tests, on every backend of BACKENDS; all of them, or TESTS
	@marks="$(MARKS)"; for backend in $(BACKENDS); do \
		echo "== tests on $$backend: $$marks"; \
		KERAS_BACKEND=$$backend $(BIN)/python -m pytest -n 2 --dist worksteal -m "$$marks" $(TESTS) || exit 1; \
		marks="($(MARKS)) and not backend_free"; \
	done

test-slow:                 ## quick and slow tests: large models, whole training runs; CI runs these
	$(MAKE) test MARKS="not weekly"

test-all:                  ## every test: all tutorials on both backends, all combinations, all seeds
	$(MAKE) test MARKS="slow or not slow"

lint: .venv/test.done      ## what pre-commit runs before each commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: .venv/docs.done      ## run the tutorials that have changed, build the site into site/, strictly
	$(BIN)/python docs/pages.py $(PAGES)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv site build docs/tutorials *.egg-info

.venv/made.done:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "keras_vit needs Python 3.11 or newer. Received: $$($(PYTHON) --version). Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/demo.done: .venv/made.done pyproject.toml
	$(PIP) --editable ".[jax,tutorials]"
	@touch $@

.venv/test.done: .venv/made.done pyproject.toml
	$(PIP) --editable ".[jax,tensorflow,dev]"
	@touch $@

.venv/docs.done: .venv/made.done pyproject.toml
	$(PIP) --editable ".[jax,docs]"
	@touch $@
