#!/bin/bash
# start_postgres.sh DIR PORT [BINDIR]
# Starts a private PostgreSQL cluster in DIR, listening on 127.0.0.1:PORT and on a unix socket in DIR, with logical decoding on and trust for
# everybody. The first start makes the cluster. Prints nothing but errors. Started by root, the server runs as the user postgres, who must be
# able to reach DIR. BINDIR holds initdb and pg_ctl; default: $LAKEBOX_TEST_PG_BIN, then the newest under /usr/lib/postgresql, then the PATH's.
set -eu
dir=$1 port=$2 bin=${3:-${LAKEBOX_TEST_PG_BIN:-}}
if [ -z "$bin" ]; then
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
  [ -n "$bin" ] || bin=$(dirname "$(command -v initdb)")
fi
mkdir -p "$dir"
as=()
if [ "$(id -u)" = 0 ]; then
  chown postgres "$dir"
  as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
fail() { cat "$dir/start.out" "$dir/log" >&2 2>/dev/null; exit 1; }
cd "$dir"
if [ ! -f "$dir/data/PG_VERSION" ]; then
  "${as[@]}" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions >"$dir/start.out" 2>&1 || fail
  cat >> "$dir/data/postgresql.conf" <<C
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$dir'
wal_level = logical
max_replication_slots = 16
max_wal_senders = 16
max_wal_size = '4GB'
shared_buffers = '256MB'
# With fsync off this costs nothing, and what has committed is in the log at once.
fsync = off
C
fi
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 start >"$dir/start.out" 2>&1 || fail
