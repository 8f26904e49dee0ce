"""What a key of another program becomes in the HSM, or why it cannot: known before anything is asked of the HSM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from pyasn1.codec.ber import decoder
from pyasn1.error import PyAsn1Error
from pyasn1_modules import rfc5958

from hsmcore.errors import AttributeInvalid, HsmError, KeySizeInvalid, KeyStoreEntry
from hsmcore.keys import generation
from hsmcore.primitives.keyforms import CURVES
from hsmcore.settings import Settings
from hsmcore.tables.attributes import PRIVATE, Value
from keystore.certificates import checked_chain, public_key_of
from keystore.foreign.model import Opened, Reason, Refused

_EC = "1.2.840.10045.2.1"
_TYPES = {
    "1.2.840.113549.1.1.1": "RSA",
    _EC: "EC",
    "1.3.101.112": "EC_EDWARDS",
    "2.16.840.1.101.3.4.3.17": "ML_DSA",
    "2.16.840.1.101.3.4.3.18": "ML_DSA",
    "2.16.840.1.101.3.4.3.19": "ML_DSA",
}
"""KEY_TYPE by the algorithm of a private key (RFC 3279, RFC 5480, RFC 8410, RFC 9881)."""
_NAMES = {
    "1.2.840.10040.4.1": "DSA",
    "1.2.840.113549.1.3.1": "DH",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.113": "Ed448",
}
"""Names of private keys that the HSM does not take, for the report (RFC 3279, 4055, 8410)."""

_SECRET_TYPES = {"AES": "AES", "RIJNDAEL": "AES", "DESEDE": "DESEDE", "TRIPLEDES": "DESEDE"}
"""KEY_TYPE by JCA name; every other secret key is a generic secret, as in ``setKeyEntry``."""


@dataclass(frozen=True, slots=True)
class Check:
    """An operation with a secret key and what it gives, which tells two keys apart (its check value)."""

    operation: str
    mechanism: str
    data: bytes
    result: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that the HSM takes: attributes and material of an IMPORT_KEY, and by what it is known again."""

    attributes: Mapping[str, Value]
    material: bytes = field(repr=False)
    size: int
    """In bits."""
    public_key_info: bytes | None = None
    check: Check | None = None


def judge(alias: str, key: Opened, chain: Sequence[bytes], wishes: Mapping[str, Value]) -> Candidate:
    """Return the token key that this key becomes, with the attributes that its owner wishes. Raises ``Refused``."""
    key_type = _private_type(key.material) if key.object_class == PRIVATE else _secret_type(key.algorithm)
    attributes = {
        "OBJECT_CLASS": key.object_class, "KEY_TYPE": key_type, "LABEL": alias, "TOKEN": True, **wishes,
    }  # fmt: skip
    try:
        new = generation.read(attributes, key.material, Settings())
    except AttributeInvalid as error:
        raise Refused(Reason.ALIAS, str(error)) from error
    except KeySizeInvalid as error:
        raise Refused(Reason.SIZE, str(error)) from error
    except HsmError as error:
        raise Refused(Reason.KEY, str(error)) from error
    check_chain(new.public_key_info, chain)
    check = None if key.object_class == PRIVATE else _check(key_type, key.material)
    return Candidate(attributes, key.material, int(str(new.attributes["SIZE"])), new.public_key_info, check)


def check_chain(public_key_info: bytes | None, chain: Sequence[bytes]) -> None:
    """Check that certificates parse and that the first is the key's, where there is a key. Raises ``Refused``."""
    try:
        checked_chain(chain)
    except KeyStoreEntry as error:
        raise Refused(Reason.CERTIFICATE, str(error)) from error
    if public_key_info is not None and chain and public_key_of(chain[0]) != public_key_info:
        raise Refused(Reason.CERTIFICATE, "the first certificate of the chain is for another key")


def _secret_type(algorithm: str) -> str:
    return _SECRET_TYPES.get(algorithm.upper(), "GENERIC_SECRET")


def _private_type(pkcs8: bytes) -> str:
    """Return the KEY_TYPE of a PKCS #8 key. Raises ``Refused`` for one that the HSM has not."""
    try:
        info, _ = decoder.decode(pkcs8, asn1Spec=rfc5958.PrivateKeyInfo())
        algorithm = info["privateKeyAlgorithm"]
        oid = str(algorithm["algorithm"])
        parameters = bytes(algorithm["parameters"]) if algorithm["parameters"].isValue else b""
    except (PyAsn1Error, ValueError, TypeError, LookupError) as error:
        raise Refused(Reason.KEY, "the key is damaged: it is no PKCS #8 private key") from error
    if oid == _EC and parameters not in CURVES:
        names = ", ".join(curve.name for curve in CURVES.values())
        raise Refused(Reason.CURVE, f"the curve is not supported; {names} are")
    if oid not in _TYPES:
        kinds = "RSA, EC, Ed25519 and ML-DSA keys are"
        raise Refused(Reason.ALGORITHM, f"a {_NAMES.get(oid, oid)} key is not supported; {kinds}")
    return _TYPES[oid]


def _check(key_type: str, raw: bytes) -> Check:
    if key_type == "GENERIC_SECRET":
        code = HMAC(raw, SHA256())
        return Check("SIGN", "HMAC_SHA256", b"", code.finalize())
    algorithm, mechanism = (AES(raw), "AES_ECB") if key_type == "AES" else (TripleDES(raw), "DESEDE_ECB")
    block = bytes(algorithm.block_size // 8)
    encryptor = Cipher(algorithm, modes.ECB()).encryptor()  # noqa: S305 - what a check value is
    return Check("ENCRYPT", mechanism, block, encryptor.update(block))
