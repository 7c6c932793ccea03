# PruneBook. Two commands: make book, make test. All others: make help.
PYTHON ?= python3
NB ?= kcore
RUN ?= quick
PORT ?= 8000
UV_VERSION := 0.13.9

BIN := .venv/bin
READY := .venv/.ready
# In recipes as shell variables, so that no character in them is anything but a character.
export NB RUN DATASET
NOTEBOOKS := $(sort $(patsubst notebooks/%.yml,%,$(wildcard notebooks/*.yml)))

.DEFAULT_GOAL := help
.PHONY: help setup book html runs test lint types unit smoke browser run chaos serve bench rates data lab lock lock-check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile
	@echo "  For example: make run NB=kcore ARGS=\"-p arch resnet56 -p taus '[0.65, 0.7]'\""

setup: $(READY) ## .venv with the pinned packages and the prunebook command

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "PruneBook needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

book: runs html ## the book: set-up, quick runs, published runs from their records, HTML
	@echo "The book: $(CURDIR)/_build/html/index.html"

runs: $(READY)
	$(BIN)/prunebook pages

html: $(READY)
	rm -rf _build/html/book/runs  # pages of runs that are gone would stay
	$(BIN)/jupyter-book build . --all -W -n --keep-going --quiet  # all: every page's table of contents may have changed

test: lint types unit smoke book browser ## everything that CI checks
	@echo "All checks passed."

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/pytest

smoke: $(READY)
	$(BIN)/prunebook pages --smoke

browser: $(READY)
	$(BIN)/python tools/check_book.py

run: $(READY) ## one run of a notebook: NB=kcore RUN=quick ARGS="-p taus '[0.65, 0.7]'"
	$(BIN)/prunebook run "$$NB" "$$RUN" $(ARGS)

chaos: $(READY) ## kill, fill, flip and lie: many faults on purpose, and the table of what became of them
	PRUNEBOOK_CHAOS=$(CURDIR)/benchmarks/results_faults.json $(BIN)/pytest tests/test_faults.py tests/test_reproducible.py tests/test_cluster.py

serve: $(READY) ## the built book at http://localhost:8000 (PORT=...)
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

bench: $(READY) ## the speed and memory figures of this machine
	$(BIN)/python benchmarks/bench_kcore.py
	$(BIN)/python benchmarks/bench_dice.py
	$(BIN)/python benchmarks/bench_sacp.py
	$(BIN)/python benchmarks/bench_mrp.py
	$(BIN)/python benchmarks/bench_annealing.py
	$(BIN)/python benchmarks/bench_runs.py

rates: $(READY) ## images a second and memory of training, for the long runs
	$(BIN)/python benchmarks/bench_rates.py

data: $(READY) ## download a dataset, checksums included: DATASET=cifar10
	@test -n "$$DATASET" || { echo "Which one? For example: make data DATASET=cifar10"; exit 2; }
	$(BIN)/prunebook data "$$DATASET"

lab: $(READY) ## JupyterLab in the notebooks' folder
	$(BIN)/jupyter lab --notebook-dir=. notebooks

lock: ## resolve requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" --quiet -o requirements.lock

lock-check: ## whether every pin has a wheel for Python 3.11, 3.12 and 3.13 on Linux
	for v in 3.11 3.12 3.13; do $(BIN)/uv pip compile requirements.lock --quiet --python-version $$v --no-deps \
	  --python-platform linux --only-binary :all: -o /dev/null && echo "Python $$v: every pin has a wheel" || exit 1; done

clean: ## remove what was built here, but not the records and downloads
	rm -rf _build book/runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
