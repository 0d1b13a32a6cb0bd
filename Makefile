# Everything a person or CI does here. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lakebox
export CARGO_TARGET_DIR ?= $(CACHE)/target
export LAKEBOX_CACHE := $(CACHE)
export LAKEBOX_SERVERS ?= /var/tmp/lakebox-servers
export LAKEBOX_PLUGINS_DIST := $(CURDIR)/plugins/dist
export LAKEBOX_READERS_PYTHON := $(CACHE)/venv-readers/bin/python
BIN := $(CARGO_TARGET_DIR)/debug/lakebox

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Clones share one target folder, and cargo takes what another clone built, with that one's paths inside, for fresh when the
# sources here are older. So a clone that did not build last builds its own crates anew.
.PHONY: checkout
checkout:
	@stamp=$(CARGO_TARGET_DIR)/checkout; mkdir -p $(CARGO_TARGET_DIR); \
	[ "$$(cat $$stamp 2>/dev/null)" = "$(CURDIR)" ] || { find crates e2e -name '*.rs' -exec touch {} +; echo "$(CURDIR)" > $$stamp; }

# ── What people run ──────────────────────────────────────────────────────────────────────────────
.PHONY: demo
demo: checkout ui plugins ## build everything and serve the bundled example at http://127.0.0.1:8480
	cargo build --workspace --bins
	$(BIN) demo

.PHONY: run
run: checkout ui plugins ## serve ./lakebox.yaml
	cargo build --workspace --bins
	$(BIN) serve

.PHONY: build
build: checkout ui plugins ## the optimised binary, for deployment and benchmarks
	cargo build --release --workspace --bins
	strip --strip-debug $(CARGO_TARGET_DIR)/release/lakebox

# ── What goes into the binary ────────────────────────────────────────────────────────────────────
.PHONY: ui
ui: ui/dist/index.html ## the dashboard

ui/dist/index.html: $(shell find ui/src ui/index.html ui/package-lock.json ui/vite.config.ts -type f 2>/dev/null) ui/node_modules/.installed
	cd ui && npm run build

ui/node_modules/.installed: ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund --loglevel=error
	touch $@

.PHONY: plugins
plugins: ## the WebAssembly plugins, from source
	plugins/build.sh

# ── What keeps it right ──────────────────────────────────────────────────────────────────────────
.PHONY: setup
setup: ## install what the tests need: Debian packages, Python environments, PostgreSQL 17 and 18
	e2e/setup.sh

.PHONY: test
test: checkout setup ui plugins ## every test: lints, units, real servers, readers, browser
	e2e/run-all.sh

.PHONY: e2e
e2e: checkout setup ui plugins ## only the black-box tests against the real binary
	e2e/run-all.sh e2e

.PHONY: lint
lint: checkout ## formatting and lints, as CI runs them
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

.PHONY: fmt
fmt: ## format the Rust code
	cargo fmt --all

.PHONY: openapi
openapi: checkout ui/dist/.gitkeep ## write openapi.json and the dashboard's types from the code
	cargo build --workspace --bins
	$(BIN) openapi > openapi.json
	cd ui && npm run --silent gen:types

.PHONY: bench
bench: checkout build setup ## measure against the sources' own tools, and renew docs/BENCHMARKS.md
	e2e/bench.sh

.PHONY: bench-query
bench-query: checkout ui plugins ## measure SQL against plain DataFusion and DuckDB on the same files, and renew docs/BENCHMARKS-QUERY.md
	cargo build --release --workspace --bins --example bench_query
	e2e/bench_query.sh

.PHONY: bench-lake
bench-lake: checkout setup ui plugins ## measure lookups, plans and listings of large and old lakes, and renew docs/BENCHMARKS-LAKE.md
	cargo build --release --workspace --bins --example bench_lake
	e2e/bench_lake.sh

.PHONY: soak
soak: checkout setup ui plugins ## long kill and fault runs
	LAKEBOX_SOAK=1 e2e/run-all.sh e2e
