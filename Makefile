# Everything a newcomer needs:  make demo   make studio   make test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The newest versions need Python 3.12. On 3.11 Apache Beam comes too, which holds NumPy, protobuf and PyArrow back.
NEWER := $(shell $(PYTHON) -c 'import sys; print("newer" if sys.version_info >= (3, 12) else "")')
CONSTRAINTS := $(if $(NEWER),constraints-3.12.txt,constraints.txt)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: demo studio test test-slow test-release lint format docs clean

demo: $(VENV)/installed
	$(BIN)/python scripts/demo.py --out demo

# A web page of it; Ctrl-C ends it.
studio: $(VENV)/installed-studio
	$(BIN)/evc studio

# All tests but those that take minutes.
test: $(VENV)/installed-dev
	$(PYTEST) -m "not slow"

# Those that take minutes.
test-slow: $(VENV)/installed-dev
	$(PYTEST) -m "slow and not release"

# Before a release: long trainings of every system, and all benchmarks.
test-release: $(VENV)/installed-dev
	$(PYTEST) -m release

lint: $(VENV)/installed-dev
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

format: $(VENV)/installed-dev
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

# The pages of docs/ and the reference as a site that needs no network: open site/index.html.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

$(VENV)/installed: setup.cfg $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

$(VENV)/installed-studio: $(VENV)/installed
	$(INSTALL) --editable '.[studio,train]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(INSTALL) --editable '.[docs,train]'
	touch $@

# Resemblyzer comes without its dependencies: the webrtcvad it asks for needs a compiler, and the wheels that evc_jax
# depends on provide the same module. ViSQOL's libsvm needs one too, and serves music only.
$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable '.[dev,cloud,evaluation,serve,studio,train]'
	$(if $(NEWER),,$(INSTALL) --editable '.[beam]')
	$(INSTALL) --no-deps resemblyzer visqol-python
	touch $@

clean:
	rm -rf $(VENV) demo site .cache build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
