#!/usr/bin/env bash
# Serves the demo on free ports and walks every page in Chromium. Screenshots land in LAKEBOX_SHOTS (test-results/ unless set).
set -euo pipefail
cd "$(dirname "$0")"
bin=${LAKEBOX_BIN:-${CARGO_TARGET_DIR:?run this through make}/debug/lakebox}
http=${LAKEBOX_HTTP_PORT:-21480}
pgwire=${LAKEBOX_PGWIRE_PORT:-21481}
flight=${LAKEBOX_FLIGHT_PORT:-21482}
export LAKEBOX_URL=http://127.0.0.1:$http
export LAKEBOX_SHOTS=${LAKEBOX_SHOTS:-$PWD/test-results}
mkdir -p "$LAKEBOX_SHOTS"

work=$(mktemp -d)
"$bin" demo --dir "$work/demo" --http "127.0.0.1:$http" --pgwire "127.0.0.1:$pgwire" --flight "127.0.0.1:$flight" > "$work/log" 2>&1 &
server=$!
stop() { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"; }
trap stop EXIT

for _ in $(seq 1 300); do
  curl -fsS --noproxy '*' "$LAKEBOX_URL/readyz" >/dev/null 2>&1 && break
  kill -0 "$server" 2>/dev/null || { cat "$work/log"; exit 1; }
  sleep 0.1
done
[ -d node_modules ] || npm ci --no-audit --no-fund --loglevel=error
npm test --silent || { status=$?; tail -40 "$work/log"; exit $status; }
