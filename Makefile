# Everything a newcomer needs:  make demo   make test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint clean

demo: $(VENV)/installed
	$(BIN)/python scripts/demo.py --out demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(VENV)/installed-dev
	$(BIN)/python -m flake8 evc_jax benchmarks configs scripts tests

$(VENV)/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

# Resemblyzer comes without its dependencies: the webrtcvad it asks for needs a compiler, and the wheels that evc_jax
# depends on provide the same module.
$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable '.[dev,beam,cloud,serve]'
	$(INSTALL) --no-deps resemblyzer
	touch $@

clean:
	rm -rf $(VENV) demo build dist *.egg-info
