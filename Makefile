# Everything here sets itself up: a virtual environment in .venv, with the versions of constraints.txt.
# The set-up is done again when pyproject.toml or constraints.txt has changed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?=
WORKERS ?= 3
ARGS ?=

VENV := .venv
READY := $(VENV)/.ready
SOURCES := $(wildcard warmer tasks schedules demo benchmarks tests)

.PHONY: help setup demo test check bench clean distclean redis-server varnish

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(READY)  ## Warm real queries over 336,776 flights and watch it work (ARGS=--stay keeps it up).
	@$(VENV)/bin/python -m demo $(ARGS)

test: $(READY) redis-server varnish  ## Run every test, on real servers (WORKERS=3 at a time, ARGS=... for pytest).
	@$(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(READY)  ## Lint, check types and run the unit tests: under a minute.
	@$(VENV)/bin/ruff check $(SOURCES)
	@$(VENV)/bin/ruff format --check $(SOURCES)
	@$(VENV)/bin/mypy $(SOURCES)
	@if [ -d tests/typing ]; then $(VENV)/bin/basedpyright --pythonpath $(VENV)/bin/python --warnings tests/typing; fi
	@$(VENV)/bin/python -m pytest -q -n $(WORKERS) tests/unit $(ARGS)

bench: $(READY)  ## Measure the read path and the rest (ARGS=... for the benchmarks).
	@$(VENV)/bin/python -m pip install -qq -c constraints.txt --no-build-isolation -e '.[bench]'
	@mkdir -p .warmer
	@$(VENV)/bin/python -m benchmarks --json .warmer/bench.json --chart .warmer/bench.svg $(ARGS)
	@echo "Figures: .warmer/bench.json · chart: .warmer/bench.svg"

setup: $(READY)  ## Make .venv and install what everything above needs; they all do it by themselves.

clean:  ## Remove caches and build output.
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean  ## Remove .venv and .warmer (the embedded server's data), too.
	@rm -rf $(VENV) .warmer

# The compatibility tests run on Debian's Redis 7.0 beside the embedded Valkey.
redis-server:
	@bash .ci/redis-server

# Pages are purged from a real Varnish.
varnish:
	@bash .ci/varnish

# PYTHON=... names the Python to use; by default the first one found that is new enough.
$(READY): pyproject.toml constraints.txt .ci/setup
	@PYTHON="$(PYTHON)" bash .ci/setup $(VENV)
	@touch $@
