# Everything a newcomer needs: `make demo`, `make test`. Nothing is required but Python 3.11–3.13 and make.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin

# The newest of 3.13, 3.12, 3.11 that runs; a version manager's shim may exist and still run nothing.
PYTHON ?= $(shell for v in 13 12 11; do for p in python3.$$v python3 python; do \
	"$$p" -c "import sys; sys.exit(sys.version_info[:2] != (3, $$v))" 2>/dev/null && { command -v "$$p"; exit; }; \
	done; done)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-train lint format bench kernels clean python

help: ## Say what there is.
	@sed -n 's/^\([a-z%-]*\):.*## /make \1\t/p' Makefile | expand -t 20

demo: $(VENV)/installed ## Serve the built-in scene on http://127.0.0.1:8080 and show it.
	@exec $(BIN)/fancam demo

test: $(VENV)/installed-dev ## Run the tests; browser tests run where Chromium is found.
	@$(BIN)/python -m pytest -m "not slow" $(TESTS)

test-slow: $(VENV)/installed-dev ## Run the tests that take long: the wheel in an empty environment, real clips.
	@$(BIN)/python -m pytest -m slow $(TESTS)

test-train: $(VENV)-train/installed ## Run the training tests, which need torch, in an environment of their own.
	@$(VENV)-train/bin/python -m pytest tests/train

lint: $(VENV)/installed-dev ## Check style and types.
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy

format: $(VENV)/installed-dev ## Format the code.
	@$(BIN)/ruff check --fix --quiet; $(BIN)/ruff format

bench-%: $(VENV)/installed-dev ## Run one benchmark: make bench-latency.
	@$(BIN)/fancam bench $*

NVCC ?= nvcc
KERNELS := engines/runtimes/kernels
GPUS := 75 80 86 89 90 100 120
kernels: ## Build the GPU kernels anew, for all GPUs from Turing on; needs nvcc 13 (or NVCC=…), at run time nothing does.
	@$(NVCC) -std=c++17 -fatbin --compress-mode=size -o $(KERNELS)/kernels.fatbin $(KERNELS)/kernels.cu \
		$(foreach gpu,$(GPUS),-gencode arch=compute_$(gpu),code=sm_$(gpu)) -gencode arch=compute_75,code=compute_75
	@cd $(KERNELS) && sha256sum *.cu *.h kernels.fatbin > kernels.sha256

clean: ## Remove the environments and what was built.
	rm -rf $(VENV) $(VENV)-train build dist .demo .mypy_cache .ruff_cache .hypothesis

python:
	@test -n "$(PYTHON)" || { echo "Fancam needs Python 3.11, 3.12 or 3.13 and found none: install one, or name it: make demo PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" 2>/dev/null || \
		{ echo "Fancam needs Python 3.11, 3.12 or 3.13; $(PYTHON) is not one: name another with PYTHON=" >&2; exit 1; }
	@"$(PYTHON)" -c "import venv, ensurepip" 2>/dev/null || \
		{ echo "$(PYTHON) lacks the venv module: install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }

$(VENV)/installed: pyproject.toml | python
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@echo "Installing Fancam into $(VENV) …" && $(BIN)/python -m pip install --quiet --disable-pip-version-check -e . && touch $@

$(VENV)/installed-dev: $(VENV)/installed pyproject.toml
	@echo "Installing what the tests need …" && $(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" && touch $@

# torch's default wheel brings gigabytes of CUDA; TORCH=torch==2.13.0 names a CPU build where one is at hand.
TORCH ?= torch
$(VENV)-train/installed: pyproject.toml | python
	@test -x $(VENV)-train/bin/python || "$(PYTHON)" -m venv $(VENV)-train
	@$(VENV)-train/bin/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	@$(VENV)-train/bin/python -m pip install --quiet --disable-pip-version-check -e ".[train,dev,rtx]" && touch $@
