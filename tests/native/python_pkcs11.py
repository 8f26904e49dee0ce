"""A program that uses python-pkcs11 as its documentation shows; run with the library's path and the PIN."""

from __future__ import annotations

import sys
from typing import Any

import pkcs11
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass
from pkcs11.constants import DEFAULT
from pkcs11.util.ec import encode_ec_public_key, encode_ecdsa_signature, encode_named_curve_parameters
from pkcs11.util.rsa import encode_rsa_public_key

MESSAGE = b"a message of a Python program"


def aes(session: Any) -> None:
    key = session.generate_key(KeyType.AES, 256, store=True, label="python-aes", id=b"\x50")
    iv = bytes(range(16))
    sealed = key.encrypt(MESSAGE, mechanism_param=iv)
    assert sealed != MESSAGE
    assert key.decrypt(sealed, mechanism_param=iv) == MESSAGE
    key.destroy()


def rsa_pair(session: Any) -> None:
    public, private = session.generate_keypair(KeyType.RSA, 2048, store=True, label="python-rsa", id=b"\x51")
    signature = private.sign(MESSAGE, mechanism=pkcs11.Mechanism.SHA256_RSA_PKCS)
    assert public.verify(MESSAGE, signature, mechanism=pkcs11.Mechanism.SHA256_RSA_PKCS)
    read = serialization.load_der_public_key(_spki(encode_rsa_public_key(public)))
    assert isinstance(read, rsa.RSAPublicKey)
    read.verify(signature, MESSAGE, padding.PKCS1v15(), hashes.SHA256())


def _spki(key: bytes) -> bytes:
    from asn1crypto.keys import PublicKeyInfo, RSAPublicKey

    return bytes(PublicKeyInfo.wrap(RSAPublicKey.load(key), "rsa").dump())


def ec_pair(session: Any) -> None:
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    parameters = session.create_domain_parameters(KeyType.EC, curve, local=True)
    public, private = parameters.generate_keypair(store=True, label="python-ec", id=b"\x52")
    signature = private.sign(MESSAGE, mechanism=pkcs11.Mechanism.ECDSA_SHA256)
    assert public.verify(MESSAGE, signature, mechanism=pkcs11.Mechanism.ECDSA_SHA256)
    read = serialization.load_der_public_key(encode_ec_public_key(public))
    assert isinstance(read, ec.EllipticCurvePublicKey)
    read.verify(encode_ecdsa_signature(signature), MESSAGE, ec.ECDSA(hashes.SHA256()))


def hmac(session: Any) -> None:
    signing = MechanismFlag.SIGN | MechanismFlag.VERIFY
    # The library would give attributes that a generic secret does not have.
    others = dict.fromkeys((Attribute.ENCRYPT, Attribute.DECRYPT, Attribute.WRAP, Attribute.UNWRAP), DEFAULT)
    key = session.generate_key(KeyType.GENERIC_SECRET, 256, capabilities=signing, template=others)
    mac = key.sign(MESSAGE, mechanism=pkcs11.Mechanism.SHA256_HMAC)
    assert len(mac) == 32
    assert key.verify(MESSAGE, mac, mechanism=pkcs11.Mechanism.SHA256_HMAC)
    assert not key.verify(MESSAGE + b"!", mac, mechanism=pkcs11.Mechanism.SHA256_HMAC)


def found(session: Any) -> None:
    key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label="python-ec")
    assert key.id == b"\x52"
    labels = {one.label for one in session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})}
    assert labels >= {"python-rsa", "python-ec"}


def main() -> None:
    """Run each part and print its name."""
    path, pin = sys.argv[1:]
    token = pkcs11.lib(path).get_token(token_label="hsm1")
    with token.open(rw=True, user_pin=pin) as session:
        for name, part in (("aes", aes), ("rsa", rsa_pair), ("ec", ec_pair), ("hmac", hmac), ("found", found)):
            part(session)
            print(name)


if __name__ == "__main__":
    main()
