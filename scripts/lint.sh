#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")/.."
files=$(git ls-files -co --exclude-standard '*.go')
unformatted=$(gofmt -l $files </dev/null)
if [ -n "$unformatted" ]; then
  echo "not formatted (gofmt -w):" >&2
  echo "$unformatted" >&2
  exit 1
fi
go vet ./...
go tool -modfile=tools/go.mod staticcheck ./...
for f in scripts/*.sh .ci/run; do bash -n "$f"; done
