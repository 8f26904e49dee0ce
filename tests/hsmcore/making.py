"""Keys for tests, and where the independent judges find them."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hsmcore import Hsm
from hsmcore.keys.records import KeyRecord
from hsmcore.sessions.session import Session

from .conftest import CURVES

SECRET_SIZES = {"AES": (128, 192, 256), "DESEDE": (192,), "GENERIC_SECRET": (8, 160, 256, 6400)}
"""Some sizes in bits that secret keys may have."""
CURVE_TYPES = {
    "P-224": ec.SECP224R1,
    "P-256": ec.SECP256R1,
    "secp256k1": ec.SECP256K1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}


Outside = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey
"""A private key made outside the HSM."""


@cache
def outside_key(key_type: str) -> Outside:
    """Return a key made outside the HSM, one a KEY_TYPE."""
    makers = {"RSA": rsa_key, "EC": ec_key, "EC_EDWARDS": ed25519.Ed25519PrivateKey.generate}
    return makers.get(key_type, mldsa.MLDSA65PrivateKey.generate)()


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return an RSA key made outside the HSM, one a size."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(curve: str = "P-256") -> ec.EllipticCurvePrivateKey:
    """Return an EC key made outside the HSM, one a curve."""
    return ec.generate_private_key(CURVE_TYPES[curve]())


def pkcs8(key: Outside) -> bytes:
    """Return a private key as an import takes it."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def public_info(key: Outside) -> bytes:
    """Return the public half as an import takes it."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def take_secret(hsm: Hsm, session: Session, key_type: str, material: bytes, **attributes: object) -> KeyRecord:
    """Import a secret key."""
    return hsm.keys.import_(session, {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": key_type} | attributes, material)


def take_pair(
    hsm: Hsm, session: Session, key: Outside, **attributes: object
) -> tuple[KeyRecord, KeyRecord]:  # fmt: skip
    """Import both halves of a pair, the public one first."""
    key_type = "RSA" if isinstance(key, rsa.RSAPrivateKey) else "EC"
    halves = (("PUBLIC_KEY", public_info(key)), ("PRIVATE_KEY", pkcs8(key)))
    public, private = (
        hsm.keys.import_(session, {"OBJECT_CLASS": key_class, "KEY_TYPE": key_type} | attributes, material)
        for key_class, material in halves
    )
    return public, private


def one_of_each(hsm: Hsm, session: Session, **attributes: object) -> dict[tuple[str, str], KeyRecord]:
    """Generate a key of every class and type; return the records by both."""
    made = [hsm.keys.generate(session, f"{kind}_KEY_GEN", attributes) for kind in SECRET_SIZES]
    made += hsm.keys.generate_pair(session, "RSA_KEY_PAIR_GEN", attributes, attributes)
    made += hsm.keys.generate_pair(session, "EC_KEY_PAIR_GEN", {"EC_PARAMS": CURVES["P-256"], **attributes}, attributes)
    for kind in ("EC_EDWARDS", "ML_DSA"):
        made += hsm.keys.generate_pair(session, f"{kind}_KEY_PAIR_GEN", attributes, attributes)
    return {(str(key.attributes["OBJECT_CLASS"]), str(key.attributes["KEY_TYPE"])): key for key in made}
