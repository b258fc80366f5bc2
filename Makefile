# Everything a newcomer needs: `make demo` and `make test`; both set up what they need, once.
# `make test` skips what it has no means for: tests on real speech need SPEECH2VEC_TEST_DATA=FOLDER, those of the report
# in a browser need chromium and chromedriver, some need the program mfa or a GPU.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test fuzz kill lint docs clean

setup: $(STAMP)

# The stamp is written last: a set-up that failed is tried again, one that went through is not repeated.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 to 3.13 is needed; this is " + sys.version.split()[0] + ". Set PYTHON=python3.11, say." if not (3, 10) <= sys.version_info[:2] <= (3, 13) else 0)'
	@echo "Setting up $(VENV): about 3 GB to download, most of it torch and CUDA (docs/install.md has the small CPU build)."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
	    { rm -rf $(VENV); echo "No virtual environment could be made. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev,docs]'
	@touch $(STAMP)
	@echo "Set up. To use the programs in this terminal: . $(VENV)/bin/activate"

demo: $(STAMP)
	@$(BIN)/python -m scripts.demo $(if $(CORPUS),--corpus "$(CORPUS)")

# Files of tests beside each other, in their order; tests of one file share what is expensive to make. (Reordered, files of
# one long test would come last, and the other processes wait for them.)
test: $(STAMP)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# docs/reliability.md: damaged inputs to every reader for MINUTES, and KILLS kills of every long command.
fuzz: $(STAMP)
	@$(BIN)/python tests/hostile/fuzz.py --minutes $(or $(MINUTES),10) --seed $(or $(SEED),0)

kill: $(STAMP)
	@$(BIN)/python tests/hostile/kill.py --kills $(or $(KILLS),100) --seed $(or $(SEED),0)

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: $(STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site && echo "site/index.html"

clean:
	rm -rf demo site .hypothesis .mypy_cache .ruff_cache
