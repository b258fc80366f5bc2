# Everything a newcomer needs: `make demo` and `make test`; both set up what they need, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export SPEECH2VEC_TEST_DATA ?= $(wildcard ../shared/data)

.PHONY: setup demo test lint docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 to 3.13 is needed; this is " + sys.version.split()[0] + ". Set PYTHON=python3.11, say." if not (3, 10) <= sys.version_info[:2] <= (3, 13) else 0)'
	@echo "Setting up $(VENV): about 3.5 GB to download with CUDA's libraries (docs/install.md has the small CPU pair)."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev,docs]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python -m scripts.demo $(if $(CORPUS),--corpus "$(CORPUS)")

test: $(STAMP)
	@$(BIN)/python -m pytest

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: $(STAMP)
	@$(BIN)/mkdocs build --strict --site-dir site

clean:
	rm -rf demo site .hypothesis .mypy_cache .ruff_cache
