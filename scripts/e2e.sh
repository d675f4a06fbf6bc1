#!/usr/bin/env bash
# The pages in Debian's Chromium with a fake camera, against the built program.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v chromium >/dev/null; then
  echo "left out: no chromium (apt-get install chromium)" >&2
  [ -z "${CI:-}" ] || exit 1
  exit 0
fi
cd test/e2e
npm ci --no-audit --no-fund
exec node --test --test-concurrency=1 --test-timeout=400000 *.test.mjs
