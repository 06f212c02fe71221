# Everything that needs an environment makes it first. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv

.PHONY: demo test lint bench failures downstream page scikit-learn clean

demo: $(VENV)/installed
	$(VENV)/bin/manyhands demo

test: lint
	$(VENV)/bin/python tools/test.py

lint: $(VENV)/installed-dev
	VENV=$(VENV) sh tools/lint.sh

# The page of watch, from page/. Needs node 20 or later; what is built is committed, so that nobody else needs it.
page: page/node_modules/.package-lock.json
	cd page && npm run --silent types && npm run --silent build

page/node_modules/.package-lock.json: page/package-lock.json
	cd page && npm ci --silent --no-audit --no-fund
	touch $@

bench: $(VENV)/installed-bench
	$(VENV)/bin/python -m benchmarks

failures: $(VENV)/installed-bench
	$(VENV)/bin/python -m benchmarks.failures

# The same scores as with loky, to the bit, and time beside it.
scikit-learn: $(VENV)/installed-scikit-learn
	$(VENV)/bin/python -m benchmarks.scikit_learn

$(VENV)/installed-scikit-learn: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --group scikit-learn
	touch $@

# An environment of its own, in which manyhands takes the peers' places.
downstream: $(VENV)-downstream/installed
	$(VENV)-downstream/bin/python -m tests.downstream --write docs/compat.md

$(VENV)-downstream/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-downstream
	$(VENV)-downstream/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(VENV)-downstream/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[blas]' --group downstream
	$(VENV)-downstream/bin/python -m tests.downstream.in_place
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# pip 25.1 is the first that reads dependency groups.
$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

# Where there is a browser, the page is tested in it.
$(VENV)/installed-dev: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --group dev $(if $(shell command -v chromium),--group browser)
	touch $@

$(VENV)/installed-bench: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --group bench
	touch $@

clean:
	rm -rf $(VENV) .venv-*
