#!/usr/bin/env bash
# Measures what must stay fast however large and old a lake is. `make bench-lake` builds the programs first.
set -euo pipefail
cd "$(dirname "$0")/.."
export LAKEBOX_BIN=${LAKEBOX_BIN:-${CARGO_TARGET_DIR:?run this through make}/release/lakebox}
export BENCH_LAKE_BIN=${BENCH_LAKE_BIN:-$CARGO_TARGET_DIR/release/examples/bench_lake}
exec "${LAKEBOX_READERS_PYTHON:?run this through make}" e2e/bench_lake/main.py "$@"
