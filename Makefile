# `make help` lists the targets. Needs Rust; the tests of clients use the other languages that are installed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Options of `longshore dev` for `make run` and `make dev`, such as --simulator.
OPTIONS ?=

.PHONY: help run dev build dist release test chaos scale lint deny deploy-check compose-check docs schema bench bench-peers bench-quick e2e-llm

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

run: build ## Start all services, run 20 tasks, show their cost, stop
	target/debug/longshore dev $(OPTIONS) --demo deploy/examples/batch.json

dev: build ## Start all services and keep them running until Ctrl-C
	target/debug/longshore dev $(OPTIONS)

# What `make run` needs, and what is shipped.
PROGRAMS := -p longshore -p longshore-worker -p longshore-scheduler -p longshore-simulator

build: ## Build the programs, quickly and without optimisation
	cargo build $(PROGRAMS)

# `--version` names it.
dist bench bench-peers: export LONGSHORE_COMMIT = $(shell git rev-parse --short=12 HEAD)

dist: ## Build what is shipped: optimised, into target/dist (takes ten minutes)
	cargo build --profile dist $(PROGRAMS) --features longshore-worker/jemalloc

# A folder with programs of `make dist`, to make a release without building them again.
FROM ?=

release: $(if $(FROM),,dist) ## Make the archive of a release, in target/release-archive
	deploy/release/build.sh $(or $(FROM),target/dist) target/release-archive

# The end-to-end tests start the programs, so these are built first. Clients are tested in the languages whose runtime is
# installed.
test: ## Run all tests
	@skip=$$(tests/clients/setup.sh); \
	set -x; \
	cargo build --workspace --bins; \
	tests/deploy/run.sh; \
	tests/run.sh $$skip

# CONTRIBUTING.md says how to read it. Without a seed, each run has another one.
MINUTES ?= 30
SEED ?=
CHAOS_FAULTS ?=

chaos: ## Break everything under load for MINUTES=30, from SEED=…, and check the books
	cargo build --workspace --bins
	MINUTES=$(MINUTES) SEED=$(SEED) CHAOS_FAULTS=$(CHAOS_FAULTS) \
	  cargo test -p longshore-tests --test it -- chaos::every_job_ends_once_whatever_breaks --nocapture

# `make test` sends a few of them.
JOBS ?= 50000

scale: ## Let workers come and go as KEDA would, under a load of JOBS=50000, and check that each job runs once
	cargo build --workspace --bins
	SCALE_JOBS=$(JOBS) cargo test -p longshore-tests --test it -- scale::every_job_runs_once --nocapture

lint: ## Check formatting, lints and the links of doc comments
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

deny: ## Check the licenses and the sources of dependencies (installs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-deny
	cargo deny check licenses bans sources

deploy-check: ## Check the chart, image, compose.yaml, alerts, dashboard, release archive and units, without a cluster
	tests/deploy/run.sh

compose-check: ## Check compose.yaml, without a container engine
	tests/deploy/run.sh test_image.Compose

# Each test compares a generated part of the documents, or writes it if the variable is set.
docs: ## Write the generated parts of docs/ (help texts, settings, metrics), and catalog.json
	LONGSHORE_UPDATE_DOCS=1 cargo test -p longshore -p longshore-config -p longshore-policy -p longshore-service -- docs:: reference::

schema: ## Write migrations/schema.sql from the migrations (needs Postgres)
	LONGSHORE_WRITE_SCHEMA=1 cargo test -p longshore-ledger schema_sql_is_up_to_date

bench: dist ## Measure what is shipped
	cargo run --profile dist -p longshore-tests --features jemalloc --bin longshore-bench

# Options of `longshore-bench peers`, such as PEERS="--rounds 9 --only longshore,bullmq".
PEERS ?=

bench-peers: dist ## Compare what is shipped with other job queues, which this installs (docs/PERFORMANCE.md)
	cargo run --profile dist -p longshore-tests --features jemalloc --bin longshore-bench -- peers $(PEERS)

# Its figures mean nothing, so it takes the programs that `make test` builds.
bench-quick: ## Check that each figure of `make bench` can be measured
	cargo build --workspace --bins
	target/debug/longshore-bench --quick

e2e-llm: build ## Run prompts, a recipe and a review through a small local model, and tools in a repository (needs node, python3, git)
	tests/e2e-llm/run.sh
