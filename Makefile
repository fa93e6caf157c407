# The two that matter: `make run` and `make test`. Each installs what it misses on Debian.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
target := $(or $(CARGO_TARGET_DIR),target)
dashboard := frontend/dist/index.html
dashboard_sources := Trunk.toml Cargo.lock scripts/dashboard.sh scripts/compress.mjs \
	$(shell find frontend protocol -type f -not -path 'frontend/dist/*')

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help run build test test-build test-unit test-e2e simulate fuzz dev lint fmt bench setup setup-test clean

help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: build ## Build what changed, then serve on 127.0.0.1:8080 (ARGS="--listen ..." for more)
	@exec target/release/limelight serve $(ARGS)

build: setup $(dashboard) ## The finished server, dashboard within: target/release/limelight
	@echo "[limelight] building the server (5 minutes from scratch on two cores)"
	cargo build --release --locked -p limelight-server
	@cmp -s $(target)/release/limelight target/release/limelight || \
		install -D $(target)/release/limelight target/release/limelight

$(dashboard): $(dashboard_sources) | setup
	scripts/dashboard.sh

# One compilation for all tests and for the server they start: the same features, the same profile.
test-build: setup-test $(dashboard)
	@echo "[limelight] building the server and the tests (4 minutes from scratch on two cores)"
	cargo build --locked --workspace --all-targets

test: test-build ## Everything: units, stores, the real binary, the dashboard in Chromium
	cargo test --locked --workspace --no-fail-fast

test-unit: test-build ## Unit, property and store tests only
	cargo test --locked --workspace --lib --bins

test-e2e: test-build ## Only the real binary over HTTP and WebSocket, and in Chromium
	cargo test --locked --workspace --test '*'

simulate: setup ## Many random histories of engine, coordinator and journal with faults (N=20000)
	LIMELIGHT_SIMULATIONS=$(or $(N),20000) cargo test --locked --release -p limelight-server --lib -- simulation

fuzz: test-build ## Much nonsense for every parser, and for the API by its description
	PROPTEST_CASES=$(or $(N),20000) cargo test --locked --workspace --lib -- fuzz_
	LIMELIGHT_FUZZ_EXAMPLES=100 cargo test --locked -p limelight-tests --test openapi

dev: setup ## Server and dashboard with hot reload on 127.0.0.1:8081
	@scripts/dev.sh

lint: setup ## Formatting and clippy, warnings denied
	scripts/lint.sh

fmt: ## Format
	cargo fmt --all

bench: build ## Fan-out, chain and journal on SQLite and PostgreSQL
	@scripts/bench.sh

setup: ## Install what a build needs
	@scripts/setup.sh

setup-test: ## Install what the tests need, too
	@scripts/setup.sh test

clean: ## Remove what was built (data stays)
	cargo clean
	rm -rf frontend/dist
