#!/bin/sh
# Install the Debian packages named as arguments that are missing: as root or through sudo where that asks nothing,
# else print the one command that does it and fail.
set -eu

if ! command -v dpkg-query >/dev/null; then
    echo "setup: this is not Debian; install what these packages hold, then run make with SYSTEM_PACKAGES= : $*" >&2
    exit 1
fi
missing=
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root=sudo
else
    echo "setup: system packages are missing and this user may not install them; run:" >&2
    echo "    sudo apt-get update && sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root apt-get update -q && $as_root apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "setup: apt-get could not install$missing (its words are above)" >&2
    exit 1
fi
