#!/usr/bin/env bash
# Times the README's two commands, from a clone to the first signature, without the downloads: `make first-minute`.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
clear() { rm -rf .venv bridge/*.jar bridge/*.so; find bridge hsmcore keystore -name __pycache__ -prune -exec rm -rf {} +; }

clear
make --silent install
.venv/bin/python -m pip download --quiet --require-hashes --requirement requirements/dev.txt --dest "$work/packages"
clear

export PIP_NO_INDEX=1 PIP_FIND_LINKS=$work/packages HOME=$work TIMEFORMAT='%1R s (%1U s + %1S s of processors)'
time_of() { { time "$@" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; } } 2>&1; }
install=$(time_of make install)
signature=$(PATH=$PWD/.venv/bin:$PATH time_of hsm quickstart --folder "$work/first")
grep -q 'jar verified' "$work/said"
echo "make install: $install, hsm quickstart: $signature"
