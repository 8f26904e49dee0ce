"""``hsm keystore import`` as a process: what goes in, what does not and why, again and interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bridge.carriers.client import Client
from bridge.carriers.jvm import provider_jar
from bridge.cli.tables import maps
from hsmcore import files
from hsmcore.errors import ForeignKeyUnreadable
from keystore.foreign import Found, Reason, Refused, judge
from keystore.foreign.model import Opened, private_key, secret_key
from tests import jdk
from tests.conftest import alike, repeated
from tests.keystore.foreign.conftest import (
    PASSWORD,
    Cli,
    entries_of,
    generate,
    generate_secret,
    jks_of,
    needs_pyjks,
    run,
)

DATA = Path(__file__).parent / "data"


def results(entries: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {alias: entry["reason"] or entry["result"] for alias, entry in entries.items()}


def snapshot(cli: Cli) -> tuple[list[dict[str, Any]], bytes | None]:
    return cli.found_keys(), cli.store.read_bytes() if cli.store.exists() else None


def test_jks_then_stock_tools_sign_with_the_key(cli: Cli, stores: Path, tmp_path: Path) -> None:
    done = cli.run("keystore", "import", stores / "all.jks", "--keystore", cli.store, "--json")
    assert done.returncode == 3, done.stdout + done.stderr
    entries = {entry["alias"]: entry for entry in json.loads(done.stdout)["entries"]}
    assert results(entries) == {
        "release": "imported", "root": "imported", "own-password": "key-password", "small": "size", "dsa": "algorithm",
    }  # fmt: skip
    assert entries["release"]["type"] == "RSA 2048"
    assert cli.store.stat().st_mode & 0o777 == 0o600
    (key,) = cli.found_keys()
    assert (key["LABEL"], key["OBJECT_CLASS"], key["TOKEN"], key["EXTRACTABLE"]) == (
        "release",
        "PRIVATE_KEY",
        True,
        True,
    )

    options = ("-storetype", "CloudHSM", "-keystore", cli.store, "-storepass", PASSWORD)
    listed = cli.run("keytool", "-list", *options)
    assert "release, " in listed.stdout
    assert (listed.stdout.count("PrivateKeyEntry"), listed.stdout.count("trustedCertEntry")) == (1, 1)
    jar = tmp_path / "app.jar"
    shutil.copy(provider_jar(), jar)
    signed = cli.run("jarsigner", *options, jar, "release")
    assert signed.returncode == 0, signed.stdout + signed.stderr
    # The judge is a JDK that has the certificate from the file the key came from, and no HSM.
    verified = run(
        *jdk.command("jarsigner"), "-verify", "-strict", "-keystore", stores / "all.jks", "-storepass", PASSWORD, jar
    )
    assert "jar verified" in verified


def test_key_passwords(cli: Cli, stores: Path, tmp_path: Path) -> None:
    assert results(cli.take(stores / "all.jks", code=3))["own-password"] == "key-password"
    passwords = tmp_path / "passwords"
    passwords.write_text("wrong-one\nanother-password\n")
    again = cli.take(stores / "all.jks", "--key-password-file", str(passwords), code=3)
    assert results(again)["own-password"] == "imported"
    assert results(again)["release"] == "already-there"
    assert results(cli.take(stores / "all.jks", code=3, HSM_KEY_PASSWORD="another-password"))["own-password"] == (
        "already-there"
    )
    asked = cli.run("keystore", "import", stores / "all.jks", "--keystore", cli.store, "--key-password")
    assert asked.returncode == 1
    assert "--key-password-file" in asked.stderr


@pytest.mark.long
def test_jceks_with_secret_keys_twice(cli: Cli, stores: Path) -> None:
    assert set(results(cli.take(stores / "all.jceks")).values()) == {"imported"}
    types = {key["LABEL"]: (key["KEY_TYPE"], key["SIZE"]) for key in cli.found_keys()}
    assert types == {
        "pair": ("EC", 384),
        "data": ("AES", 256),
        "old": ("DESEDE", 192),
        "tokens": ("GENERIC_SECRET", 256),
    }
    before = snapshot(cli)
    assert set(results(cli.take(stores / "all.jceks")).values()) == {"already-there"}
    assert snapshot(cli) == before


def test_pkcs12_of_keytool(cli: Cli, stores: Path) -> None:
    assert set(results(cli.take(stores / "all.p12", "--non-extractable")).values()) == {"imported"}
    assert {key["EXTRACTABLE"] for key in cli.found_keys()} == {False}


@pytest.mark.parametrize("name", alike(["v2.bks", "v1.bks", "bc.p12"]))
def test_bouncy_castle(cli: Cli, name: str) -> None:
    needs_pyjks(name)
    entries = results(cli.take(DATA / name, code=0, HSM_KEY_PASSWORD="another-password"))
    assert set(entries.values()) == {"imported"}
    assert "Release" in {key["LABEL"] for key in cli.found_keys()}


def test_a_dry_run_changes_nothing(cli: Cli, stores: Path) -> None:
    before = snapshot(cli)
    report = cli.report("import", stores / "all.jceks", "--keystore", cli.store, "--dry-run")
    assert report["dry_run"] is True
    assert report["counts"] == {"importable": 4}
    assert snapshot(cli) == before == ([], None)
    cli.take(stores / "all.jceks")
    before = snapshot(cli)
    wet = {**results(cli.take(stores / "all.p12", "--dry-run", code=3))}
    assert wet == {
        "server": "importable", "client": "importable", "data": "alias-taken", "tokens": "alias-taken",
        "trusted": "importable",
    }  # fmt: skip
    assert snapshot(cli) == before


def test_an_alias_of_another_key_or_certificate_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    first, second = tmp_path / "first.p12", tmp_path / "second.p12"
    for store in (first, second):
        generate(store, "PKCS12", "same", "-keyalg", "EC", "-groupname", "secp256r1")
    generate_secret(second, "PKCS12", "fresh", "AES", 256)
    cli.take(first)
    before = snapshot(cli)
    assert results(cli.take(second, code=3)) == {"same": "alias-taken", "fresh": "imported"}
    keys, store_file = snapshot(cli)
    assert store_file == before[1]
    assert [key for key in keys if key["LABEL"] == "same"] == before[0]


def test_aliases_that_differ_in_case(cli: Cli, tmp_path: Path) -> None:
    certificate = entries_of(DATA / "bc.p12")[0].chain[0]
    file = tmp_path / "case.jks"
    file.write_bytes(jks_of(dict.fromkeys(("Root", "root", "ünï 中"), certificate)))
    assert results(cli.take(file, code=3)) == {"Root": "imported", "root": "duplicate", "ünï \u4e2d": "imported"}
    again = cli.run("keytool", "-list", "-storetype", "CloudHSM", "-keystore", cli.store, "-storepass", PASSWORD)
    assert "contains 2 entries" in again.stdout


def pkcs8(key: Any) -> Opened:
    return private_key(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (pkcs8(rsa.generate_private_key(65537, 1024)), Reason.SIZE),  # noqa: S505 - it is to be refused
        (pkcs8(dsa.generate_private_key(2048)), Reason.ALGORITHM),
        (pkcs8(ed448.Ed448PrivateKey.generate()), Reason.ALGORITHM),
        (pkcs8(ec.generate_private_key(ec.BrainpoolP256R1())), Reason.CURVE),
        (private_key(b"\x30\x03\x02\x01\x00"), Reason.KEY),
        (private_key(b""), Reason.KEY),
        (secret_key("AES", bytes(17)), Reason.SIZE),
        (secret_key("DESede", bytes(16)), Reason.SIZE),
        (secret_key("HmacSHA256", bytes(4000)), Reason.SIZE),
    ],
)
def test_keys_that_the_hsm_has_not(key: Opened, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        judge("alias", key, (), {})
    assert refused.value.reason is reason
    assert not key.material or key.material.hex() not in repr(refused.value)


@pytest.mark.parametrize(
    ("key", "key_type"),
    [(ed25519.Ed25519PrivateKey.generate(), "EC_EDWARDS"), (mldsa.MLDSA87PrivateKey.generate(), "ML_DSA")],
)
def test_keys_that_sign_messages(key: Any, key_type: str) -> None:
    taken = judge("alias", pkcs8(key), (), {})
    assert taken.attributes["KEY_TYPE"] == key_type
    assert taken.public_key_info == key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.long
def test_an_ed25519_key_of_keytool(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "edwards.p12"
    generate(file, "PKCS12", "edwards", "-keyalg", "Ed25519")
    assert results(cli.take(file)) == {"edwards": "imported"}
    assert {key["KEY_TYPE"] for key in cli.found_keys()} == {"EC_EDWARDS"}


def test_a_label_that_is_too_long_and_a_chain_of_another_key() -> None:
    key = pkcs8(ec.generate_private_key(ec.SECP256R1()))
    chain = next(entry.chain for entry in entries_of(DATA / "bc.p12") if entry.chain)
    for alias, given, reason in (("x" * 128, (), Reason.ALIAS), ("x", chain, Reason.CERTIFICATE)):
        with pytest.raises(Refused) as refused:
            judge(alias, key, given, {})
        assert refused.value.reason is reason
    with pytest.raises(Refused) as refused:
        judge("x", key, (b"no certificate",), {})
    assert refused.value.reason is Reason.CERTIFICATE


def test_what_opens_but_is_not_understood() -> None:
    def fails(password: str) -> Opened:
        raise ForeignKeyUnreadable("sealed otherwise")

    from bridge.cli.importing import Passwords

    with pytest.raises(Refused) as refused:
        Passwords(["a"]).open(Found("alias", (), fails))
    assert (refused.value.reason, refused.value.detail) == (Reason.KEY, "sealed otherwise")


_STOPS: list[tuple[list[str], dict[str, str], int, str]] = [
    (["--keystore", "{store}"], {"HSM_FILE_PASSWORD": "wrong"}, 1, "password is wrong"),
    (["--keystore", "{store}"], {"HSM_FILE_PASSWORD": ""}, 1, "set HSM_FILE_PASSWORD"),
    (["--keystore", "{store}"], {"HSM_KEYSTORE_PASSWORD": "short"}, 1, "at least 6 characters"),
    (["--keystore", "{store}"], {"HSM_PASSWORD": "wrong-password"}, 1, "HSM_PASSWORD"),
    (["--keystore", "{store}/none/certs.store"], {}, 1, "create it first"),
    (["--keystore", "{file}"], {}, 2, "same file"),
    ([], {}, 2, "--no-certificates"),
    (["--keystore", "{store}", "--no-certificates"], {}, 2, "--no-certificates"),
]


def test_what_stops_an_import(cli: Cli, stores: Path) -> None:
    file = stores / "all.jceks"
    for words, env, code, says in _STOPS:
        done = cli.here("keystore", "import", file, *(word.format(store=cli.store, file=file) for word in words), **env)
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
    assert snapshot(cli) == ([], None)


def test_no_key_store_at_all(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"", b"something else", (DATA / "bc.p12").read_bytes()[:300]):
        file.write_bytes(content)
        done = cli.here("keystore", "import", file, "--keystore", cli.store)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_its_own_file_is_not_imported(cli: Cli, stores: Path, tmp_path: Path) -> None:
    cli.take(stores / "all.p12")
    done = cli.here("keystore", "import", cli.store, "--keystore", tmp_path / "other.store")
    assert (done.returncode, "is a CloudHSM key store" in done.stderr) == (1, True)


def test_files_that_would_never_end(cli: Cli, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(33 << 20)
    for path, says in ((Path("/dev/zero"), "neither a file nor a pipe"), (large, "longer than")):
        done = cli.here("keystore", "import", path, "--no-certificates")
        assert (done.returncode, says in done.stderr) == (1, True), done.stderr


def test_a_pipe_that_nobody_writes_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="nothing came from the pipe"):
        files.read_whole(tmp_path / "pipe", 100)
    reader, writer = os.pipe()
    os.write(writer, b"content")
    os.close(writer)
    try:
        assert files.read_whole(Path(f"/dev/fd/{reader}"), 100) == b"content"
    finally:
        os.close(reader)


def iterated(folder: Path, count: int, *options: str) -> Path:
    """Make a PKCS #12 of openssl with that iteration count in each of its parts."""
    key, certificate, file = folder / "k.pem", folder / "c.pem", folder / f"{count}.p12"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=o",
        "-keyout", key, "-out", certificate)  # fmt: skip
    run("openssl", "pkcs12", "-export", "-iter", str(count), *options, "-certpbe", "NONE", "-inkey", key, "-in",
        certificate, "-out", file, "-passout", f"pass:{PASSWORD}")  # fmt: skip
    return file


