"""``hsm keystore export``, and the page of the documentation that shows both directions."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import jdk
from tests.keystore.foreign.conftest import PASSWORD, Cli, entries_of, make_cli, run

pytestmark = pytest.mark.usefixtures("hsm_jvm")
PAGE = Path(__file__).parents[3] / "docs" / "migration.md"


@pytest.fixture
def open_cli(tmp_path: Path, stores: Path) -> Cli:
    """An HSM that gives keys out, with the keys and certificates of ``all.p12``."""
    cli = make_cli(tmp_path, extraction=True)
    cli.take(stores / "all.p12")
    return cli


def by_result(report: dict[str, object]) -> dict[str, str]:
    entries = report["entries"]
    assert isinstance(entries, list)
    return {entry["alias"]: entry["reason"] or entry["result"] for entry in entries}


def test_certificates(cli: Cli, stores: Path) -> None:
    cli.take(stores / "all.p12")
    pem, p12 = cli.folder / "certs.pem", cli.folder / "certs.p12"
    done = cli.run("keystore", "export", pem, "--keystore", cli.store, "--json")
    assert done.returncode == 0, done.stderr
    assert by_result(json.loads(done.stdout)) == {"server": "exported", "client": "exported", "trusted": "exported"}
    assert run(*jdk.command("keytool"), "-printcert", "-file", pem).count("Owner:") == 3
    cli.report("export", p12, "--keystore", cli.store)
    assert [path.stat().st_mode & 0o777 for path in (pem, p12)] == [0o600, 0o600]
    listed = run(*jdk.command("keytool"), "-list", "-keystore", p12, "-storepass", PASSWORD)
    assert (listed.count("trustedCertEntry"), listed.count("KeyEntry")) == (3, 0)
    assert b"PRIVATE" not in pem.read_bytes()


def test_keys_come_out_as_they_went_in(open_cli: Cli, stores: Path) -> None:
    file = open_cli.folder / "keys.p12"
    report = open_cli.report("export", file, "--keystore", open_cli.store, "--include-private-keys")
    assert set(by_result(report).values()) == {"exported"}
    assert file.stat().st_mode & 0o777 == 0o600
    before, after = ({found.alias: found for found in entries_of(path)} for path in (stores / "all.p12", file))
    assert {alias: found.chain for alias, found in before.items()} == {a: f.chain for a, f in after.items()}
    for alias in ("data", "tokens"):
        first, second = before[alias].open, after[alias].open
        assert first is not None
        assert second is not None
        assert first(PASSWORD).material == second(PASSWORD).material
    # keytool opens every private key with the password, to write it to another file.
    copy = open_cli.folder / "copy.p12"
    run(*jdk.command("keytool"), "-importkeystore", "-srckeystore", file, "-srcstorepass", PASSWORD, "-destkeystore",
        copy,
        "-deststorepass", PASSWORD)  # fmt: skip
    listed = run(*jdk.command("keytool"), "-list", "-keystore", copy, "-storepass", PASSWORD)
    assert (listed.count("PrivateKeyEntry"), listed.count("SecretKeyEntry"), listed.count("trustedCertEntry")) == (
        2,
        2,
        1,
    )
    # And they are the same keys: a second HSM that has them already says so.
    assert set(by_result(open_cli.report("import", file, "--keystore", open_cli.store)).values()) == {"already-there"}


def test_what_does_not_come_out(cli: Cli, stores: Path, tmp_path: Path) -> None:
    cli.take(stores / "all.p12")
    file = tmp_path / "keys.p12"
    report = cli.report("export", file, "--keystore", cli.store, "--include-private-keys", code=3)
    assert by_result(report) == {
        "server": "not-extractable", "client": "not-extractable", "data": "not-extractable",
        "tokens": "not-extractable", "trusted": "exported",
    }  # fmt: skip
    entries = entries_of(file)
    assert [(entry.alias, entry.open) for entry in entries] == [("trusted", None)]


def test_a_key_that_is_not_extractable(tmp_path: Path, stores: Path) -> None:
    cli = make_cli(tmp_path, extraction=True)
    cli.take(stores / "all.jceks", "--non-extractable")
    file = tmp_path / "keys.p12"
    report = cli.report("export", file, "--keystore", cli.store, "--include-private-keys", code=3)
    assert set(by_result(report).values()) == {"not-extractable"}
    assert not file.exists()


def test_nothing_is_overwritten(open_cli: Cli) -> None:
    file = open_cli.folder / "certs.pem"
    file.write_text("mine")
    file.chmod(0o644)
    refused = open_cli.here("keystore", "export", file, "--keystore", open_cli.store)
    assert (refused.returncode, file.read_text()) == (1, "mine")
    assert "--force" in refused.stderr
    open_cli.report("export", file, "--keystore", open_cli.store, "--force", "--alias", "server")
    assert file.read_text().count("BEGIN CERTIFICATE") == 1
    assert file.stat().st_mode & 0o777 == 0o600


def test_command_lines_that_are_wrong(open_cli: Cli) -> None:
    file = open_cli.folder / "out"
    for words, code in (
        (["--format", "pem", "--include-private-keys"], 2), (["--alias", "nobody"], 1), (["--format", "der"], 2),
    ):  # fmt: skip
        done = open_cli.here("keystore", "export", file, "--keystore", open_cli.store, *words)
        assert (done.returncode, file.exists()) == (code, False), done.stderr
    short = open_cli.here("keystore", "export", file, "--keystore", open_cli.store, HSM_FILE_PASSWORD="short")
    assert (short.returncode, file.exists()) == (1, False)


@pytest.mark.long
def test_the_page_runs(tmp_path: Path) -> None:
    commands = re.findall(r"^\$ (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) > 12
    hsm = f'hsm() {{ {shlex.quote(sys.executable)} -m bridge "$@"; }}'
    env = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    script = "\n".join(["set -euo pipefail", hsm, *commands])
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1 already-there") == 1
