#!/usr/bin/env bash
# Runs every fuzz target for a while: FUZZTIME=20s scripts/fuzz.sh [PACKAGE...]
set -euo pipefail
cd "$(dirname "$0")/.."
for pkg in $(go list "${@:-./...}"); do
  for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
    echo "== $pkg $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" "$pkg"
  done
done
