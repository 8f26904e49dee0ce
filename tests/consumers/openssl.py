"""OpenSSL at the other end of TLS: its certificates, and the signatures it can be told to want."""

from __future__ import annotations

import subprocess
from pathlib import Path

PKCS1, PSS, ECDSA = "RSA", "RSA-PSS", "ECDSA"
OFFERS = [("tls1_2", PKCS1), ("tls1_2", PSS), ("tls1_2", ECDSA), ("tls1_3", PSS), ("tls1_3", ECDSA)]
"""Protocol and kind of signature that the OpenSSL end wants; TLS 1.3 has no PKCS #1 (RFC 8446, 4.2.3)."""
ALGORITHMS = {
    PKCS1: "RSA+SHA256",
    # The second is for the certificate, which is signed so; the first in the list is taken where either would do.
    PSS: "RSA-PSS+SHA256:RSA+SHA256",
    ECDSA: "ECDSA+SHA256",
}
"""Value of ``-sigalgs`` and ``-client_sigalgs``."""
_GENERATION = {"rsa": ("rsa:2048",), "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")}


def kind_of_key(signature: str) -> str:
    """Return which of the pairs makes such a signature."""
    return "ec" if signature == ECDSA else "rsa"


def certificates(folder: Path) -> Path:
    """Make OpenSSL's pairs, ``rsa`` and ``ec``, with certificates; return the file with both certificates."""
    for kind, words in _GENERATION.items():
        names = ("-keyout", str(folder / f"{kind}.key"), "-out", str(folder / f"{kind}.pem"))
        command = ["openssl", "req", "-x509", "-newkey", *words, "-nodes", "-subj", f"/CN=openssl {kind}", *names]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    both = folder / "peers.pem"
    both.write_text("".join((folder / f"{kind}.pem").read_text() for kind in _GENERATION))
    return both
