# Everything that a person or CI types. Needs make and Python 3.11, 3.12 or 3.13; the rest is installed into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LINKS := build/links/fiel
FOLDERS := docs graphs infra nodes policies tools
ALONE := faults or browser or studio
MARKED := slow or $(ALONE)
STUDIO := .venv-studio
STUDIO_STAMP := $(STUDIO)/.installed
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.installed
BROWSER := tests/browser
NODE_STAMP := $(BROWSER)/node_modules/.installed
PAGES_STAMP := $(BROWSER)/dist/.built
NODE_TESTS = $(shell command -v npm >/dev/null && node $(BROWSER)/version.cjs && echo $(PAGES_STAMP))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_LINK_MODE := copy

.PHONY: help demo test test-all conformance bench eval-policies lint graph studio wheel clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP) ## start everything, ingest the documentation, ask one question, show its trace
	$(BIN)/fiel demo

test: lint ## lint, types and all quick tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not ($(MARKED))"

test-all: $(STAMP) $(STUDIO_STAMP) $(NODE_TESTS) ## the other tests: slow ones, faults, browser, Studio (`test` has run the quick ones)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "slow and not ($(ALONE))"
	$(BIN)/python -m pytest -m "$(ALONE)"

conformance: $(STAMP) $(STUDIO_STAMP) ## every check of the protocol against fiel and against `langgraph dev`, side by side
	$(BIN)/python -m pytest -m studio tests/api/conformance

bench: $(STAMP) $(PEERS_STAMP) ## quality and speed, each figure with its sample size and the floor beside it (PARTS="graph quality": only these)
	$(BIN)/python -m fiel.infra.bench $(PARTS)

eval-policies: $(STAMP) ## recall and false positives of the injection head on held-out texts (needs ../shared/data)
	$(BIN)/python -m fiel.infra.evaluation.policies

lint: $(STAMP) $(LINKS) ## style, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

graph: $(STAMP) ## draw the graph from itself into README.md
	$(BIN)/python -m fiel.infra.cli.picture README.md

studio: $(STUDIO_STAMP) ## step through the graph in LangGraph Studio: `langgraph dev` on loopback, without a key
	FIEL_AUTH=none LANGSMITH_TRACING=false PYTHONUNBUFFERED=1 \
	    $(STUDIO)/bin/langgraph dev --host 127.0.0.1 --port 2024 --no-browser --no-reload --allow-blocking

wheel: $(STAMP) ## build dist/*.whl
	rm -rf build/lib build/bdist*
	$(BIN)/python -m build --wheel --no-isolation

clean: ## remove what was built; leaves .venv and .fiel
	rm -rf build dist $(BROWSER)/dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(FOLDERS) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A type checker does not follow setuptools' package-dir: it gets a folder of links under the import names.
$(LINKS): Makefile
	@mkdir -p $(LINKS)
	@for folder in $(FOLDERS); do ln -sfn ../../../$$folder $(LINKS)/$$folder; done
	@touch $(LINKS)

# Copies, never hard links: nltk refuses to read a hard-linked file.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@if $(BIN)/python -m pip install --quiet -c constraints.txt uv; then \
	    $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt -e ".[dev]"; \
	else \
	    echo "uv cannot be had; pip does it, more slowly" >&2; \
	    $(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"; \
	fi
	@touch $@

# Studio's server wants older protobuf and grpcio than MLflow: an environment of its own.
$(STUDIO_STAMP): pyproject.toml constraints.txt constraints-studio.txt $(STAMP)
	@mkdir -p build
	@awk -F== 'NR == FNR { own[$$1]; print; next } !($$1 in own)' constraints-studio.txt constraints.txt \
	    > build/constraints-studio.txt
	@test -x $(STUDIO)/bin/python || $(BIN)/python -m venv --clear $(STUDIO)
	@if test -x $(BIN)/uv; then \
	    $(BIN)/uv pip install --quiet --python $(STUDIO)/bin/python -c build/constraints-studio.txt \
	        -e . "langgraph-cli[inmem]"; \
	else \
	    $(STUDIO)/bin/python -m pip install --quiet -c build/constraints-studio.txt -e . "langgraph-cli[inmem]"; \
	fi
	@touch $@

# The stores that the benchmark `search` is compared with want an older client of pgvector: an environment of their own.
$(PEERS_STAMP): constraints.txt constraints-peers.txt $(STAMP)
	@mkdir -p build
	@awk -F== 'NR == FNR { own[$$1]; print; next } !($$1 in own)' constraints-peers.txt constraints.txt \
	    > build/constraints-peers.txt
	@test -x $(PEERS)/bin/python || $(BIN)/python -m venv --clear $(PEERS)
	@if test -x $(BIN)/uv; then \
	    $(BIN)/uv pip install --quiet --python $(PEERS)/bin/python -c build/constraints-peers.txt \
	        llama-index-vector-stores-postgres langchain-postgres; \
	else \
	    $(PEERS)/bin/python -m pip install --quiet -c build/constraints-peers.txt \
	        llama-index-vector-stores-postgres langchain-postgres; \
	fi
	@touch $@

# For the browser tests, which are skipped where Node is missing or old. The lock file holds versions and digests only.
$(NODE_STAMP): $(BROWSER)/package.json $(BROWSER)/package-lock.json $(BROWSER)/.npmrc
	@cd $(BROWSER) && npm ci --no-progress --loglevel=error
	@touch $@

$(PAGES_STAMP): $(NODE_STAMP) $(BROWSER)/vite.config.js $(wildcard $(BROWSER)/pages/*)
	@cd $(BROWSER) && npm run --silent build
	@touch $@

$(BIN)/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	    if $$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	        >/dev/null 2>&1; then \
	        echo "making $(VENV) with $$($$python --version)"; \
	        exec $$python -m venv --clear $(VENV); \
	    fi; \
	done; \
	echo "fiel needs Python 3.11, 3.12 or 3.13 with its venv module (on Debian: apt-get install python3-venv);" \
	    "name one with: make PYTHON=/path/to/python" >&2; \
	exit 1
