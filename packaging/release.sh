#!/usr/bin/env bash
# What `make release` runs after `make install` and `make sbom`: builds everything that a release has into dist/, then proves
# it: the checksums, a wheel from the sdist, and a signature by the wheel, which pipx installs where nothing else is.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=$root/.venv/bin/python
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

step 'Proof: pipx installs the wheel, which alone signs a jar'
(
    cd "$work"
    unset "${!HSM_@}" "${!CLOUDHSM_@}" "${!PIPX_@}" PYTHONPATH
    export HOME=$work HSM_HOME=$work/hsm PIPX_HOME=$work/pipx PIPX_BIN_DIR=$work/bin PIPX_MAN_DIR=$work/man
    pipx=$root/.release/bin/pipx
    # pip wants a hash of the wheel too where a constraint has one. The environment of the list of dependencies has the hashes.
    sed -n 's/^\([^ #]*==[^ ;\\]*\).*/\1/p' "$root/requirements/run.txt" >constraints
    "$pipx" install --quiet --python "$python" --pip-args="--constraint $work/constraints" "$root/$wheel"
    "$pipx" runpip hsmbridge check
    bin/hsm quickstart --folder "$work/first"
    bin/hsm doctor
    # The unit runs the program of pipx's environment.
    bin/hsm service install --user --dry-run | grep -F "ExecStart=$work/pipx"
    test -s man/man1/hsm.1
    test -s pipx/venvs/hsmbridge/share/bash-completion/completions/hsm
)

step 'Done'
(cd dist && cat SHA256SUMS)
