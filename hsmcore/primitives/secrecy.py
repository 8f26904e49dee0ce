"""The HSM's own protection.

AES-256-GCM (SP 800-38D), AES key wrapping (SP 800-38F), key derivation in counter mode (SP 800-108), Argon2id
(RFC 9106), HMAC (RFC 2104), SHA-256 (FIPS 180-4).
"""

from __future__ import annotations

import os
from base64 import b64encode

from cryptography.exceptions import InvalidKey, InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

KEY_BYTES = 32
"""Bytes of a master key."""
SALT_BYTES = 16
NONCE_BYTES = 12

MEMORY_KIB, ITERATIONS, LANES = 19 * 1024, 2, 1
"""Cost of a password hash (OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane)."""
UNSTORED_KIB, UNSTORED_ITERATIONS = 64, 1
"""Cost of a hash that is in the memory of the HSM's process only. A reader of that memory has the keys too."""


class Sealer:
    """Seals and opens bytes under one key. Layout: nonce (12 random bytes), ciphertext, tag (16 bytes)."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Return the sealed bytes, which only open with the same context (associated data)."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """Return the plain bytes; ``None`` where key, context or bytes differ from those of the sealing."""
        if len(sealed) < NONCE_BYTES + 16:
            return None
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except InvalidTag:
            return None


class Authenticator:
    """Makes and checks HMAC-SHA256 codes (RFC 2104) under a key that HKDF (RFC 5869) derives for one purpose."""

    def __init__(self, key: bytes, purpose: bytes) -> None:
        self._key = HKDF(SHA256(), KEY_BYTES, None, purpose).derive(key)

    def code(self, data: bytes) -> bytes:
        """Return the 32 bytes that authenticate the data."""
        return self._over(data).finalize()

    def holds(self, data: bytes, code: bytes) -> bool:
        """Tell whether a code is that of the data, in constant time."""
        try:
            self._over(data).verify(code)
        except InvalidSignature:
            return False
        return True

    def _over(self, data: bytes) -> HMAC:
        mac = HMAC(self._key, SHA256())
        mac.update(data)
        return mac


def key_from_passphrase(passphrase: bytes, salt: bytes, memory_kib: int, iterations: int, lanes: int) -> bytes:
    """Derive a 32-byte key with Argon2id (RFC 9106)."""
    argon = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return argon.derive(passphrase)


def hash_password(password: bytes, *, stored: bool = True) -> str:
    """Return a new Argon2id hash in PHC format, which includes salt and cost.

    Args:
        password: The password.
        stored: Whether the hash will be on a disk.
    """
    memory, iterations = _cost(stored=stored)
    argon = Argon2id(
        salt=os.urandom(SALT_BYTES), length=KEY_BYTES, iterations=iterations, lanes=LANES, memory_cost=memory
    )  # fmt: skip
    return argon.derive_phc_encoded(password)


def unknown_password_hash(*, stored: bool = True) -> str:
    """Return a hash, as ``hash_password`` does, whose password nobody knows: a comparison takes the usual time."""
    memory, iterations = _cost(stored=stored)
    salt, digest = (b64encode(os.urandom(count)).rstrip(b"=").decode() for count in (SALT_BYTES, KEY_BYTES))
    return f"$argon2id$v=19$m={memory},t={iterations},p={LANES}${salt}${digest}"


def _cost(*, stored: bool) -> tuple[int, int]:
    return (MEMORY_KIB, ITERATIONS) if stored else (UNSTORED_KIB, UNSTORED_ITERATIONS)


def password_matches(password: bytes, verifier: str) -> bool:
    """Compare a password with its hash, in constant time."""
    try:
        Argon2id.verify_phc_encoded(password, verifier)
    except InvalidKey:
        return False
    return True


def derived_key(key: bytes, label: bytes, context: bytes) -> bytes:
    """Derive a 32-byte key in counter mode with HMAC-SHA256 (SP 800-108 4.1; 32-bit counter before the fixed data)."""
    kdf = KBKDFHMAC(
        SHA256(), Mode.CounterMode, KEY_BYTES, rlen=4, llen=4, location=CounterLocation.BeforeFixed, label=label,
        context=context, fixed=None,
    )  # fmt: skip
    return kdf.derive(key)


def wrap_key(wrapping: bytes, key: bytes) -> bytes:
    """Return a key wrapped under another one (SP 800-38F KW), 8 bytes longer."""
    return aes_key_wrap(wrapping, key)


def unwrap_key(wrapping: bytes, wrapped: bytes) -> bytes | None:
    """Return what ``wrap_key`` wrapped; ``None`` where key or bytes differ from those of the wrapping."""
    try:
        return aes_key_unwrap(wrapping, wrapped)
    except InvalidUnwrap:
        return None


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 digest, 32 bytes."""
    digest = Hash(SHA256())
    digest.update(data)
    return digest.finalize()


def random_bytes(count: int) -> bytes:
    """Return random bytes of the operating system's generator."""
    return os.urandom(count)
