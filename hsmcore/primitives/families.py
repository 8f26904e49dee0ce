"""The table of functions by mechanism family and operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hsmcore.errors import MechanismInvalid
from hsmcore.primitives import derivation, ecdsa, eddsa, macs, ml_dsa, raw_rsa, rsa, symmetric, wrapping
from hsmcore.primitives.keyforms import OpenedKey
from hsmcore.primitives.parameters import Parameters
from hsmcore.tables.mechanisms import Mechanism, Operation

Run = Callable[..., Any]
"""An operation with its key bound. Takes parameters and data, and returns the result.

VERIFY also takes a signature; DERIVE takes a length instead of data.
"""


class Stream(Protocol):
    """A multi-part operation."""

    def update(self, data: bytes) -> bytes:
        """Process more data and return the output that is ready."""

    def finish(self, data: bytes) -> bytes:
        """Process the last data and return the rest of the output."""


Begin = Callable[[Parameters], tuple[Stream, dict[str, object] | None]]

_E, _D, _S, _V = Operation.ENCRYPT, Operation.DECRYPT, Operation.SIGN, Operation.VERIFY
_W, _U = Operation.WRAP, Operation.UNWRAP

# Each function takes the type of key object that its mechanisms' key types have; the policy has compared them before.
_OPERATIONS: dict[tuple[str, Operation], Callable[[Mechanism, Any], Run]] = {
    ("block_cipher", _E): symmetric.block_encryptor,
    ("block_cipher", _D): symmetric.block_decryptor,
    ("block_cipher", _U): symmetric.block_decryptor,
    ("gcm", _E): symmetric.gcm_encryptor,
    ("gcm", _D): symmetric.gcm_decryptor,
    ("gcm", _W): symmetric.gcm_encryptor,
    ("gcm", _U): symmetric.gcm_decryptor,
    ("aes_key_wrap", _W): wrapping.aes_wrapper,
    ("aes_key_wrap", _U): wrapping.aes_unwrapper,
    ("tdea_key_wrap", _W): wrapping.tdea_wrapper,
    ("tdea_key_wrap", _U): wrapping.tdea_unwrapper,
    ("mac", _S): macs.signer,
    ("mac", _V): macs.verifier,
    ("rsa_pkcs1", _E): rsa.pkcs1_encryptor,
    ("rsa_pkcs1", _D): rsa.pkcs1_decryptor,
    ("rsa_pkcs1", _W): rsa.pkcs1_encryptor,
    ("rsa_pkcs1", _U): rsa.pkcs1_decryptor,
    ("rsa_raw", _E): raw_rsa.encryptor,
    ("rsa_raw", _D): raw_rsa.decryptor,
    ("rsa_raw", _S): raw_rsa.decryptor,
    ("rsa_raw", _V): raw_rsa.verifier,
    ("rsa_oaep", _E): rsa.oaep_encryptor,
    ("rsa_oaep", _D): rsa.oaep_decryptor,
    ("rsa_oaep", _W): rsa.oaep_encryptor,
    ("rsa_oaep", _U): rsa.oaep_decryptor,
    ("rsa_aes_key_wrap", _W): wrapping.rsa_aes_wrapper,
    ("rsa_aes_key_wrap", _U): wrapping.rsa_aes_unwrapper,
    ("rsa_pkcs1_signature", _S): rsa.pkcs1_signer,
    ("rsa_pkcs1_signature", _V): rsa.pkcs1_verifier,
    ("rsa_pss_signature", _S): rsa.pss_signer,
    ("rsa_pss_signature", _V): rsa.pss_verifier,
    ("ecdsa", _S): ecdsa.signer,
    ("ecdsa", _V): ecdsa.verifier,
    ("eddsa", _S): eddsa.signer,
    ("eddsa", _V): eddsa.verifier,
    ("ml_dsa", _S): ml_dsa.signer,
    ("ml_dsa", _V): ml_dsa.verifier,
    ("cmac_kdf", Operation.DERIVE): derivation.cmac_kdf,
    ("hmac_kdf", Operation.DERIVE): derivation.hmac_kdf,
    ("ecdh", Operation.DERIVE): derivation.ecdh,
    ("ecdh_x963", Operation.DERIVE): derivation.ecdh_x963,
}

_STREAMS: dict[tuple[str, Operation], Callable[[Mechanism, Any], Begin]] = {
    ("block_cipher", _E): symmetric.encrypt_stream,
    ("block_cipher", _D): symmetric.decrypt_stream,
    ("mac", _S): macs.stream,
}
"""AES-GCM is not here: CloudHSM has no multi-part GCM, and a plaintext must not leave before its tag was checked."""


def operation(row: Mechanism, kind: Operation, key: OpenedKey) -> Run:
    """Bind a key to a mechanism's operation.

    Raises:
        LookupError: The table of operations lacks a row for the mechanism's family.
    """
    bind = _OPERATIONS.get((row.family, kind))
    if bind is None:
        raise LookupError(
            f"the table _OPERATIONS of hsmcore.primitives.families has no row ({row.family!r}, {kind.value}), "
            f"which mechanism {row.name} needs; add one"
        )
    return bind(row, key)


def stream(row: Mechanism, kind: Operation, key: OpenedKey) -> Begin:
    """Bind a key to a mechanism's multi-part operation.

    Raises:
        MechanismInvalid: The mechanism does not do this in parts.
    """
    bind = _STREAMS.get((row.family, kind))
    if bind is None:
        raise MechanismInvalid(f"mechanism {row.name} does not {kind.value.lower()} in parts")
    return bind(row, key)
