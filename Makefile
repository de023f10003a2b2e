# What a person runs. Everything lands in .venv (environment) and out/ (what you make); delete them to start over.
#   make PYTHON=python3.12 setup          another interpreter
#   make INSTALL_FLAGS="..." setup        options for pip, such as an index of torch builds for the CPU
#   make test ARGS="-k schedule -x"       arguments for pytest
#   make test COMFYUI_PATH=/path          another ComfyUI; the default is ~/comfy/ComfyUI

PYTHON ?= python3
INSTALL_FLAGS ?=
ARGS ?=
COMFYUI := $(or $(COMFYUI_PATH),$(HOME)/comfy/ComfyUI)

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
  MAKE_VENV = $(UV) venv --quiet --python "$(PYTHON)" $(VENV)
  INSTALL = $(UV) pip install --quiet --python $(BIN)/python -c tests/constraints.txt $(INSTALL_FLAGS)
else
  MAKE_VENV = $(PYTHON) -m venv $(VENV)
  INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c tests/constraints.txt $(INSTALL_FLAGS)
endif

# One stamp per thing installed, so that a second run has nothing to do.
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
TOOLS := $(VENV)/.tools
COMFY_REQUIREMENTS := $(wildcard $(COMFYUI)/requirements.txt)
COMFY := $(if $(COMFY_REQUIREMENTS),$(VENV)/.comfy$(subst /,-,$(COMFYUI)))
# More threads than cores, or very many, slow small tensors down.
THREADS := $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((cores > 4 ? 4 : cores)))

.PHONY: help setup demo test test-long lint tree
help:
	@echo "make setup       environment for everything, in .venv"
	@echo "make demo        small environment, then USO-mini draws out/demo.png"
	@echo "make test        every test that needs neither GPU nor network; in ComfyUI too where one is found"
	@echo "make test-long   what takes longer: the page in a browser, kill loops, whole evenings on a server"
	@echo "make lint        ruff, formatting, types"
	@echo "make tree        write the tree of docs/architecture.md from the files' first lines"

setup: $(TOOLS)

demo: $(RUNTIME)
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$(THREADS)} HF_HUB_OFFLINE=1 $(BIN)/uso demo --out out/demo.png

RUN_TESTS = HF_HUB_OFFLINE=1 COMFYUI_PATH="$(COMFYUI)" $(BIN)/python -m pytest -rfEs

# One process for each core, with one thread: tests have small tensors. Those that share a server ask for one process;
# pytest-xdist 3.8 does not heed it under pytest 9.2, and starts a server in each.
test: $(TOOLS) $(COMFY)
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(RUN_TESTS) -n $(THREADS) --dist loadgroup -m "not long" $(ARGS)

# One after the other, with all cores: some of these measure time.
test-long: $(TOOLS) $(COMFY)
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$(THREADS)} $(RUN_TESTS) -m long $(ARGS)

# mypy needs the package under its import name: a link inside .venv gives it one.
lint: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p $(VENV)/types && ln -sfn "$(CURDIR)" $(VENV)/types/comfyui_uso
	MYPYPATH=$(VENV)/types $(BIN)/mypy -p comfyui_uso.uso_model -p comfyui_uso.trainer -p comfyui_uso.mini \
	  -p comfyui_uso.nodes -m comfyui_uso.cli

tree: $(TOOLS)
	$(BIN)/python tests/architecture_tree.py

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "make: $(PYTHON) is missing or older than 3.10: name a newer one with make PYTHON=python3.12" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(MAKE_VENV) || { rm -rf $(VENV); \
	  echo "make: $(PYTHON) cannot make an environment (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@touch $@

$(RUNTIME): pyproject.toml tests/constraints.txt | $(MADE)
	@echo "installing torch and the pack into $(VENV) (some minutes the first time)"
	@$(INSTALL) -e .
	@touch $@

$(TOOLS): $(RUNTIME)
	@echo "installing the training and test packages into $(VENV)"
	@$(INSTALL) -e '.[train,curate,cluster,test]'
	@touch $@

ifdef COMFY
$(COMFY): $(COMFY_REQUIREMENTS) $(TOOLS)
	@echo "installing the requirements of $(COMFYUI) into $(VENV)"
	@$(INSTALL) -r $(COMFY_REQUIREMENTS)
	@touch $@
endif
