"""RSA encryption and signatures (RFC 8017).

A signer takes a digest that the caller computed, or the data itself where the mechanism names no hash.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed
from cryptography.hazmat.primitives.hashes import HashAlgorithm

from hsmcore.errors import DataLengthInvalid, MechanismParameterInvalid, PaddingInvalid
from hsmcore.primitives.parameters import Parameters, bytes_parameter, chosen_hash, hash_named, number_parameter
from hsmcore.primitives.signatures import Sign, Verify, holds, wrong_digest
from hsmcore.tables.mechanisms import Mechanism

Encrypt = Callable[[Parameters, bytes], tuple[bytes, None]]
Decrypt = Callable[[Parameters, bytes], bytes]

PKCS1_OVERHEAD = 11
"""Minimum number of bytes of PKCS #1 v1.5 padding (RFC 8017 7.2.1, 9.2)."""


def pkcs1_encryptor(row: Mechanism, key: rsa.RSAPublicKey) -> Encrypt:
    """Encrypt with RSAES-PKCS1-v1_5 (RFC 8017 7.2)."""
    scheme, longest = padding.PKCS1v15(), key.key_size // 8 - PKCS1_OVERHEAD

    def run(parameters: Parameters, data: bytes) -> tuple[bytes, None]:
        check_longest(row, data, longest)
        return key.encrypt(data, scheme), None

    return run


def pkcs1_decryptor(row: Mechanism, key: rsa.RSAPrivateKey) -> Decrypt:
    """Decrypt with RSAES-PKCS1-v1_5. Wrong padding gives random bytes (OpenSSL's implicit rejection), so no oracle."""
    scheme = padding.PKCS1v15()
    return lambda _parameters, data: _rsa_decrypt(row, key, data, scheme)


def oaep_encryptor(row: Mechanism, key: rsa.RSAPublicKey) -> Encrypt:
    """Encrypt with RSAES-OAEP (RFC 8017 7.1), MGF1 with the mechanism's hash."""

    def run(parameters: Parameters, data: bytes) -> tuple[bytes, None]:
        algorithm = chosen_hash(parameters, row.hash)
        check_longest(row, data, key.key_size // 8 - 2 * algorithm.digest_size - 2)
        return key.encrypt(data, _oaep(algorithm, parameters)), None

    return run


def oaep_decryptor(row: Mechanism, key: rsa.RSAPrivateKey) -> Decrypt:
    """Decrypt with RSAES-OAEP (RFC 8017 7.1), MGF1 with the mechanism's hash."""
    return lambda parameters, data: _rsa_decrypt(
        row, key, data, _oaep(chosen_hash(parameters, row.hash), parameters)
    )  # fmt: skip


def _oaep(algorithm: HashAlgorithm, parameters: Parameters) -> padding.OAEP:
    return padding.OAEP(padding.MGF1(algorithm), algorithm, bytes_parameter(parameters, "label") or None)


def _rsa_decrypt(row: Mechanism, key: rsa.RSAPrivateKey, data: bytes, scheme: padding.AsymmetricPadding) -> bytes:
    if len(data) != key.key_size // 8:
        raise DataLengthInvalid(f"{row.name} decrypts {key.key_size // 8} bytes with this key, not {len(data)}")
    try:
        return key.decrypt(data, scheme)
    except ValueError:
        raise PaddingInvalid("the ciphertext does not decrypt with this key and these parameters") from None


def check_longest(row: Mechanism, data: bytes, longest: int) -> None:
    """Check the length of data in bytes.

    Raises:
        DataLengthInvalid: It is too long.
    """
    if len(data) > longest:
        raise DataLengthInvalid(f"{row.name} takes at most {longest} bytes with this key, not {len(data)}")


def pkcs1_signer(row: Mechanism, key: rsa.RSAPrivateKey) -> Sign:
    """Sign with RSASSA-PKCS1-v1_5 (RFC 8017 8.2): a digest, or without a hash the data without DigestInfo."""
    scheme, sign = padding.PKCS1v15(), key.sign
    if not row.hash:
        longest, raw = key.key_size // 8 - PKCS1_OVERHEAD, NoDigestInfo()

        def run_raw(parameters: Parameters, data: bytes) -> bytes:
            check_longest(row, data, longest)
            return sign(data, scheme, raw)

        return run_raw
    digest = hash_named(row.hash)
    prehashed, size = Prehashed(digest), digest.digest_size

    def run(parameters: Parameters, data: bytes) -> bytes:
        if len(data) != size:
            raise DataLengthInvalid(wrong_digest(row, data, size))
        return sign(data, scheme, prehashed)

    return run


def pkcs1_verifier(row: Mechanism, key: rsa.RSAPublicKey) -> Verify:
    """Verify with RSASSA-PKCS1-v1_5."""
    scheme = padding.PKCS1v15()
    if not row.hash:
        longest = key.key_size // 8 - PKCS1_OVERHEAD

        def run_raw(parameters: Parameters, data: bytes, signature: bytes) -> bool:
            check_longest(row, data, longest)
            return _recovered(key, signature) == data

        return run_raw
    digest = hash_named(row.hash)
    prehashed, size = Prehashed(digest), digest.digest_size

    def run(parameters: Parameters, data: bytes, signature: bytes) -> bool:
        if len(data) != size:
            raise DataLengthInvalid(wrong_digest(row, data, size))
        return holds(lambda: key.verify(signature, data, scheme, prehashed))

    return run


def pss_signer(row: Mechanism, key: rsa.RSAPrivateKey) -> Sign:
    """Sign with RSASSA-PSS (RFC 8017 8.1), MGF1 with the same hash."""
    sign, bits = key.sign, key.key_size

    def run(parameters: Parameters, data: bytes) -> bytes:
        scheme, prehashed = _pss(row, parameters, data, bits)
        return sign(data, scheme, prehashed)

    return run


def pss_verifier(row: Mechanism, key: rsa.RSAPublicKey) -> Verify:
    """Verify with RSASSA-PSS; the salt must have the given length."""
    bits = key.key_size

    def run(parameters: Parameters, data: bytes, signature: bytes) -> bool:
        scheme, prehashed = _pss(row, parameters, data, bits)
        return holds(lambda: key.verify(signature, data, scheme, prehashed))

    return run


def _pss(row: Mechanism, parameters: Parameters, data: bytes, bits: int) -> tuple[padding.PSS, Prehashed]:
    """Return the scheme; the default ``salt_length`` is the length of the digest (RFC 8017 9.1).

    Raises:
        DataLengthInvalid: The digest has another length.
        MechanismParameterInvalid: ``salt_length`` is too long.
    """
    algorithm = chosen_hash(parameters, row.hash)
    size = algorithm.digest_size
    if len(data) != size:
        raise DataLengthInvalid(wrong_digest(row, data, size))
    salt = number_parameter(parameters, "salt_length")
    salt = size if salt is None else salt
    longest = (bits + 6) // 8 - size - 2
    if salt > longest:
        raise MechanismParameterInvalid(f"salt_length is at most {longest} bytes with this key and hash, not {salt}")
    return padding.PSS(padding.MGF1(algorithm), salt), Prehashed(algorithm)


def _recovered(key: rsa.RSAPublicKey, signature: bytes) -> bytes | None:
    """Return the data in a PKCS #1 v1.5 signature; ``None`` for a wrong one."""
    try:
        return key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
    except InvalidSignature:
        return None
