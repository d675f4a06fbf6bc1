#!/usr/bin/env bash
# scripts/e2e.sh [FILE...]: the pages in Debian's Chromium with a fake camera, against the
# built program. What the pages of a test that fails show is kept in test-results/e2e.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v chromium >/dev/null; then
  echo "left out: no chromium (apt-get install chromium)" >&2
  [ -z "${CI:-}" ] || exit 1
  exit 0
fi
export KOSMOSCOPE_E2E_ARTIFACTS=${KOSMOSCOPE_E2E_ARTIFACTS:-$PWD/test-results/e2e}
KOSMOSCOPE_E2E_FIXTURES=$(mktemp -d) # the documents and frames are made once
export KOSMOSCOPE_E2E_FIXTURES
trap 'rm -rf "$KOSMOSCOPE_E2E_FIXTURES"' EXIT
twice=$PWD/scripts/twice.sh
cd test/e2e
npm ci --no-audit --no-fund
[ $# -gt 0 ] || set -- *.test.mjs
failed=()
for file; do
  # The time limit is one for a whole file on a machine that is four times slower than most.
  "$twice" node --test --test-timeout=1200000 "$file" || failed+=("$file")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
