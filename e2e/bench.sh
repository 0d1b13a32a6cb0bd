#!/usr/bin/env bash
# Measures the optimised binary against the source's own tools. `make bench` builds it first.
set -euo pipefail
cd "$(dirname "$0")/.."
export LAKEBOX_BIN=${LAKEBOX_BIN:-${CARGO_TARGET_DIR:?run this through make}/release/lakebox}
exec "${LAKEBOX_READERS_PYTHON:?run this through make}" e2e/bench/main.py "$@"
