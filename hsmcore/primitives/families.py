"""The table from a mechanism's family and an operation to the function that does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hsmcore.errors import MechanismInvalid
from hsmcore.primitives import asymmetric, derivation, macs, message_signatures, symmetric, wrapping
from hsmcore.primitives.keyforms import OpenedKey
from hsmcore.primitives.parameters import Parameters
from hsmcore.tables.mechanisms import Mechanism, Operation

Run = Callable[..., Any]
"""An operation with its key bound: parameters and data (VERIFY: and signature; DERIVE: a length) in, the result out."""


class Stream(Protocol):
    """A multi-part operation."""

    def update(self, data: bytes) -> bytes:
        """Take more data and return the output that is ready."""

    def finish(self, data: bytes) -> bytes:
        """Take the last data and return the rest of the output."""


Begin = Callable[[Parameters], tuple[Stream, dict[str, object] | None]]

_E, _D, _S, _V = Operation.ENCRYPT, Operation.DECRYPT, Operation.SIGN, Operation.VERIFY
_W, _U = Operation.WRAP, Operation.UNWRAP

# Each function takes the key form that its mechanisms' key types have; the policy has compared them before.
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
    ("mac", _S): macs.signer,
    ("mac", _V): macs.verifier,
    ("rsa_pkcs1", _E): asymmetric.pkcs1_encryptor,
    ("rsa_pkcs1", _D): asymmetric.pkcs1_decryptor,
    ("rsa_pkcs1", _W): asymmetric.pkcs1_encryptor,
    ("rsa_pkcs1", _U): asymmetric.pkcs1_decryptor,
    ("rsa_raw", _E): asymmetric.raw_encryptor,
    ("rsa_oaep", _E): asymmetric.oaep_encryptor,
    ("rsa_oaep", _D): asymmetric.oaep_decryptor,
    ("rsa_oaep", _W): asymmetric.oaep_encryptor,
    ("rsa_oaep", _U): asymmetric.oaep_decryptor,
    ("rsa_aes_key_wrap", _W): wrapping.rsa_aes_wrapper,
    ("rsa_aes_key_wrap", _U): wrapping.rsa_aes_unwrapper,
    ("rsa_pkcs1_signature", _S): asymmetric.pkcs1_signer,
    ("rsa_pkcs1_signature", _V): asymmetric.pkcs1_verifier,
    ("rsa_pss_signature", _S): asymmetric.pss_signer,
    ("rsa_pss_signature", _V): asymmetric.pss_verifier,
    ("ecdsa", _S): asymmetric.ecdsa_signer,
    ("ecdsa", _V): asymmetric.ecdsa_verifier,
    ("message_signature", _S): message_signatures.signer,
    ("message_signature", _V): message_signatures.verifier,
    ("cmac_kdf", Operation.DERIVE): derivation.cmac_kdf,
    ("ecdh_x963", Operation.DERIVE): derivation.ecdh_x963,
}

_STREAMS: dict[tuple[str, Operation], Callable[[Mechanism, Any], Begin]] = {
    ("block_cipher", _E): symmetric.encrypt_stream,
    ("block_cipher", _D): symmetric.decrypt_stream,
    ("mac", _S): macs.stream,
}
"""AES-GCM is not here: CloudHSM has no multi-part GCM, and a plaintext must not leave before its tag was checked."""


def operation(row: Mechanism, kind: Operation, key: OpenedKey) -> Run:
    """Bind a key to a mechanism's operation."""
    return _OPERATIONS[row.family, kind](row, key)


def stream(row: Mechanism, kind: Operation, key: OpenedKey) -> Begin:
    """Bind a key to a mechanism's multi-part operation. Raises ``MechanismInvalid`` where there is none."""
    bind = _STREAMS.get((row.family, kind))
    if bind is None:
        raise MechanismInvalid(f"mechanism {row.name} does not {kind.value.lower()} in parts")
    return bind(row, key)
