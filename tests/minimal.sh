#!/usr/bin/env bash
# Runs `make test` in an empty Debian that has what the README asks for and nothing else: python3, python3-venv, make and
# a JDK. Needs root and mmdebstrap. Arguments are those of pytest. The root file system stays in .minimal for the next run.
# With FIRST_MINUTE=1 it runs tests/first_minute.sh there instead.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/.minimal

if [ "$(id -u)" -ne 0 ] || ! command -v mmdebstrap >/dev/null; then
    echo "error: this needs root and mmdebstrap (Debian: apt install mmdebstrap)" >&2
    exit 1
fi
if [ ! -e "$root/.made" ]; then
    sources=/etc/apt/sources.list
    [ -s /etc/apt/sources.list.d/debian.sources ] && sources=/etc/apt/sources.list.d/debian.sources
    rm -rf "$root"
    mmdebstrap --variant=minbase --include=python3,python3-venv,make,default-jdk-headless \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" "$sources"
    touch "$root/.made"
fi

# The tree as git has it, with what is not committed yet; what an earlier run installed stays.
mkdir -p "$root/src"
find "$root/src" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
git ls-files --cached --others --exclude-standard -z | tar --create --null --files-from=- --ignore-failed-read \
    | tar --extract --directory "$root/src"

# The network and pip are configured as on this machine.
cp --dereference /etc/resolv.conf /etc/hosts "$root/etc/"
environment=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done
while IFS='=' read -r name value; do
    name=${name##*.}
    name=${name//-/_}
    value=${value#\'}
    value=${value%\'}
    environment+=("PIP_${name^^}=$value")
    case $value in /*) [ ! -e "$value" ] || cp --recursive --dereference --parents "$value" "$root" ;; esac
done < <("${PYTHON:-python3}" -m pip config list)

program=(make -C /src test "ARGS=$*")
if [ "${FIRST_MINUTE:-}" = 1 ]; then program=(bash /src/tests/first_minute.sh); fi

# The mounts end with the namespace.
exec unshare --mount --fork bash -euc '
    root=$1
    shift
    mount -t proc proc "$root/proc"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -sf pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    chroot "$root" env -i "$@"
' bash "$root" "${environment[@]}" "${program[@]}"
