# `make demo` and `make test` work in a fresh clone: they make .venv and install what they need.

PYTHON ?= python3
BACKENDS ?= jax tensorflow
TESTS ?=
# What the quick run repeats on the second backend: the model and what protects it. CI repeats everything.
AGAIN ?= tests/core tests/guards
MARKS ?= not slow and not weekly
PAGES ?=
BIN := .venv/bin
# Python compiles what it imports, once; pip would compile ten times as much.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo dist test test-slow test-avx2 test-all mutants torch lint docs clean

BACKEND := $(firstword $(BACKENDS))

demo: .venv/demo-$(BACKEND).done    ## train a small ViT on real handwritten digits: about a minute
	@KERAS_BACKEND=$(BACKEND) $(BIN)/keras-vit train
	@echo "Before these commands, once in each terminal: source .venv/bin/activate"

# Most of the tests' time on JAX is compiling: the programs are kept for the next run.
test: export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.venv/jax
test: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
# Two processes run tests; with threads for every core each, those of a library only wait.
test: export OMP_NUM_THREADS ?= 1
test: export TF_NUM_INTRAOP_THREADS ?= 1

test: .venv/test.done      ## the quick tests on the first of BACKENDS, those of the model on the others too; or TESTS
	@marks="$(MARKS)"; again=; for backend in $(BACKENDS); do \
		echo "== tests on $$backend: $$marks" $$again; \
		KERAS_BACKEND=$$backend $(BIN)/python -m pytest -n 2 --dist worksteal -m "$$marks" $(TESTS) $$again || \
			[ $$? = 5 -a "$$marks" != "$(MARKS)" ] || exit 1; \
		marks="($(MARKS)) and not backend_free"; again="$(if $(TESTS),,$(AGAIN))"; \
	done

test-slow:                 ## quick and slow tests: large models, whole training runs; CI runs these
	$(MAKE) test MARKS="not weekly" AGAIN=

# What each library offers to compute as on a processor without AVX-512; TensorFlow leaves oneDNN out there.
ifeq ($(ISA),avx2)
export XLA_FLAGS = --xla_cpu_max_isa=AVX2
export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/.venv/jax-avx2
export TF_ENABLE_ONEDNN_OPTS = 0
export ATEN_CPU_CAPABILITY = avx2
export OPENBLAS_CORETYPE = Haswell
endif

NUMBERS := $(patsubst %,tests/core/test_%.py,vit layers convolutions version_0_1)

test-avx2:                 ## the quick tests of the model's numbers, computed without AVX-512
	$(MAKE) test ISA=avx2 MARKS="($(MARKS)) and not backend_free" TESTS="$(NUMBERS)"

test-all:                  ## every test: all tutorials on both backends, all combinations, all seeds
	$(MAKE) test MARKS="slow or not slow" AGAIN=

mutants: .venv/test.done   ## break the package at one place after another and show that the quick tests notice
	$(BIN)/python tests/mutants.py

torch: .venv/test.done     ## PyTorch, for `make test BACKENDS=torch`
	$(PIP) torch==2.13.0

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

.venv/demo-%.done: .venv/made.done pyproject.toml
	@echo "Installing Keras, $* and scikit-learn into .venv: half a minute, or minutes for TensorFlow and PyTorch."
	@$(PIP) --editable ".[$*,tutorials]"
	@touch $@

.venv/test.done: .venv/made.done pyproject.toml
	$(PIP) --editable ".[jax,tensorflow,dev]"    # `dev` has what the other two need
	@touch .venv/demo-jax.done .venv/demo-tensorflow.done .venv/docs.done $@

.venv/docs.done: .venv/made.done pyproject.toml
	$(PIP) --editable ".[jax,docs]"
	@touch $@
