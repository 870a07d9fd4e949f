# Two commands: `make demo` ranks the sample models, `make test` runs the tests.
# `make evaluate` tells how well rankings predict measured transfer.
# The environment is made once, in .venv, from the versions in constraints.txt.
#
#   PYTHON=…       a Python ≥ 3.11, found by name if not given
#   TORCH_INDEX=…  one more package index for torch and torchvision, such as the CPU-only one of
#                  PyTorch, whose `2.14.1+cpu` pip prefers to the plain `2.14.1`

.DELETE_ON_ERROR:
.PHONY: demo test test-exporters robustness check format bench zoo evaluate wheel clean

VENV ?= .venv
BIN := $(VENV)/bin
JAX := $(VENV)-jax
MINIATURE := samples/miniature
ZOO ?= a
INSTALL := -m pip --disable-pip-version-check install -q -c constraints.txt
PIP := $(BIN)/python $(INSTALL)

demo: $(VENV)/.installed
	$(BIN)/onnxattr rank samples/models/*.onnx

test: $(VENV)/.installed-dev
	$(BIN)/pytest -m "not exporters"

test-exporters: $(VENV)/.installed-exporters $(JAX)/.installed
	JAX_PYTHON=$(abspath $(JAX))/bin/python $(BIN)/pytest -m exporters

# All attacks, mutants and kills; `make test` runs a spread of them.
robustness: $(VENV)/.installed-dev
	ROBUSTNESS=full $(BIN)/pytest tests/robustness -v -s

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/isolation.py
	$(BIN)/python benchmarks/sample_pairs.py
	$(BIN)/python benchmarks/blackbox.py
	$(BIN)/python benchmarks/conversion.py
	$(BIN)/python benchmarks/gradients.py
	$(BIN)/python benchmarks/methods.py

# The miniature Taskonomy: trains and measures what is not there yet, and goes on where it was stopped.
zoo: $(VENV)/.installed-exporters $(JAX)/.installed
	$(BIN)/python $(MINIATURE)/make.py models
	$(abspath $(JAX))/bin/python $(MINIATURE)/make.py models --family vit
	$(BIN)/python $(MINIATURE)/make.py transfer

# How well every measure predicts the transfer that was measured in zoo A, and what it must know
# besides; ZOO=b for the other one.
evaluate: $(VENV)/.installed
	$(BIN)/python $(MINIATURE)/make.py probes
	$(BIN)/python $(MINIATURE)/evaluate.py --zoo $(ZOO)
	$(BIN)/python $(MINIATURE)/controls.py --zoo $(ZOO)

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(JAX) dist .pytest_cache .mypy_cache .ruff_cache

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing onnxattr into $(VENV): some minutes, and up to 6 GB of disk"
	$(if $(TORCH_INDEX),$(PIP) --extra-index-url $(TORCH_INDEX) torch torchvision)
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e '.[dev]'
	@touch $@

# Captum and Zennit, to compare with.
$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) -e '.[bench]'
	@touch $@

$(VENV)/.installed-exporters: $(VENV)/.installed-dev
	$(PIP) -e '.[dev,samples,sklearn]'
	@touch $@

# JAX's exporter brings another package of ONNX Runtime than ours.
$(JAX)/.installed: $(BIN)/python constraints.txt
	$(BIN)/python -m venv $(JAX)
	$(JAX)/bin/python $(INSTALL) jax flax jax2onnx onnxruntime
	@touch $@

# A name is not enough: a shim may stand for a version that is not there, and `python3` for any.
$(BIN)/python:
	@python=""; \
	for name in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "error: no Python of version 3.11 or newer was found" >&2; \
	  echo "hint: install one, or say which: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	if ! $$python -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	  echo "error: $$python cannot make environments: its modules venv or ensurepip are missing" >&2; \
	  echo "hint: on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; fi; \
	$$python -m venv $(VENV)
