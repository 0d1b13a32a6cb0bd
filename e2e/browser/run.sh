#!/usr/bin/env bash
# Serves the demo, and a lakebox that runs one query at a time, and walks every page in Chromium. Screenshots land in LAKEBOX_SHOTS (test-results/ unless set).
set -euo pipefail
cd "$(dirname "$0")"
bin=${LAKEBOX_BIN:-${CARGO_TARGET_DIR:?run this through make}/debug/lakebox}
http=${LAKEBOX_HTTP_PORT:-21480}
pgwire=${LAKEBOX_PGWIRE_PORT:-21481}
flight=${LAKEBOX_FLIGHT_PORT:-21482}
export LAKEBOX_URL=http://127.0.0.1:$http
export LAKEBOX_SHOTS=${LAKEBOX_SHOTS:-$PWD/test-results}
mkdir -p "$LAKEBOX_SHOTS"

export LAKEBOX_NARROW_URL=http://127.0.0.1:${LAKEBOX_NARROW_PORT:-21483}

work=$(mktemp -d)
mkdir -p "$work/narrow"
cat > "$work/narrow/lakebox.yaml" <<END
lake: { warehouse: "$work/narrow/lake" }
server: { http: "${LAKEBOX_NARROW_URL#http://}", pgwire: "127.0.0.1:${LAKEBOX_NARROW_PGWIRE_PORT:-21484}", flight: "127.0.0.1:${LAKEBOX_NARROW_FLIGHT_PORT:-21485}", queries_max: 1, queue_wait: 20s }
END
"$bin" demo --dir "$work/demo" --http "127.0.0.1:$http" --pgwire "127.0.0.1:$pgwire" --flight "127.0.0.1:$flight" > "$work/log" 2>&1 &
server=$!
"$bin" serve --config "$work/narrow/lakebox.yaml" > "$work/narrow.log" 2>&1 &
narrow=$!
stop() { kill "$server" "$narrow" 2>/dev/null || true; wait "$server" "$narrow" 2>/dev/null || true; rm -rf "$work"; }
trap stop EXIT

# ready URL PID LOG
ready() {
  for _ in $(seq 1 300); do
    curl -fsS --noproxy '*' "$1/readyz" >/dev/null 2>&1 && return
    kill -0 "$2" 2>/dev/null || { cat "$3"; exit 1; }
    sleep 0.1
  done
}
ready "$LAKEBOX_URL" "$server" "$work/log"
ready "$LAKEBOX_NARROW_URL" "$narrow" "$work/narrow.log"
[ -d node_modules ] || npm ci --no-audit --no-fund --loglevel=error
npm test --silent || { status=$?; tail -40 "$work/log"; exit $status; }
