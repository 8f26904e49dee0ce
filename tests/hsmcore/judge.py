"""Independent judges: the ``openssl`` command and the standard library."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hsmcore.tables.mechanisms import Mechanism


def openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    """Run ``openssl`` and return what it wrote."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def encrypted(row: Mechanism, key: bytes, iv: bytes, data: bytes) -> bytes:
    """Return what ``openssl enc`` makes of the data with a block cipher."""
    name = f"aes-{len(key) * 8}" if row.block == 16 else "des-ede3"
    cipher = f"-{name}" if (name, row.mode) == ("des-ede3", "ECB") else f"-{name}-{row.mode.lower()}"
    vector = ["-iv", iv.hex()] if iv else []
    return openssl("enc", cipher, "-K", key.hex(), *vector, *([] if row.padded else ["-nopad"]), data=data)


def cmac(key: bytes, data: bytes) -> bytes:
    """Return the AES-CMAC that ``openssl mac`` makes of the data."""
    cipher = f"AES-{len(key) * 8}-CBC"
    return openssl("mac", "-cipher", cipher, "-macopt", f"hexkey:{key.hex()}", "-binary", "CMAC", data=data)


class KeyFiles:
    """A key pair as files for ``openssl``, and what ``openssl`` does with them."""

    def __init__(self, folder: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self.private, self.public, self._side = folder / "private.pem", folder / "public.pem", folder / "side"
        self.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def sign(self, data: bytes, *options: str) -> bytes:
        """Sign a digest."""
        return openssl("pkeyutl", "-sign", "-inkey", self.private, *options, data=data)

    def verifies(self, data: bytes, signature: bytes, *options: str) -> bool:
        """Tell whether the signature of a digest holds."""
        self._side.write_bytes(signature)
        arguments = ["pkeyutl", "-verify", "-pubin", "-inkey", self.public, "-sigfile", self._side, *options]
        done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=False)
        return done.returncode == 0

    def encrypt(self, data: bytes, *options: str) -> bytes:
        """Encrypt with the public key."""
        return openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", self.public, *options, data=data)

    def decrypt(self, data: bytes, *options: str) -> bytes:
        """Decrypt with the private key."""
        return openssl("pkeyutl", "-decrypt", "-inkey", self.private, *options, data=data)
