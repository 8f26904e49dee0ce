"""Converts keys of other programs to new keys of the HSM, or refuses them, without a request to the HSM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import load_der_private_key

from hsmcore.errors import AttributeInvalid, HsmError, KeySizeInvalid, KeyStoreEntry
from hsmcore.keys import generation
from hsmcore.settings import Settings
from hsmcore.tables.attributes import PRIVATE, Value
from hsmcore.tables.mechanisms import CURVES
from keystore.certificates import checked_chain, public_key_of
from keystore.foreign.model import Opened, Reason, Refused

_TYPES: dict[type, str] = {
    rsa.RSAPrivateKey: "RSA",
    ec.EllipticCurvePrivateKey: "EC",
    ed25519.Ed25519PrivateKey: "EC_EDWARDS",
    mldsa.MLDSA44PrivateKey: "ML_DSA",
    mldsa.MLDSA65PrivateKey: "ML_DSA",
    mldsa.MLDSA87PrivateKey: "ML_DSA",
}
"""KEY_TYPE by the class of an opened private key."""

_SECRET_TYPES = {"AES": "AES", "RIJNDAEL": "AES", "DESEDE": "DESEDE", "TRIPLEDES": "DESEDE"}
"""KEY_TYPE by JCA name; any other secret key becomes a generic secret, as in ``setKeyEntry``."""


@dataclass(frozen=True, slots=True)
class Check:
    """An operation with a secret key and its result, by which two keys are compared (a check value)."""

    operation: str
    mechanism: str
    data: bytes
    result: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that the HSM accepts: attributes and material for IMPORT_KEY, and data to recognise the key later."""

    attributes: Mapping[str, Value]
    material: bytes = field(repr=False)
    size: int
    """In bits."""
    public_key_info: bytes | None = None
    check: Check | None = None


def judge(alias: str, key: Opened, chain: Sequence[bytes], template: Mapping[str, Value]) -> Candidate:
    """Return the token key for a key of another program, with the attributes of ``template``.

    Raises:
        Refused: The HSM does not support the key, or the alias or the chain is invalid.
    """
    key_type = _private_type(key.material) if key.object_class == PRIVATE else _secret_type(key.algorithm)
    attributes = {
        "OBJECT_CLASS": key.object_class, "KEY_TYPE": key_type, "LABEL": alias, "TOKEN": True, **template,
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
    """Check that the certificates are valid X.509, and that the first belongs to the public key, if one is given.

    Raises:
        Refused: A certificate is damaged or belongs to another key.
    """
    try:
        checked_chain(chain)
    except KeyStoreEntry as error:
        raise Refused(Reason.CERTIFICATE, str(error)) from error
    if public_key_info is not None and chain and public_key_of(chain[0]) != public_key_info:
        raise Refused(Reason.CERTIFICATE, "the first certificate of the chain is for another key")


def _secret_type(algorithm: str) -> str:
    return _SECRET_TYPES.get(algorithm.upper(), "GENERIC_SECRET")


def _private_type(pkcs8: bytes) -> str:
    """Return the KEY_TYPE of a PKCS #8 key.

    Raises:
        Refused: The key is damaged, or the HSM does not support its algorithm or curve.
    """
    kinds = "RSA, EC, Ed25519 and ML-DSA keys are"
    try:
        # `generation.read` validates the key.
        key = load_der_private_key(pkcs8, None, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm as error:
        reason = Reason.CURVE if "urve" in str(error) else Reason.ALGORITHM
        raise Refused(reason, f"the key is not supported ({error}); {kinds}") from error
    except (ValueError, TypeError) as error:
        raise Refused(Reason.KEY, "the key is damaged: it is not a PKCS #8 private key") from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in CURVES:
        raise Refused(Reason.CURVE, f"the curve {key.curve.name} is not supported; {', '.join(CURVES)} are")
    name = next((name for kind, name in _TYPES.items() if isinstance(key, kind)), None)
    if name is None:
        algorithm = type(key).__name__.removesuffix("PrivateKey")
        raise Refused(Reason.ALGORITHM, f"{algorithm} keys are not supported; {kinds}")
    return name


def _check(key_type: str, raw: bytes) -> Check:
    if key_type == "GENERIC_SECRET":
        code = HMAC(raw, SHA256())
        return Check("SIGN", "HMAC_SHA256", b"", code.finalize())
    algorithm, mechanism = (AES(raw), "AES_ECB") if key_type == "AES" else (TripleDES(raw), "DESEDE_ECB")
    block = bytes(algorithm.block_size // 8)
    encryptor = Cipher(algorithm, modes.ECB()).encryptor()  # noqa: S305 - defines a check value
    return Check("ENCRYPT", mechanism, block, encryptor.update(block))