def test_iterations_are_bounded(cli: Cli, tmp_path: Path) -> None:
    # OpenSSL would open it, in some seconds.
    done = cli.here("keystore", "import", iterated(tmp_path, 5_000_001, "-keypbe", "NONE"), "--no-certificates")
    assert (done.returncode, "iteration count too large" in done.stderr) == (1, True), done.stderr
    # Where Java does not look at the count before OpenSSL does, time is bounded.
    file = iterated(tmp_path, 100_001, "-nomac")
    file.write_bytes(file.read_bytes().replace(b"\x02\x03\x01\x86\xa1", b"\x02\x03\x7f\xff\xff"))
    program = "from bridge.cli import main, storefiles; storefiles.LONGEST = 2; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "keystore", "import", str(file), "--no-certificates"],
        env=cli.env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, "Timeout" in done.stderr) == (1, True), done.stderr
    assert cli.found_keys() == []


def test_keys_alone(cli: Cli, stores: Path) -> None:
    report = cli.report("import", stores / "all.p12", "--no-certificates")
    assert report["counts"] == {"imported": 4, "left-out": 1}
    assert not cli.store.exists()
    # Later, with a file, the certificates of the keys that are there join them.
    assert results(cli.take(stores / "all.p12")) == {
        "server": "already-there", "client": "already-there", "data": "already-there", "tokens": "already-there",
        "trusted": "imported",
    }  # fmt: skip
    listed = cli.run("keytool", "-list", "-storetype", "CloudHSM", "-keystore", cli.store, "-storepass", PASSWORD)
    assert listed.stdout.count("PrivateKeyEntry") == 2


