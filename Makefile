# make demo    see it work: installs, renders a small dataset, trains and compares heads
# make test    install what the tests need and run them
# make test-slow   run those that take long, which `make test` leaves out
# make lint    ruff and mypy
# make clean   remove the environment and everything the demo made
# PYTHON=python3.12 make demo    chooses the Python (3.11 or newer)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed
	@$(BIN)/actionrnn demo || { echo; \
	  echo "make demo: the demo failed; the message above says why."; \
	  echo "Run it again with the traceback: $(BIN)/actionrnn demo --debug"; exit 1; }

test: MARKED := not slow
test-slow: MARKED := slow
test test-slow: $(VENV)/.installed-test
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "$(MARKED)" $(PYTEST_ARGS) || { echo; \
	  echo "make $@: tests failed; the list above names them."; \
	  echo "Run one alone: $(BIN)/python -m pytest PATH::NAME -x"; exit 1; }

lint: $(VENV)/.installed-test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy || { echo; \
	  echo "make lint: see above; $(BIN)/ruff check --fix . && $(BIN)/ruff format . repairs most."; \
	  exit 1; }

clean:
	rm -rf $(VENV) data/synthetic runs/demo_*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is missing or older than 3.11; name another: make PYTHON=python3.12"; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "make: could not create $(VENV); on Debian or Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed: $(BIN)/python pyproject.toml
	@echo "Installing actionrnn into $(VENV) (PyTorch is large: this takes a few minutes once)"
	@$(BIN)/python -m pip install --quiet --editable . || { \
	  echo "make: installation failed; check the network and the free disk space (6 GB), then"; \
	  echo "run make again"; exit 1; }
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need"
	@$(BIN)/python -m pip install --quiet --editable '.[test]' || { \
	  echo "make: installation failed; check the network, then run make again"; exit 1; }
	@touch $@
