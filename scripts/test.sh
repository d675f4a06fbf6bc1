#!/usr/bin/env bash
# Everything that must be true, in the order in which it is cheapest to find out.
set -euo pipefail
cd "$(dirname "$0")/.."
begun=$SECONDS
step() { printf '\n== [%4ds] %s\n' $((SECONDS - begun)) "$*"; }

# SQLite is C that was translated to Go: under the race detector it runs forty times as
# long, and what it does with its own memory is not ours to check. Our own code is. One
# setting for all that is built here, so that nothing is compiled twice. (And `go test`
# need not vet what the lint step has.)
GOFLAGS="$(go env GOFLAGS) -vet=off -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false"
export GOFLAGS

# No test can tell whether a disk has what was synced to it (they kill programs, not
# machines), but they wait for it, so their files are in memory where there is enough.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ] && ! grep -q ' /dev/shm .*noexec' /proc/mounts && [ "$(df --output=avail /dev/shm | tail -n 1)" -gt 4000000 ]; then
  export TMPDIR=/dev/shm
fi

step "packages"
scripts/debian.sh chromium postgresql git gcc libc6-dev xmlsec1 libxml2-utils opensaml-schemas xmltooling-schemas

step "build"
make --no-print-directory build

step "lint"
scripts/lint.sh

step "scripts of the pages: types, and the committed bundles are what the sources give"
(cd web && npm ci --no-audit --no-fund && npm run --silent check && npm run --silent build)
git diff --exit-code -- internal/pages/static internal/sandbox/kosmos/static
(cd web/console && npm ci --no-audit --no-fund && npm run --silent check && npm test --silent && npm run --silent build)
# Names of files there change with what is in them.
test -z "$(git status --porcelain -- internal/console/static)" || { git status --short -- internal/console/static; exit 1; }

step "flows: the files are what their names give"
bin/kosmoscope flows build --check

step "OpenAPI"
(cd test/openapi && npm ci --no-audit --no-fund && npm run --silent lint)

step "without cgo: everything builds, and the engine says that it cannot tell"
CGO_ENABLED=0 go build ./...
# One package is different then, and those on top of it notice. The rest is the same code.
CGO_ENABLED=0 go vet ./internal/engine/...
CGO_ENABLED=0 go test ./internal/engine/{onnx,face,ocr,models,eval/...,service}
CGO_ENABLED=0 go test -run 'Open|OfVerifier' ./internal/engine
go test -count=1 ./test/nocgo

export KOSMOSCOPE_REQUIRE_MODELS=1 KOSMOSCOPE_MODELS="$PWD/bin/models" KOSMOSCOPE_MODEL_PACKAGES="$PWD/models/node_modules"

# What computes and shares nothing takes the race detector ten times as long and gives it
# nothing to find: of that, the tests with several callers at once. What runs whole
# programs has them fall behind when it shares the machine, so it goes alone, later.
arithmetic='internal/engine(/(barcode|face|models|mrz))?|internal/specimen'
programs='test/(cli|whole|federation|hooks|world)'

(cd internal/deliveries/standardwebhooks && npm ci --no-audit --no-fund)
step "Go tests with the race detector"
go list ./... | grep -vE "/($arithmetic|$programs|test/nocgo)\$" | xargs go test -race -timeout 20m
go list ./... | grep -E "/($arithmetic)\$" | xargs go test -race -timeout 20m -run 'Concurrent|Cancel|Close|Waits|Memory'

step "what computes"
go list ./... | grep -E "/($arithmetic)\$" | xargs go test -timeout 20m
# What the local 1Kosmos leaves out under the race detector.
go test -timeout 20m -run 'Takeover|ForReal' ./internal/sandbox/kosmos

KOSMOSCOPE_TWICE=$(mktemp)
export KOSMOSCOPE_TWICE
step "whole programs, one package at a time"
(cd test/federation/clients && npm ci --no-audit --no-fund)
scripts/twice.sh go test -race -timeout 20m ./test/whole
for p in $(go list ./... | grep -E "/($programs)\$" | grep -v /test/whole); do scripts/twice.sh go test -timeout 20m "$p"; done

step "in a real browser"
scripts/e2e.sh

if [ -s "$KOSMOSCOPE_TWICE" ]; then
  step "failed, and passed the second time:"
  sed 's/^/   /' "$KOSMOSCOPE_TWICE"
fi
left=()
command -v chromium >/dev/null || left+=("the tests in a browser (no chromium)")
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || [ -n "${KOSMOSCOPE_TEST_POSTGRES:-}" ] || left+=("PostgreSQL (no server)")
if [ ${#left[@]} -gt 0 ]; then
  step "passed, but left out:"
  printf '   %s\n' "${left[@]}"
else
  step "all passed"
fi