def many(count: int, folder: Path) -> Path:
    """Make a PKCS #12 with that many P-256 keys and their certificates through the JDK's KeyStore."""
    source, file = folder / "Many.java", folder / "many.p12"
    one = folder / "one.p12"
    generate(one, "PKCS12", "one", "-keyalg", "EC", "-groupname", "secp256r1")
    source.write_text(
        """
        import java.io.*; import java.security.*;
        public class Many { public static void main(String[] a) throws Exception {
            char[] password = a[2].toCharArray();
            KeyStore one = KeyStore.getInstance("PKCS12");
            try (InputStream in = new FileInputStream(a[0])) { one.load(in, password); }
            KeyStore all = KeyStore.getInstance("PKCS12");
            all.load(null, null);
            for (int i = 0; i < Integer.parseInt(a[3]); i++)
                all.setKeyEntry("key-" + i, one.getKey("one", password), password, one.getCertificateChain("one"));
            try (OutputStream out = new FileOutputStream(a[1])) { all.store(out, password); }
        } }
        """
    )
    run("java", source, one, file, PASSWORD, str(count))
    return file


@pytest.mark.long
def test_many_entries_and_an_interruption(cli: Cli, tmp_path: Path) -> None:
    count = repeated(60, 200)
    file = many(count, tmp_path)
    cli.run("start")
    try:
        command = [sys.executable, "-m", "bridge", "keystore", "import", str(file), "--keystore", str(cli.store)]
        with Client.connect(cli.folder / "hsm") as client:
            process = subprocess.Popen(command, env=cli.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            # Each question waits for its answer, which the daemon gives between two of the imports.
            while maps(list(client.call("STATUS")))[0]["keys"] == 0 and process.poll() is None:
                pass
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    finally:
        cli.run("stop")
    assert process.returncode == 1, errors
    done = len(cli.found_keys())
    assert 0 < done < count
    for counts in ({"already-there": done, "imported": count - done}, {"already-there": count}):
        again = cli.run("keystore", "import", file, "--keystore", cli.store, "--json")
        assert json.loads(again.stdout)["counts"] == counts
    assert len(cli.found_keys()) == count


def test_a_bar_on_a_terminal_only(cli: Cli, stores: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bridge", "keystore", "import", str(stores / "all.jceks"), "--no-certificates"]
    done = subprocess.run(
        command, env={**cli.env, "TERM": "xterm"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "Importing" in shown
    assert "Importing" not in done.stdout.decode()
    assert cli.run("keystore", "import", stores / "all.jceks", "--no-certificates").stderr == ""


@pytest.mark.long
def test_a_key_password_is_asked_for_at_the_terminal(cli: Cli, stores: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "bridge", "keystore", "import", str(stores / "all.jks"), "--no-certificates"]
        os.execve(sys.executable, [*command, "--key-password"], {**cli.env, "TERM": "xterm"})
    shown = b""
    while b"Password of key 'own-password'" not in shown:
        shown += os.read(terminal, 10_000)
    os.write(terminal, b"another-password\n")
    with contextlib.suppress(OSError):
        # The terminal ends with an error when the program is gone.
        while part := os.read(terminal, 10_000):
            shown += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert b"another-password" not in shown
    assert {key["LABEL"] for key in cli.found_keys()} == {"release", "own-password"}
