#!/usr/bin/env bash
# Measures what bench/README.md lists, and prints figures; `make bench` builds first.
#   BENCH_DURATION=20s  how long the nodes are called, in each store
#   BENCH_DEMO=1        also make demo in a fresh copy of this checkout, up to its first page,
#                       once with Go's build cache as it is and once with an empty one
# Fails when something does not answer as it must, never over a figure.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }

tools=$(mktemp -d)
cluster=
finish() {
  if [ -n "$cluster" ]; then as_postgres "$bin/pg_ctl" -D "$cluster/data" -m fast stop >/dev/null || true; fi
  rm -rf "$tools" ${cluster:+"$cluster"}
}
trap finish EXIT

# A throw-away PostgreSQL that really syncs, on a socket in a folder of its own.
# The server refuses to be root.
as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups "$@"); else "$@"; fi
}
start_postgres() {
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  [ -n "$bin" ] || return 1
  if [ "$(id -u)" -eq 0 ]; then id postgres >/dev/null 2>&1 || return 1; fi
  cluster=$(mktemp -d)
  if [ "$(id -u)" -eq 0 ]; then chown postgres "$cluster"; fi
  as_postgres "$bin/initdb" -D "$cluster/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >/dev/null
  as_postgres "$bin/pg_ctl" -D "$cluster/data" -l "$cluster/log" -w -o "-k $cluster -c listen_addresses= -c fsync=on -c synchronous_commit=on" start >/dev/null
  export KOSMOSCOPE_TEST_POSTGRES="postgres://postgres@/postgres?host=$cluster"
}

go build -o "$tools/nodes" ./bench/nodes
duration=${BENCH_DURATION:-20s}

step "nodes, step-ups and memory, SQLite"
"$tools/nodes" --duration "$duration"

step "nodes, step-ups and memory, PostgreSQL"
if [ -n "${KOSMOSCOPE_TEST_POSTGRES:-}" ] || start_postgres; then
  "$tools/nodes" --duration "$duration" --store postgres
else
  echo "left out: no PostgreSQL (apt-get install postgresql, or set KOSMOSCOPE_TEST_POSTGRES)"
fi

step "sign-ins by OpenID Connect, beside two peers"
if command -v npm >/dev/null; then
  go run ./bench/federation
else
  echo "left out: no npm, which one of the peers comes with"
fi

step "hooks: events in, first action, jobs beside River"
go build -o "$tools/hooks" ./bench/hooks
"$tools/hooks"

step "blockid: encrypted create + result pairs"
go test -run '^$' -bench CreateResult -benchtime 3s -count 3 ./blockid

if [ "${BENCH_DEMO:-}" = 1 ]; then
  step "make demo in a fresh copy: modules and compiled packages cached"
  "$tools/nodes" --make-demo
  step "make demo in a fresh copy: modules cached, nothing compiled yet"
  GOCACHE="$tools/cache" "$tools/nodes" --make-demo
fi
