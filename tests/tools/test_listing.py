"""keytool lists entries that are no pair with its certificate."""

from __future__ import annotations

import json

from tests.site import PASSWORD

from .conftest import Desk


def test_what_is_under_an_alias(desk: Desk) -> None:
    """A private key has a certificate in the file or not, and its entry may outlive it."""
    own = [*desk.store, *desk.with_provider()]
    secret = ["keytool", "-genseckey", "-keyalg", "AES", "-keysize", "256", "-keypass", "changeit", *own]
    desk.must(*secret, "-alias", "secret")
    pair = ["keytool", "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-keypass", "changeit", *own]
    for alias in ("whole", "gone", "bare"):
        desk.must(*pair, "-alias", alias, "-dname", f"CN={alias}", "-providerName", "CloudHSM")
    desk.must("keytool", "-delete", "-alias", "bare", *own)
    login = {"CLOUDHSM_ROLE": "crypto-user", "CLOUDHSM_PIN": f"cu1:{PASSWORD}"}
    for key in json.loads(desk.site.must("key", "list", "--label", "gone", "--json")):
        desk.site.must("key", "delete", "--filter", f"key-reference={key['HANDLE']}", **login)
    listed = desk.must("keytool", "-list", *own)
    kinds = {line.split(", ")[0]: line for line in listed.splitlines() if ", " in line}
    assert "SecretKeyEntry" in kinds["secret"]
    assert "PrivateKeyEntry" in kinds["whole"]
    assert "PrivateKeyEntry" in kinds["bare"]
    assert "PrivateKeyEntry" not in kinds["gone"]
