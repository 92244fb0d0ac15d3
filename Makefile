# Every target does all of its own set-up; a repeat costs nothing, a changed lock re-installs.
# `make` or `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.SUFFIXES:

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests mostly wait for the real ring and for screens: so many at a time keep two cores busy.
WORKERS ?= 6
# Modules are compiled once, whatever the shell says: the tests start the program hundreds of times.
unexport PYTHONDONTWRITEBYTECODE
FUZZ_INPUTS ?= 1000000
SOAK_MINUTES ?= 10
# Not a shell's settings and not a colleague's: the lock files alone decide what is installed.
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV     := uv==0.13.9
UV_VENV := .uv-venv
# What `make test-matrix` takes for the Pythons of pyproject.toml, wherever they are.
PYTHONS ?= python3.11 python3.12 python3.13

.PHONY: help demo test test-matrix fuzz soak faults check bench screenshots docs lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | while read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.runtime-ready ## the dashboard on the practice ring; ARGS='--users 5000' passes options
	@$(BIN)/director-tui demo $(ARGS)

test: $(VENV)/.dev-ready ## every test, on a real Dovecot ring too (installs Debian's dovecot and sshd where it may); ARGS= goes to pytest
	@sh tests/ring/install-debian-packages
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-matrix: $(UV_VENV)/.ready ## every test on each Python that pyproject.toml names, with its lowest and newest versions; CELLS=3.13-newest PYTHONS= ARGS=
	@sh tests/ring/install-debian-packages
	$(PYTHON) -m tests.matrix --uv $(UV_VENV)/bin/uv --pythons '$(PYTHONS)' --cells '$(CELLS)' -- -n $(WORKERS) --dist worksteal $(ARGS)

fuzz: $(VENV)/.dev-ready ## hostile input to whatever reads or shows text from outside; FUZZ_INPUTS=N of them, ARGS= as it says
	$(BIN)/python -m tests.fuzz --inputs $(FUZZ_INPUTS) $(ARGS)

soak: $(VENV)/.dev-ready ## a long run on the practice ring with chaos: nothing may grow; SOAK_MINUTES=N
	$(BIN)/python -m tests.soak --minutes $(SOAK_MINUTES) $(ARGS)

faults: $(VENV)/.dev-ready ## inject every fault there is a test for, and remake docs/faults.md; ARGS='-k NAME' for some
	@sh tests/ring/install-debian-packages
	$(BIN)/python -m tests.faults $(ARGS)

check: $(VENV)/.dev-ready ## lint, types and who may import whom
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

screenshots: $(VENV)/.dev-ready ## remake the pictures of the README; look at them before you commit them
	$(BIN)/python -m screenshots

docs: $(VENV)/.dev-ready ## remake the pages of the manual that are made from the code
	$(BIN)/python -m docs

bench: $(VENV)/.dev-ready ## the budgets, each beside its peer in the same run; a quarter of an hour, or ARGS='P4 P5' for some
	@sh tests/ring/install-debian-packages
	$(BIN)/python -m bench $(ARGS)

lock: $(UV_VENV)/.ready ## remake requirements/*.txt; UPGRADE=--upgrade moves to the newest versions
	$(call compile,pyproject.toml requirements/build.in,requirements/runtime.txt)
	$(call compile,pyproject.toml requirements/build.in requirements/dev.in -c requirements/runtime.txt,requirements/dev.txt)

clean: ## remove the virtual environment, caches and build results
	rm -rf $(VENV) $(UV_VENV) .matrix build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis snapshot_report.html
	find director_tui tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is remade whole when its lock changes, so that nothing from an older commit stays in it.
# The dev lock contains the runtime lock (it is compiled under its constraints), so dev-ready is runtime-ready as well.
$(VENV)/.runtime: requirements/runtime.txt
	@$(call make-venv,requirements/runtime.txt)
	@touch $@

$(VENV)/.dev: requirements/dev.txt
	@$(call make-venv,requirements/dev.txt)
	@touch $(VENV)/.runtime $@

$(VENV)/.runtime-ready: $(VENV)/.runtime pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.dev pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(VENV)/.runtime-ready $@

# The Makefile says which uv.
$(UV_VENV)/.ready: Makefile
	@$(call need-python)
	$(PYTHON) -m venv --clear $(UV_VENV)
	$(UV_VENV)/bin/python -m pip --disable-pip-version-check --quiet install '$(UV)'
	@touch $@

define make-venv
$(call need-python); \
echo 'Setting up $(VENV) from $(1) ...'; \
$(PYTHON) -m venv --clear $(VENV) && $(PIP) install --require-hashes -r $(1)
endef

define need-python
command -v $(PYTHON) >/dev/null 2>&1 || { \
  echo 'director-tui needs Python 3.11 or newer, and there is no $(PYTHON) here (Debian: apt install python3 python3-venv).' >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "director-tui needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name a newer one: make PYTHON=python3.11 ..." >&2; exit 1; }; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo 'This Python cannot make virtual environments; on Debian: apt install python3-venv' >&2; exit 1; }
endef

define compile
$(UV_VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command 'make lock' $(UPGRADE) $(1) -o $(2)
endef
