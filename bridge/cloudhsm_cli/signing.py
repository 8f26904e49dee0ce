"""The ``crypto`` commands. They hash data here, as CloudHSM's client does, and the HSM signs the digest."""

from __future__ import annotations

import base64
import hashlib
import os
from contextlib import AbstractContextManager
from typing import BinaryIO

from bridge.cloudhsm_cli import files
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.handles import reference
from bridge.cloudhsm_cli.progress import Bar, progress
from bridge.cloudhsm_cli.quorum import approve
from bridge.cloudhsm_cli.selecting import one_key
from bridge.cloudhsm_cli.table import Data, Values
from bridge.protocol.codec import Value

HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512")

_DIGEST_INFO = {
    "sha1": "3021300906052b0e03021a05000414",
    "sha224": "302d300d06096086480165030402040500041c",
    "sha256": "3031300d060960864801650304020105000420",
    "sha384": "3041300d060960864801650304020205000430",
    "sha512": "3051300d060960864801650304020305000440",
}
"""Prefix of the digest in a DER DigestInfo (RFC 8017 9.2, note 1), in hexadecimal."""

_ML_DSA = {"raw": "ML_DSA", "external-mu": "ML_DSA_MU"}
_PART = 1 << 20
_LONG = 64 << 20
"""Size from which a terminal shows a progress bar, in bytes."""


def sign_ecdsa(context: Context, values: Values) -> Data:
    """Sign with ECDSA; the signature is r followed by s."""
    return _sign(context, values, f"ECDSA_P1363_{_hash(values)}", None, _digest(values))


def verify_ecdsa(context: Context, values: Values) -> Data:
    """Verify an ECDSA signature."""
    return _verify(context, values, f"ECDSA_P1363_{_hash(values)}", None, _digest(values))


def sign_pkcs(context: Context, values: Values) -> Data:
    """Sign with RSASSA-PKCS1-v1_5."""
    return _sign(context, values, f"RSA_PKCS1_{_hash(values)}", None, _digest(values, info=True))


def verify_pkcs(context: Context, values: Values) -> Data:
    """Verify an RSASSA-PKCS1-v1_5 signature."""
    return _verify(context, values, f"RSA_PKCS1_{_hash(values)}", None, _digest(values, info=True))


def sign_pss(context: Context, values: Values) -> Data:
    """Sign with RSASSA-PSS."""
    return _sign(context, values, f"RSA_PSS_{_hash(values)}", _pss(values), _digest(values))


def verify_pss(context: Context, values: Values) -> Data:
    """Verify an RSASSA-PSS signature."""
    return _verify(context, values, f"RSA_PSS_{_hash(values)}", _pss(values), _digest(values))


def sign_ed25519(context: Context, values: Values) -> Data:
    """Sign the data itself with Ed25519."""
    return _sign(context, values, "EDDSA", None, _data(values))


def verify_ed25519(context: Context, values: Values) -> Data:
    """Verify an Ed25519 signature."""
    return _verify(context, values, "EDDSA", None, _data(values))


def sign_ml_dsa(context: Context, values: Values) -> Data:
    """Sign data with ML-DSA, or its 64-byte representative (external mu)."""
    return _sign(context, values, _ML_DSA[values.text("data-type")], None, _data(values))


def verify_ml_dsa(context: Context, values: Values) -> Data:
    """Verify an ML-DSA signature."""
    return _verify(context, values, _ML_DSA[values.text("data-type")], None, _data(values))


def _sign(context: Context, values: Values, mechanism: str, parameters: Value, digest: bytes) -> Data:
    key = one_key(context, values.texts("key-filter"), "key-filter")
    approve(context, values)
    (signature,) = context.call("SIGN", key["HANDLE"], mechanism, parameters, digest)
    encoded = base64.b64encode(signature if isinstance(signature, bytes) else b"").decode()
    return {"key-reference": reference(key["HANDLE"]), "signature": encoded}


def _verify(context: Context, values: Values, mechanism: str, parameters: Value, digest: bytes) -> Data:
    inline = values.optional("signature")
    signature = files.read(values.text("signature-path")) if inline is None else files.from_base64(inline, "signature")
    key = one_key(context, values.texts("key-filter"), "key-filter")
    (holds,) = context.call("VERIFY", key["HANDLE"], mechanism, parameters, digest, signature)
    if holds is not True:
        raise Failure("Signature verification failed")
    return {"message": "Signature verified successfully"}


def _hash(values: Values) -> str:
    return values.text("hash-function").upper()


def _pss(values: Values) -> Value:
    mgf = values.text("mgf").removeprefix("mgf1-")
    return {"mgf_hash": mgf.upper(), "salt_length": values.number("salt-length")}


def _digest(values: Values, *, info: bool = False) -> bytes:
    """Return the digest to sign. With ``info``, the value of ``--data-type digest`` is a DER DigestInfo.

    Raises:
        Failure: A given digest has the wrong length or prefix.
    """
    name = values.text("hash-function")
    if values.text("data-type") == "raw":
        return _hashed(values, name)
    digest = _data(values)
    prefix = bytes.fromhex(_DIGEST_INFO[name]) if info else b""
    size = hashlib.new(name, usedforsecurity=False).digest_size
    if len(digest) != len(prefix) + size or not digest.startswith(prefix):
        form = f"a DER DigestInfo of {name}" if info else f"{size} bytes"
        raise Failure(f"a digest of {name} for this mechanism is {form}")
    return digest[len(prefix) :]


def _data(values: Values) -> bytes:
    inline = values.optional("data")
    return files.read(values.text("data-path")) if inline is None else files.from_base64(inline, "data")


def _hashed(values: Values, name: str) -> bytes:
    digest = hashlib.new(name, usedforsecurity=False)
    if values.has("data"):
        digest.update(_data(values))
        return digest.digest()
    with files.reading(values.text("data-path")) as file, _progress(file) as bar:
        while part := file.read(_PART):
            digest.update(part)
            bar.advance(len(part))
    return digest.digest()


def _progress(file: BinaryIO) -> AbstractContextManager[Bar]:
    return progress("Hashing", os.fstat(file.fileno()).st_size, at_least=_LONG)
