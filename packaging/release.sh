#!/usr/bin/env bash
# What `make release` runs after `make install` and `make sbom`: builds everything that a release has into dist/, then proves
# it: the checksums, a wheel from the sdist, and a signature by the wheel in an environment with nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export PIP_DISABLE_PIP_VERSION_CHECK=1

step() { printf '== %s (after %d s)\n' "$*" "$SECONDS"; }

step 'The wheel and the sdist'
rm -rf dist
"$python" -m hatchling build --directory dist --target wheel --target sdist
wheel=$(echo dist/*.whl)

step 'The jars with their POMs, as a Maven repository, and the list of dependencies'
"$python" -m bridge jar --maven dist/maven
cp build/hsmbridge.cdx.json dist/

step 'SHA256SUMS'
(cd dist && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS)

step 'Proof: the checksums'
(cd dist && sha256sum --check --quiet SHA256SUMS)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step 'Proof: the sdist builds the same wheel'
"$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/again" dist/*.tar.gz
diff <("$python" -m zipfile --list "$wheel" | sort) <("$python" -m zipfile --list "$work/again/$(basename "$wheel")" | sort)

step 'Proof: the wheel alone signs a jar'
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --require-hashes --requirement requirements/run.txt
"$work/venv/bin/python" -m pip install --quiet --no-deps "$wheel"
"$work/venv/bin/python" -m pip check
(
    cd "$work"
    unset "${!HSM_@}" "${!CLOUDHSM_@}" PYTHONPATH
    HSM_HOME=$work/hsm "$work/venv/bin/hsm" quickstart
    HSM_HOME=$work/hsm "$work/venv/bin/hsm" doctor
    test -s "$work/venv/share/man/man1/hsm.1"
    test -s "$work/venv/share/bash-completion/completions/hsm"
)

step 'Done'
(cd dist && cat SHA256SUMS)
