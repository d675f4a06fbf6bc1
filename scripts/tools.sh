#!/usr/bin/env bash
# Says early, and in one place, what is needed to build.
set -euo pipefail
need() { echo "needed: $1 ($2)" >&2; missing=1; }
missing=
command -v go >/dev/null || need "Go 1.26" "https://go.dev/dl"
command -v gcc >/dev/null || need "gcc" "apt-get install gcc libc6-dev"
if ! command -v node >/dev/null; then
  need "Node 20.19 or newer" "Debian 12's own is older; see https://nodejs.org"
elif ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
  need "Node 20.19 or newer" "this is $(node --version)"
fi
[ -z "$missing" ]
