"""The guide's own command lines: keytool makes keys in software, the key store imports them."""

from __future__ import annotations

import json
import shutil

import pytest

from bridge.carriers.jvm import provider_jar

from .conftest import Desk
from .test_registration import by_java_security


@pytest.fixture(scope="module")
def options(desk: Desk) -> list[str]:
    return by_java_security(desk)


def _keys(desk: Desk, label: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(desk.site.must("key", "list", "--label", label, "--json"))
    return rows


def test_a_secret_key(desk: Desk, options: list[str]) -> None:
    desk.must("keytool", "-genseckey", "-alias", "aes", "-keyalg", "aes", "-keysize", "256", *_own(desk), *options)
    (key,) = _keys(desk, "aes")
    assert (key["KEY_TYPE"], key["SIZE"], key["TOKEN"], key["EXTRACTABLE"], key["LOCAL"]) == (
        "AES",
        256,
        True,
        True,
        False,
    )
    assert "aes, " in desk.must("keytool", "-list", *_own(desk), *options)


@pytest.mark.long
def test_the_life_of_a_certified_key_pair(desk: Desk, options: list[str]) -> None:
    authority = ["-keystore", "ca.p12", "-storepass", "changeit"]
    desk.must("keytool", "-genkeypair", "-alias", "ca", "-keyalg", "RSA", "-dname", "CN=CA", "-ext", "bc:c", *authority)
    desk.must("keytool", "-exportcert", "-rfc", "-alias", "ca", "-file", "rootCAcert.cert", *authority)
    own = [*_own(desk), *options]

    desk.must(
        "keytool", "-genkeypair", "-alias", "Signer", "-keyalg", "rsa", "-keysize", "2048", "-sigalg", "sha512withrsa",
        "-dname", "CN=Signer", *own,
    )  # fmt: skip
    (key,) = _keys(desk, "Signer")
    assert (key["OBJECT_CLASS"], key["TOKEN"], key["EXTRACTABLE"], key["LOCAL"]) == ("PRIVATE_KEY", True, True, False)
    desk.must("keytool", "-certreq", "-alias", "Signer", "-file", "my_csr.csr", *own)
    desk.must(
        "keytool", "-gencert", "-alias", "ca", "-infile", "my_csr.csr", "-outfile", "my_certificate.crt", "-rfc",
        "-ext", "EKU=codeSigning", *authority,
    )  # fmt: skip
    refused = desk.run("keytool", "-importcert", "-noprompt", "-alias", "Signer", "-file", "my_certificate.crt", *own)
    assert "Failed to establish chain" in refused.stdout + refused.stderr
    desk.must(
        "keytool", "-import", "-noprompt", "-trustcacerts", "-alias", "rootCAcert", "-file", "rootCAcert.cert", *own
    )
    desk.must("keytool", "-importcert", "-noprompt", "-alias", "Signer", "-file", "my_certificate.crt", *own)
    listed = desk.must("keytool", "-list", "-v", "-alias", "Signer", *own)
    assert "Certificate chain length: 2" in listed
    assert "rootCAcert, " in desk.must("keytool", "-list", *own)

    shutil.copy(provider_jar(), desk.folder / "signthisclass.jar")
    desk.must(
        "jarsigner", "-signedjar", "signed.jar", "-sigalg", "sha512withrsa", *own, "signthisclass.jar", "Signer"
    )  # fmt: skip
    assert "jar verified." in desk.must(
        "jarsigner", "-verify", "-sigalg", "sha512withrsa", *own, "signed.jar", "Signer"
    )

    desk.must("keytool", "-exportcert", "-alias", "Signer", "-file", "exported.crt", *own)
    assert (desk.folder / "exported.crt").read_bytes()[:1] == b"0"
    desk.must("keytool", "-gencert", "-alias", "Signer", "-infile", "my_csr.csr", "-outfile", "self.crt", *own)
    desk.must("keytool", "-delete", "-alias", "rootCAcert", *own)
    assert "rootCAcert" not in desk.must("keytool", "-list", *own)
    desk.must("keytool", "-delete", "-alias", "Signer", *own)
    assert len(_keys(desk, "Signer")) == 1


def test_an_ec_pair_made_in_software_signs_in_the_hsm(desk: Desk, options: list[str]) -> None:
    own = [*_own(desk), *options]
    desk.must(
        "keytool", "-genkeypair", "-alias", "ec", "-keyalg", "ec", "-keysize", "256", "-sigalg", "SHA512withECDSA",
        "-dname", "CN=ec", *own,
    )  # fmt: skip
    shutil.copy(provider_jar(), desk.folder / "app.jar")
    desk.must("jarsigner", "-signedjar", "ec.jar", *own, "app.jar", "ec")
    assert "jar verified." in desk.must("jarsigner", "-verify", "ec.jar")


def test_prompts_when_no_password_is_given(desk: Desk, options: list[str]) -> None:
    """keytool loads without a password first, asks, and loads again."""
    desk.must("keytool", "-genseckey", "-alias", "asked", "-keyalg", "aes", "-keysize", "128", *_own(desk), *options)
    without = ["-storetype", "CLOUDHSM", "-keystore", "my_keystore.store"]
    listed = desk.run("keytool", "-list", *without, *options, stdin="changeit\n")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert "asked, " in listed.stdout


def _own(desk: Desk) -> list[str]:
    return [
        "-storetype",
        "CLOUDHSM",
        "-keystore",
        "my_keystore.store",
        "-storepass",
        "changeit",
        "-keypass",
        "changeit",
    ]
