#!/usr/bin/env bash
# Every test in the order of its cost. `e2e` as argument: only what needs the whole binary.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}
profile=default
[ -n "${LAKEBOX_SOAK:-}" ] && profile=soak

step() { printf '\n── %s ──\n' "$*"; }

if [ "$what" = all ]; then
  step "formatting and lints"
  make --no-print-directory lint
  step "the dashboard's types, lints and unit tests"
  (cd ui && npm run --silent check)
fi

step "build"
cargo build --workspace --all-targets

if [ "$what" = all ]; then
  step "contracts"
  "$CARGO_TARGET_DIR/debug/lakebox" openapi | diff -u openapi.json - || { echo "openapi.json is out of date; run: make openapi"; exit 1; }
fi

step "the dashboard in Chromium, over the demo"
e2e/browser/run.sh

step "Rust tests, with real servers"
if [ "$what" = all ]; then filter='all()'; else filter='package(e2e)'; fi
exec cargo nextest run --workspace --profile "$profile" -E "$filter"
