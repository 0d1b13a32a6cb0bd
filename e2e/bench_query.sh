#!/usr/bin/env bash
# Measures queries: lakebox, plain DataFusion and DuckDB over the same Parquet files. `make bench-query` builds the programs first.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${LAKEBOX_CACHE:?run this through make}
export LAKEBOX_BIN=${LAKEBOX_BIN:-${CARGO_TARGET_DIR:?run this through make}/release/lakebox}
export BENCH_QUERY_BIN=${BENCH_QUERY_BIN:-$CARGO_TARGET_DIR/release/examples/bench_query}
export BENCH_QUERY_DATA=${BENCH_QUERY_DATA:-/var/tmp/lakebox-bench-query}

# The generator is an extension that exists for an older DuckDB only, so two of them live side by side.
need_venv() { # name, packages…
  local dir=$cache/venv-$1; shift
  local wanted; wanted=$(printf '%s\n' "$@")
  [ -f "$dir/wanted" ] && [ "$(cat "$dir/wanted")" = "$wanted" ] && return
  rm -rf "$dir"
  python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet --disable-pip-version-check "$@"
  printf '%s\n' "$wanted" > "$dir/wanted"
}
need_venv tpch duckdb==1.5.5 duckdb-extension-tpch==1.5.5
need_venv duckdb duckdb==2.0.0
mkdir -p "$BENCH_QUERY_DATA"
"$cache/venv-tpch/bin/python" e2e/bench_query/generate.py "$BENCH_QUERY_DATA"
exec "$cache/venv-duckdb/bin/python" e2e/bench_query/main.py "$@"
