# `make` prints what there is. Everything else sets up what it needs by itself, in .venv.
#
#   make test BROKER=4.3      against another RabbitMQ series
#   make PYTHON=python3.12    with another Python

PYTHON ?= python3
export BROKER

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
ifeq ($(HOME),)
export HOME := $(CURDIR)/.cache/home
endif

SERVERS = $(PYTHON) ops/dev/servers.py --
PYTEST = $(BIN)/python -m pytest -q
# Fuzz targets of producer_go/internal, and how many inputs each of them gets. A count, not a time: until Go 1.27
# a time that runs out may be reported as a failure (go.dev/issue/75804).
FUZZ = wire:FuzzCheck wire:FuzzDecode wire:FuzzEnvelope wire:FuzzItemLog kitchen:FuzzEverything
INPUTS ?= 1000000
# The fault suite: how many runs, from which seed, and where their results go.
RUNS ?= 210
SEED ?= 1
CHAOS ?= tests/chaos/results/seed-$(SEED).jsonl
SECONDS ?= 120
# Queues of examples/tasks.
EXAMPLES = $(basename $(notdir $(wildcard examples/tasks/*.py)))
# The race detector needs cgo, which Go turns off where it finds no C compiler.
RACE = $$($(BIN)/go env CGO_ENABLED | sed -n s/1/-race/p)

##@ Try it
.PHONY: demo bench
demo: setup  ## real jobs from Go to Python and back, on a private RabbitMQ and Redis
	@$(SERVERS) $(BIN)/python examples/demo/run.py

bench: setup  ## throughput and round trip, beside the raw client's in the same run
	@$(SERVERS) $(BIN)/python bench/run.py

##@ Test it
.PHONY: test unit integration fuzz chaos chaos-short soak check
test: setup-tests  ## all tests, Python and Go, on a private RabbitMQ and Redis
	@$(SERVERS) $(MAKE) -k pytest-all go-test

unit: setup  ## the tests that need no server: seconds
	@$(PYTEST) tests/unit tests/contract

integration: setup-tests  ## the tests that need servers, for instance with BROKER=4.3
	@$(SERVERS) $(MAKE) -k pytest-integration go-test

fuzz: setup  ## inputs that nobody thought of, INPUTS=1000000 each
	@cd producer_go && for target in $(FUZZ); do \
	  $(BIN)/go test -run '^$$' -fuzz "^$${target#*:}$$" -fuzztime $(INPUTS)x ./internal/$${target%:*} || exit 1; done

chaos: setup-tests  ## the fault suite: RUNS=210 runs on both series, an hour; SEED=N
	@$(BIN)/python tests/chaos/campaign.py --runs $(RUNS) --seed $(SEED) --out $(CHAOS)
	@$(BIN)/python tests/chaos/table.py $(CHAOS)

chaos-short: setup-tests  ## its short form: every kind of fault once
	@$(PYTEST) tests/chaos/short.py

soak: setup-tests  ## good, slow, crashing, leaking and hanging jobs on one worker, SECONDS=120
	@$(SERVERS) $(BIN)/python -m tests.soak.run --seconds $(SECONDS)

check: setup  ## linters, types, and that generated files are up to date
	@$(BIN)/python ops/dev/check.py

##@ Change it
.PHONY: generate lock clean
generate: setup  ## write what is generated: constants, contracts, Go clients
	@$(BIN)/python contracts/tools/generate.py
	@for queue in $(EXAMPLES); do $(BIN)/penstock contract export examples.tasks.$$queue:$$queue 2>/dev/null | grep ^written; done; true
	@$(BIN)/penstock contract export tests.contract.kitchen:kitchen --contracts tests/contract/tasks | grep ^written; true
	@$(BIN)/penstock contract asyncapi
	@cd examples && $(BIN)/go generate ./clients
	@cd producer_go && $(BIN)/go generate ./internal/contract

lock: setup  ## pin the newest packages, with their hashes
	@$(BIN)/python ops/dev/lock.py --upgrade

clean:  ## remove what these targets made in this folder
	@chmod -R u+w .cache 2>/dev/null || true
	@rm -rf .venv .cache bin .pytest_cache .mypy_cache .ruff_cache
	@find . \( -name __pycache__ -o -name node_modules \) -prune -exec rm -rf {} +

.PHONY: help setup setup-tests pytest-all pytest-integration go-test
help:
	@awk -F ':.*## ' '/^##@/ {print substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup:
	@$(PYTHON) ops/dev/setup.py

setup-tests:
	@$(PYTHON) ops/dev/setup.py --tests

# Run by the targets above, once their servers are there.
pytest-all:
	@$(PYTEST)

pytest-integration:
	@$(PYTEST) tests/integration tests/parity tests/conformance

go-test:
	@set -o pipefail; cd producer_go && $(BIN)/go test $(RACE) ./... | sed '/no test files/d'
