"""BouncyCastle signs with keys in the HSM: certificates, signed data, time stamps; ``openssl`` is the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.consumers.application import Application

_PAIRS = [
    ("rsa", "SHA256withRSA"),
    ("rsa", "SHA384withRSAandMGF1"),
    ("ec", "SHA256withECDSA"),
    ("ec", "SHA384withECDSA"),
]


@pytest.fixture(scope="module", params=["first", "last"])
def made(request: pytest.FixtureRequest, library_user: Application, store: Path) -> Application:
    """All that BouncyCastle makes, in the application's folder."""
    (library_user.folder / "data").write_bytes(b"signed by a key in the HSM\n" * 1000)
    library_user.openssl("ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "request.tsq")
    words = [word for pair in _PAIRS for word in pair]
    library_user.run("Bouncy", request.param, store, library_user.folder, *words)
    return library_user


@pytest.mark.parametrize(("alias", "algorithm"), _PAIRS)
def test_openssl_agrees(made: Application, alias: str, algorithm: str) -> None:
    name = f"{alias}-{algorithm}-"
    authority = ("-CAfile", f"{name}ca.pem")
    assert "leaf.pem: OK" in made.openssl("verify", "-check_ss_sig", *authority, f"{name}ca.pem", f"{name}leaf.pem")
    signed = ("cms", "-verify", "-binary", "-inform", "DER", "-in", f"{name}signed.p7", "-purpose", "any", *authority)
    made.openssl(*signed, "-out", "content")
    assert (made.folder / "content").read_bytes() == (made.folder / "data").read_bytes()
    stamp = ("ts", "-verify", "-in", f"{name}answer.tsr", *authority)
    if "MGF1" in algorithm:
        # ``openssl ts`` reads the token as PKCS #7, which has no PSS; ``openssl cms`` reads it as what it is.
        made.openssl("ts", "-reply", "-in", f"{name}answer.tsr", "-token_out", "-out", "token.p7")
        token = ("cms", "-verify", "-inform", "DER", "-in", "token.p7", "-purpose", "timestampsign", *authority)
        made.openssl(*token, "-out", "info")
        return
    assert "Verification: OK" in made.openssl(*stamp, "-queryfile", "request.tsq")
    # The stamp holds for that data and no other.
    (made.folder / "other").write_bytes(b"x")
    assert made.attempt_openssl(*stamp, "-data", "other").returncode != 0


def test_registered_before_the_provider_it_takes_its_rsa_keys(library_user: Application, store: Path) -> None:
    """docs/consumers.md says so, and which two ways out there are."""
    said = library_user.run("BouncyFirst", store)
    assert said == "unnamed: SignatureException\nnamed: 256 bytes\nafter: 256 bytes\n"
