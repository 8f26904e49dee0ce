"""Derivation of secret keys.

AES-CMAC and HMAC in counter mode (SP 800-108r1 4.1); ECDH (SP 800-56A 5.7.1.2) with the X9.63 KDF or without one.

Each function takes parameters and the length of the result in bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import HashAlgorithm
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, KBKDFHMAC, CounterLocation, Mode
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from hsmcore.errors import KeyMaterialInvalid, KeyTypeInconsistent, MechanismParameterInvalid
from hsmcore.primitives.keyforms import open_public
from hsmcore.primitives.parameters import Parameters, bytes_parameter, hash_named, number_parameter
from hsmcore.tables.mechanisms import Mechanism

Derive = Callable[[Parameters, int], bytes]

COUNTER_BITS = (8, 16, 24, 32)
"""Widths of the counter in bits (PKCS #11 3.0 2.42.2)."""
_CMAC_BYTES = 16


def cmac_kdf(row: Mechanism, key: bytes) -> Derive:
    """Derive with SP 800-108 in counter mode with AES-CMAC; see ``_fixed_input`` for the parameters."""

    def run(parameters: Parameters, length: int) -> bytes:
        bits, prefix, suffix = _fixed_input(parameters, length, _CMAC_BYTES)
        kdf = KBKDFCMAC(
            AES, Mode.CounterMode, length, bits // 8, None, CounterLocation.MiddleFixed, None, None, prefix + suffix,
            break_location=len(prefix),
        )  # fmt: skip
        return kdf.derive(key)

    return run


def hmac_kdf(row: Mechanism, key: bytes) -> Derive:
    """Derive with SP 800-108 in counter mode with HMAC; see ``_fixed_input`` for the parameters."""
    algorithm = hash_named(row.hash)

    def run(parameters: Parameters, length: int) -> bytes:
        bits, prefix, suffix = _fixed_input(parameters, length, algorithm.digest_size)
        kdf = KBKDFHMAC(
            algorithm, Mode.CounterMode, length, bits // 8, None, CounterLocation.MiddleFixed, None, None,
            prefix + suffix, break_location=len(prefix),
        )  # fmt: skip
        return kdf.derive(key)

    return run


def _fixed_input(parameters: Parameters, length: int, block: int) -> tuple[int, bytes, bytes]:
    """Return the width of the counter in bits, and the input before and after it.

    A block's input is the parameter ``prefix``, the counter (from 1, big-endian, ``counter_bits`` wide), ``suffix``.
    The caller builds the fixed input data of the standard, so either part may be absent.

    Raises:
        MechanismParameterInvalid: The width is not supported, or too small for the length.
    """
    bits = number_parameter(parameters, "counter_bits")
    if bits not in COUNTER_BITS:
        raise MechanismParameterInvalid(f"counter_bits is one of {', '.join(map(str, COUNTER_BITS))}, not {bits}")
    if length > block * (2**bits - 1):
        raise MechanismParameterInvalid(f"a counter of {bits} bits is too short for {length} bytes of output")
    return bits, bytes_parameter(parameters, "prefix") or b"", bytes_parameter(parameters, "suffix") or b""


def ecdh_x963(row: Mechanism, key: ec.EllipticCurvePrivateKey) -> Derive:
    """Derive with ECDH and the KDF of ANSI X9.63 (SEC 1 3.6.1) over the shared x-coordinate.

    The parameter ``peer`` is the other side's SubjectPublicKeyInfo (DER); its point is validated. The optional
    ``shared_info`` is bytes.
    """
    algorithm = hash_named(row.hash)

    def run(parameters: Parameters, length: int) -> bytes:
        peer = _peer(parameters, key.curve)
        shared_info = bytes_parameter(parameters, "shared_info")
        return x963_kdf(algorithm, key.exchange(ec.ECDH(), peer), shared_info, length)

    return run


def ecdh(row: Mechanism, key: ec.EllipticCurvePrivateKey) -> Derive:
    """ECDH without a KDF: the last bytes of the shared x-coordinate, as PKCS #11 has it (3.0 2.3.18).

    The parameter ``peer`` is the other side's SubjectPublicKeyInfo (DER), whose point is validated.
    """

    def run(parameters: Parameters, length: int) -> bytes:
        secret = key.exchange(ec.ECDH(), _peer(parameters, key.curve))
        if length > len(secret):
            raise MechanismParameterInvalid(f"ECDH on {key.curve.name} gives {len(secret)} bytes, not {length}")
        return secret[-length:]

    return run


def x963_kdf(algorithm: HashAlgorithm, secret: bytes, shared_info: bytes | None, length: int) -> bytes:
    """Return the leftmost ``length`` bytes of H(secret, counter from 1 in 4 bytes, shared info) (SEC 1 3.6.1)."""
    return X963KDF(algorithm, length, shared_info).derive(secret)


def _peer(parameters: Parameters, curve: ec.EllipticCurve) -> ec.EllipticCurvePublicKey:
    encoded = bytes_parameter(parameters, "peer")
    if encoded is None:
        raise MechanismParameterInvalid("the parameter peer is needed: the other side's SubjectPublicKeyInfo")
    try:
        peer = open_public(encoded)
    except KeyMaterialInvalid as error:
        raise KeyTypeInconsistent(f"the peer's key is refused: {error}") from error
    if not isinstance(peer, ec.EllipticCurvePublicKey) or peer.curve.name != curve.name:
        raise KeyTypeInconsistent(f"the peer's key must be an EC key on {curve.name}")
    return peer
