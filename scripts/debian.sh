#!/usr/bin/env bash
# Installs Debian packages that are missing: scripts/debian.sh NAME...
# Without root it only says which; `make test` then says at its end what it left out.
set -euo pipefail
command -v dpkg-query >/dev/null || exit 0
missing=()
for p in "$@"; do
  dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "missing Debian packages: ${missing[*]} (not root: install them with sudo apt-get install ${missing[*]})" >&2
  exit 0
fi
echo "== installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
