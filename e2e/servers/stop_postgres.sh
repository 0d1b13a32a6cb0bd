#!/bin/bash
# stop_postgres.sh DIR [MODE]
# Stops the cluster that start_postgres.sh started in DIR; MODE is signal's way: fast (default), immediate or smart. Prints nothing but errors.
set -eu
dir=$1 mode=${2:-fast}
pid=$(head -1 "$dir/data/postmaster.pid" 2>/dev/null) || exit 0
case $mode in fast) signal=INT ;; immediate) signal=QUIT ;; smart) signal=TERM ;; *) echo "unknown mode $mode" >&2; exit 1 ;; esac
kill -s "$signal" "$pid" 2>/dev/null || exit 0
for _ in $(seq 600); do
  kill -0 "$pid" 2>/dev/null || exit 0
  sleep 0.05
done
echo "the server with process id $pid does not stop" >&2
exit 1
