"""The model's knowledge of keys, and the judgement of the JDK's own providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from jpype import JClass

from tests import jca

USES = {
    ("AES", "SECRET_KEY"): "ENCRYPT DECRYPT SIGN VERIFY WRAP UNWRAP DERIVE",
    ("DESede", "SECRET_KEY"): "ENCRYPT DECRYPT SIGN VERIFY WRAP UNWRAP",
    ("GenericSecret", "SECRET_KEY"): "SIGN VERIFY DERIVE",
    ("RSA", "PUBLIC_KEY"): "ENCRYPT VERIFY WRAP",
    ("RSA", "PRIVATE_KEY"): "DECRYPT SIGN UNWRAP",
    ("EC", "PUBLIC_KEY"): "VERIFY",
    ("EC", "PRIVATE_KEY"): "SIGN DERIVE",
}
SIZES = {"AES": 32, "DESede": 24, "GenericSecret": 20}
CIPHERS = {
    "AES": ("AES/CBC/PKCS5Padding", "AES/CTR/NoPadding", "AES/ECB/PKCS5Padding", "AES/GCM/NoPadding"),
    "DESede": ("DESede/CBC/PKCS5Padding", "DESede/ECB/PKCS5Padding"),
    "RSA": ("RSA/ECB/PKCS1Padding", "RSA/ECB/OAEPPadding"),
}


@dataclass(eq=False)
class Key:
    """A key of the HSM, and Java's objects for it, each with whether ``destroy`` was called on it."""

    kind: str
    attributes: dict[str, object]
    material: Any = None
    """The same key in the JDK's own form, where it is known."""
    other: Any = None
    """The JDK's form of the public half."""
    there: bool = True

    def may(self, use: str) -> bool:
        return self.attributes.get(use) is True

    @property
    def is_class(self) -> str:
        return str(self.attributes["OBJECT_CLASS"])


@dataclass(eq=False)
class Handle:
    """A Java key object."""

    key: Key
    java: Any
    destroyed: bool = False

    def at_init(self, use: str, *kinds: str) -> bool:
        """Tell whether ``init`` takes it."""
        return not self.destroyed and self.key.may(use) and self.key.kind in kinds


@dataclass(eq=False)
class Stream:
    """A cipher that has begun, and the JDK's beside it."""

    handle: Handle
    ours: Any
    theirs: Any
    begun: int = 0
    """The login in which data has been given that is not finished; 0 if there is none."""
    broken: bool = False


@cache
def software_pair(kind: str) -> Any:
    generator = JClass("java.security.KeyPairGenerator").getInstance(kind, "SunRsaSign" if kind == "RSA" else "SunEC")
    generator.initialize(2048 if kind == "RSA" else 256)
    return generator.generateKeyPair()


def defaults(kind: str, object_class: str, flags: dict[str, bool], label: str) -> dict[str, object]:
    """Return the attributes that a key has, of those that the model follows; what does not fit is false."""
    fits = USES[kind, object_class].split()
    made: dict[str, object] = {name: name != "DERIVE" for name in fits}
    made |= {"TOKEN": False, "LABEL": label, "OBJECT_CLASS": object_class}
    if object_class != "PUBLIC_KEY":
        made["EXTRACTABLE"] = True
    return made | flags


def fitting(kind: str, object_class: str, flags: dict[str, bool]) -> bool:
    allowed = {*USES[kind, object_class].split(), "TOKEN", *(["EXTRACTABLE"] if object_class != "PUBLIC_KEY" else [])}
    return all(name in allowed or not value for name, value in flags.items())


def encrypted(name: str, key: Any, data: bytes, provider: str) -> tuple[bytes, Any]:
    """Encrypt, and return what came of it with the parameters to decrypt with."""
    made = jca.cipher(name, "encrypt", key, provider=provider)
    sealed = bytes(made.doFinal(data))
    vector = made.getIV()
    if vector is None:
        return sealed, None
    spec = jca.gcm_parameters if "GCM" in name else JClass("javax.crypto.spec.IvParameterSpec")
    return sealed, spec(bytes(vector))


def judged(name: str, key: Any, data: bytes) -> bytes:
    """Return the MAC that it should be."""
    if name == "AESCMAC":
        made = CMAC(AES(bytes(key.getEncoded())))
        made.update(data)
        return made.finalize()
    return jca.mac(name, JClass("javax.crypto.spec.SecretKeySpec")(key.getEncoded(), name), data, "SunJCE")


def sorted_items(attributes: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return attributes in a form that sorts."""
    return sorted((name, str(value)) for name, value in attributes.items())
