PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all check format clean

help: ## List these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## Set up .venv with everything that the project needs

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Rehedge needs Python 3.11 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[live,dev]' -c constraints.txt
	touch $@

demo: $(STAMP) ## The whole road in minutes: calibrate, train, judge, hedge the crash of March 2020 on paper
	$(BIN)/rehedge demo

test: $(STAMP) ## The default tests, about four minutes on two cores
	$(BIN)/python -m pytest -n 3 --dist loadfile  # many wait for an exchange on loopback

test-all: $(STAMP) ## The slow tests too
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'slow or not slow'

check: $(STAMP) ## Formatting, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what the commands made
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
