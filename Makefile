# picojoule. A fresh machine needs Python 3.11 or newer and make; `make demo` does the rest.
# Everything is installed into .venv and nowhere else. Paths stay relative, so a folder with spaces is fine.

PYTHON ?= python3
PIP_FLAGS ?=
PYTEST_FLAGS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint bench screenshots clean distclean

help:
	@echo 'make demo        install into .venv and run the main job on what ships with the package'
	@echo 'make test        ruff, pyright, and the tests without the slow ones'
	@echo 'make test-all    the same with the slow ones'
	@echo 'make lint        ruff and pyright'
	@echo 'make bench       benchmarks, in CPU seconds'
	@echo 'make screenshots the pictures in docs/, with an installed Chromium'
	@echo 'make clean       remove build products and caches; make distclean: .venv too'
	@echo
	@echo 'PYTHON=python3.12    the Python to build .venv with'
	@echo 'PIP_FLAGS=...        given to pip install (on Linux, the extra index of CPU builds that PyTorch names'
	@echo '                     saves several GB of CUDA packages)'
	@echo 'PYTEST_FLAGS=...     given to pytest, for example PYTEST_FLAGS="-k eie -x"'

demo: $(VENV)/.run
	$(VENV)/bin/picojoule demo

test: lint
	$(PY) -m pytest $(PYTEST_FLAGS)

test-all: lint
	$(PY) -m pytest --run-slow $(PYTEST_FLAGS)

lint: $(VENV)/.test
	$(PY) -m ruff check .
	$(PY) -m pyright

bench: $(VENV)/.test
	$(PY) -m benchmarks

screenshots: $(VENV)/.test
	$(PY) docs/screenshots.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

# The stamps .created, .run and .test stand for "done"; they go stale when pyproject.toml changes.
# The install is editable, so a change of the sources alone never reinstalls.

$(VENV)/.created:
	@command -v "$(PYTHON)" >/dev/null || { echo '$(PYTHON) not found: install Python 3.11 or newer, or say make PYTHON=/path/to/python'; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "picojoule needs Python 3.11 or newer and this is %d.%d; say make PYTHON=python3.12, for example" % v[:2])'
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.created pyproject.toml
	$(PIP) install $(PIP_FLAGS) -e '.[run,ans]'
	@touch $@

# The tests need PyTorch, and where it comes from is the user's choice, not ours. A wheel in a folder that pip is
# configured to look in (find-links) goes first: --no-index asks no registry, so this line ends at once where there
# is none. The range in pyproject.toml then keeps what is there, or takes pip's normal build: light on macOS and
# Windows, with CUDA on Linux unless PIP_FLAGS names the index of CPU builds.
$(VENV)/.test: $(VENV)/.created pyproject.toml
	@$(PIP) install --no-index --no-deps torch >/dev/null 2>&1 || true
	$(PIP) install $(PIP_FLAGS) -e '.[test]'
	@touch $(VENV)/.run $@
