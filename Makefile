# `make help` lists what there is. Needs Rust; python3 and node are used where they are there.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Options of `longshore dev` for `make run` and `make dev`, such as --simulator.
OPTIONS ?=

.PHONY: help run dev build test lint docs bench e2e-llm

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

run: build ## Start everything, answer twenty tasks, show what they cost, stop
	target/release/longshore dev $(OPTIONS) --demo deploy/examples/batch.json

dev: build ## Start everything and keep it running until Ctrl-C
	target/release/longshore dev $(OPTIONS)

build: ## Build every program, optimised
	cargo build --release --workspace --bins

# The programs first: the tests start them. Those of producers in other languages need these languages.
test: ## Run all tests
	@set -e; skip=; for tool in python3 node npm; do \
	  if ! command -v $$tool >/dev/null; then \
	    echo "$$tool is not here: the tests of producers in other languages are skipped"; skip='-- --skip clients::'; \
	  fi; \
	done; \
	set -x; \
	if [ -z "$$skip" ]; then tests/clients/setup.sh; fi; \
	cargo build --workspace --bins; \
	cargo test --workspace $$skip

lint: ## Check the form and the sense of the code
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# Each test compares a generated part of the documents, or writes it if the variable is set.
docs: ## Write the generated parts of the documents
	LONGSHORE_UPDATE_DOCS=1 cargo test -p longshore-config reference::

bench: ## Measure what is shipped (the build takes twenty minutes)
	cargo build --profile dist --workspace --bins
	cargo run --profile dist -p longshore-tests --bin longshore-bench

e2e-llm: build ## Twenty real answers of a small model on this machine (needs node and python3)
	tests/e2e-llm/run.sh
