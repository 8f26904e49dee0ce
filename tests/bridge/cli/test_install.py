"""``hsm install`` and the programs that it installs: what is there, what they write, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.requirements import missing
from tests.site import Site, fresh_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with fresh_site(tmp_path_factory.mktemp("hsm")) as site:
        site.must_here("cluster", "initialize", "--new-ca", str(tmp_path_factory.mktemp("ca")), "--name", "127.0.0.2")
        yield site


@pytest.fixture(scope="module")
def prefix(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("opt") / "cloud hsm"
    site.must("install", "--prefix", str(prefix))
    return prefix


def program(prefix: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    return subprocess.run([prefix / "bin" / name, *words], env=kept, capture_output=True, text=True, timeout=60)


def configuration(prefix: Path, component: str) -> dict[str, Any]:
    return dict(json.loads((prefix / "etc" / f"cloudhsm-{component}.cfg").read_text()))


def test_the_folders_of_the_original(site: Site, prefix: Path) -> None:
    names = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    engine = "lib/libcloudhsm_openssl_engine.so"
    native = {
        "lib/libcloudhsm_pkcs11.so", "include/pkcs11/cloudhsm_pkcs11_vendor_defs.h", "bin/configure-pkcs11",
        "bin/configure-dyn", "etc/cloudhsm-pkcs11.cfg", "etc/cloudhsm-dyn.cfg",
    }  # fmt: skip
    assert native <= names or not native & names
    assert names - native - {engine} == {
        "bin/cloudhsm-cli", "bin/configure-cli", "bin/configure-jce", "etc/cloudhsm-cli.cfg", "etc/cloudhsm-jce.cfg",
        "etc/customerCA.crt", "java/cloudhsm-jce-5.18.0.jar",
    }  # fmt: skip
    assert all((prefix / name).stat().st_mode & 0o755 == 0o755 for name in names if name.startswith("bin/"))
    site.must("start")
    try:
        assert json.loads(program(prefix, "cloudhsm-cli", "user", "list").stdout)["error_code"] == 0
    finally:
        site.must_here("stop")


def test_configure_changes_what_it_is_told_and_keeps_the_rest(prefix: Path) -> None:
    done = program(prefix, "configure-jce", "-a", "127.0.0.2", "-a", "hsm2.example:2225", "--hsm-ca-cert",
                   str(prefix / "etc" / "customerCA.crt"), "--disable-key-availability-check")  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = configuration(prefix, "jce")
    (cluster,) = content["clusters"]
    assert cluster["cluster"]["servers"] == [
        {"hostname": "127.0.0.2", "port": 2223, "enable": True},
        {"hostname": "hsm2.example", "port": 2225, "enable": True},
    ]
    assert cluster["cluster"]["hsm_ca_file"] == str(prefix / "etc" / "customerCA.crt")
    for words, where, value in (
        (("--enable-key-availability-check",), ("disable_key_availability_check",), False),
        (("--disable-validate-key-at-init",), ("disable_validate_key_at_init",), True),
        (("--enable-clear-key-extraction-in-software",), ("enable_clear_key_extraction_in_software",), True),
        (("--default-retry-mode", "off"), ("default_retry_mode",), "off"),
    ):
        assert program(prefix, "configure-jce", *words).returncode == 0
        assert configuration(prefix, "jce")["clusters"][0]["cluster"]["options"][where[0]] == value
    words = ("--log-level", "debug", "--log-rotation", "hourly", "--log-file", "/var/log/x.log")
    assert program(prefix, "configure-jce", *words).returncode == 0
    after = configuration(prefix, "jce")
    assert after["logging"] == {
        "log_type": "file", "log_level": "debug", "log_interval": "hourly", "log_file": "/var/log/x.log",
    }  # fmt: skip
    assert after["clusters"][0]["cluster"]["servers"] == cluster["cluster"]["servers"]
    assert program(prefix, "configure-cli", "-a", "127.0.0.9").returncode == 0
    assert configuration(prefix, "cli")["clusters"][0]["cluster"]["servers"][0]["hostname"] == "127.0.0.9"


def test_several_clusters_in_one_file(prefix: Path) -> None:
    def clusters() -> list[tuple[str, str, str]]:
        return [
            (one.get("cluster_id", ""), one["cluster"]["servers"][0]["hostname"], one["cluster"].get("hsm_ca_file", ""))
            for one in configuration(prefix, "cli")["clusters"]
        ]

    before = clusters()
    blue = ("add-cluster", "--cluster-id", "blue", "-a", "hsm1.example", "--hsm-ca-cert", "/etc/blue.crt")
    green = ("add-cluster", "--cluster-id", "green", "-a", "hsm7.example")
    for words in (blue, green):
        assert program(prefix, "configure-cli", *words).returncode == 0
    added = [("blue", "hsm1.example", "/etc/blue.crt"), ("green", "hsm7.example", "")]
    assert clusters() == [*before, *added]
    for words, said in (
        (blue, "has the cluster 'blue' already"),
        (("add-cluster", "--cluster-id", "red"), "no cloud API to ask"),
        ((*green[:2], "red", "-a", "h", "--region", "eu-west-1"), "no cloud API to ask"),
        ((*green[:2], "red", "-a", "h", "--client-cert-hsm-tls-file", "a.pem"), "given together"),
        (("add-cluster", "-a", "h"), "Missing option '--cluster-id'"),
        (("remove-cluster", "--cluster-id", "red"), "has no cluster 'red'"),
    ):
        done = program(prefix, "configure-cli", *words)
        assert done.returncode == 2
        assert said in done.stderr
    assert clusters() == [*before, *added]
    assert program(prefix, "configure-cli", "remove-cluster", "--cluster-id", "Blue").returncode == 0
    assert clusters() == [*before, added[1]]


@pytest.mark.parametrize(("words", "said"), [
    ((), "give at least one option"),
    (("--cluster-id", "cluster-abc"), "no cloud API to ask"),
    (("--server-client-cert-file", "a.pem"), "given together"),
    (("--log-level", "loud"), "Invalid value"),
    (("--nothing",), "No such option"),
])  # fmt: skip
def test_wrong_options_change_nothing(prefix: Path, words: tuple[str, ...], said: str) -> None:
    before = configuration(prefix, "jce")
    done = program(prefix, "configure-jce", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert configuration(prefix, "jce") == before


def test_a_file_that_is_no_configuration(prefix: Path, tmp_path: Path) -> None:
    for content in ("", "[]", '{"clusters": []}', '{"clusters": [{"cluster": 1}]}'):
        (tmp_path / "x.cfg").write_text(content)
        done = program(prefix, "configure-jce", "-a", "h", "--config", str(tmp_path / "x.cfg"))
        assert done.returncode == 1
        assert "is no configuration file" in done.stderr
        assert (tmp_path / "x.cfg").read_text() == content


def test_clusters_of_the_pkcs11_library_are_added_and_removed(prefix: Path) -> None:
    if not (prefix / "bin" / "configure-pkcs11").exists():
        missing("the PKCS #11 library was not built")

    def hosts() -> list[str]:
        return [entry["cluster"]["servers"][0]["hostname"] for entry in configuration(prefix, "pkcs11")["clusters"]]

    def refused(*words: str) -> str:
        before = configuration(prefix, "pkcs11")
        done = program(prefix, "configure-pkcs11", *words)
        assert done.returncode != 0
        assert configuration(prefix, "pkcs11") == before
        return done.stderr

    options = ("-a", "127.0.0.2", "--disable-key-availability-check", "--enable-certificate-storage",
               "--enable-ecdh-without-kdf", "--default-retry-mode", "off")  # fmt: skip
    assert program(prefix, "configure-pkcs11", *options).returncode == 0
    (entry,) = configuration(prefix, "pkcs11")["clusters"]
    assert entry["cluster"]["options"] == {
        "disable_key_availability_check": True, "enable_certificate_storage": True, "enable_ecdh_without_kdf": True,
        "default_retry_mode": "off",
    }  # fmt: skip
    added = ("add-cluster", "--cluster-id", "second", "-a", "127.0.0.3", "--hsm-ca-cert", "/ca.crt")
    assert program(prefix, "configure-pkcs11", *added).returncode == 0
    assert hosts() == ["127.0.0.2", "127.0.0.3"]
    assert configuration(prefix, "pkcs11")["clusters"][1]["cluster"]["hsm_ca_file"] == "/ca.crt"
    assert "has the cluster 'second' already" in refused(*added)
    assert "no cloud API" in refused("add-cluster", "--cluster-id", "third")
    assert "has no cluster 'third'" in refused("remove-cluster", "--cluster-id", "third")
    assert "behind the subcommand" in refused("-a", "127.0.0.9", *added)
    assert "Missing option '--cluster-id'" in refused("remove-cluster")
    assert program(prefix, "configure-pkcs11", "remove-cluster", "--cluster-id", "second").returncode == 0
    assert hosts() == ["127.0.0.2"]
    assert program(prefix, "configure-dyn", "-a", "127.0.0.4").returncode == 0
    assert configuration(prefix, "dyn")["clusters"][0]["cluster"]["servers"][0]["hostname"] == "127.0.0.4"


def test_the_installed_library_reads_the_configuration_beside_it(site: Site, prefix: Path) -> None:
    library = prefix / "lib" / "libcloudhsm_pkcs11.so"
    if not library.exists():
        missing("the PKCS #11 library was not built")
    (prefix / "etc" / "cloudhsm-pkcs11.cfg").unlink()
    site.must("install", "--prefix", str(prefix))
    kept = {name: value for name, value in site.environment.items() if name != "HSM_HOME"}
    text = (
        "import sys\nfrom ctypes import CDLL, byref, c_ubyte, c_ulong\n"
        "library, slots = CDLL(sys.argv[1]), c_ulong()\n"
        "print(library.C_Initialize(None), library.C_GetSlotList(c_ubyte(1), None, byref(slots)), slots.value)\n"
    )
    site.must("start")
    try:
        done = subprocess.run(
            [sys.executable, "-c", text, str(library)], env=kept, capture_output=True, text=True, timeout=60
        )
    finally:
        site.must_here("stop")
    assert done.stdout == "0 0 1\n", done.stderr


def test_another_products_program_stays(site: Site, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cloudhsm-cli").write_text("another product")
    done = site.hsm("install", "--prefix", str(tmp_path))
    assert done.returncode == 1
    assert "is not from hsmbridge" in done.stderr
    assert (tmp_path / "bin" / "cloudhsm-cli").read_text() == "another product"
