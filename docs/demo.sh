#!/usr/bin/env bash
# The main job, each command shown before it runs: stock keytool and jarsigner use keys that live in the HSM.
# `make demo` runs it; by hand it needs `hsm` and a JDK 17 or later on PATH. It works in a temporary directory, which is
# gone at the end, as is the daemon.
set -euo pipefail

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

if [ -n "${JAVA_HOME:-}" ]; then PATH=$JAVA_HOME/bin:$PATH; fi
command -v hsm >/dev/null || fail 'hsm is not on PATH; run "make demo", or "make install" and add .venv/bin to PATH'
for tool in keytool jarsigner; do
    command -v "$tool" >/dev/null || fail "$tool is missing; install a JDK 17 or later, or set JAVA_HOME"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/hsm-demo.XXXXXX")
clean_up() {
    hsm stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
cd "$work"
unset HSM_PASSPHRASE HSM_ADMIN_PASSWORD HSM_SOCKET JAVA_TOOL_OPTIONS

say() { printf '\n# %s\n' "$*"; }

# Show a command as one would type it, then run it.
run() {
    printf '$'
    printf ' %q' "$@"
    printf '\n'
    "$@"
}

set_variable() {
    printf '$ export %s=%q\n' "$1" "$2"
    export "$1=$2"
}

# jarsigner's exit code says little about a jar that nobody signed; its words do.
run_verification() {
    local said
    said=$(run "$@") || { printf '%s\n' "$said"; fail 'the signature was not accepted'; }
    printf '%s\n' "$said"
    grep -q '^jar verified' <<<"$said" || fail 'the signature was not accepted'
}

# Issue a certificate for a request, as a certificate authority would; its key is in an ordinary software key store.
authority=(-keystore ca.p12 -storepass changeit)
make_authority() {
    run keytool -genkeypair -alias ca -keyalg EC -groupname secp256r1 -dname 'CN=Demo CA' -ext bc:c "${authority[@]}"
    run keytool -exportcert -alias ca -rfc -file ca.crt "${authority[@]}"
}

store=(-storetype CloudHSM -keystore certs.store -storepass changeit)

# The main job for one key pair: generate it in the HSM, get it certified, sign a jar with it, verify the jar.
# $keytool and $jarsigner hold how the tools are called.
generate_and_certify() {
    local alias=$1
    shift
    run "${keytool[@]}" -genkeypair -alias "$alias" "$@" -dname "CN=$alias" -providerName CloudHSM -keypass changeit "${store[@]}"
    run "${keytool[@]}" -certreq -alias "$alias" -file "$alias.csr" "${store[@]}"
    run keytool -gencert -alias ca -infile "$alias.csr" -outfile "$alias.crt" -rfc -ext EKU=codeSigning "${authority[@]}"
    run "${keytool[@]}" -importcert -noprompt -alias "$alias" -file "$alias.crt" "${store[@]}"
}

sign_and_verify() {
    local alias=$1
    run "${jarsigner[@]}" -signedjar "$alias.jar" "${store[@]}" app.jar "$alias"
    run_verification "${jarsigner[@]}" -verify "${store[@]}" "$alias.jar"
}

main_job() {
    local prefix=$1
    generate_and_certify "$prefix-rsa" -keyalg RSA -keysize 2048
    generate_and_certify "$prefix-ec" -keyalg EC -groupname secp256r1
    run "${keytool[@]}" -list "${store[@]}"
    sign_and_verify "$prefix-rsa"
    sign_and_verify "$prefix-ec"
}

say 'An HSM with an admin and the crypto user cu1'
set_variable HSM_HOME "$work/hsm"
set_variable HSM_USER cu1
set_variable HSM_PASSWORD demo-password
run hsm init --non-extractable

say 'Its daemon, to which any JVM of this user can talk'
run hsm start
run hsm status

say 'A real jar to sign, and a certificate authority'
jar=$(hsm jar)
run cp "$jar" app.jar
make_authority

say "The JDK's own keytool and jarsigner, with the provider's jar added to them"
keytool=(keytool -J-cp "-J$jar" -addprovider CloudHSM)
jarsigner=(jarsigner -J-cp "-J$jar" -addprovider CloudHSM)
run "${keytool[@]}" -importcert -noprompt -trustcacerts -alias demo-ca -file ca.crt "${store[@]}"
main_job stock

say 'The keys are in the HSM; certs.store holds certificates only'
run hsm key list

say 'The daemon is killed; nothing that it acknowledged is lost'
pid=$(hsm status --json | sed 's/.*"pid": \([0-9]*\).*/\1/')
run kill -9 "$pid"
run hsm start
sign_and_verify stock-rsa
sign_and_verify stock-ec
run hsm stop

say 'The same once more without a daemon: keytool and jarsigner run beside the HSM, in one process'
keytool=(hsm keytool)
jarsigner=(hsm jarsigner)
main_job beside
run hsm key list

say "Done. $work is removed now."
