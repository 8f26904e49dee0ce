"""Short names for the JCA calls that the tests make, from Python through the embedded JVM."""

from __future__ import annotations

from functools import partial
from typing import Any

from jpype import JArray, JByte, JClass

PROVIDER = "CloudHSM"
ATTRIBUTES = "com.amazonaws.cloudhsm.jce.provider.attributes"
RSA_SECRETS = (
    "getPrivateExponent",
    "getPrimeP",
    "getPrimeQ",
    "getPrimeExponentP",
    "getPrimeExponentQ",
    "getCrtCoefficient",
)
"""The getters of ``RSAPrivateCrtKey`` that a key in the HSM answers with null."""

java = partial(JClass)


def class_of(name: str) -> Any:
    """Return the ``java.lang.Class`` object of that class."""
    return JClass(name).class_


def key_pair(algorithm: str, size_or_curve: int | str, provider: str | None = PROVIDER) -> Any:
    """Generate a pair, with the HSM unless another provider is named (``None`` for the JDK's choice)."""
    factory = JClass("java.security.KeyPairGenerator")
    generator = factory.getInstance(algorithm, provider) if provider else factory.getInstance(algorithm)
    if isinstance(size_or_curve, int):
        generator.initialize(size_or_curve)
    else:
        generator.initialize(JClass("java.security.spec.ECGenParameterSpec")(size_or_curve))
    return generator.generateKeyPair()


def secret_key(algorithm: str = "AES", bits: int = 256, provider: str = PROVIDER) -> Any:
    """Generate a secret key."""
    generator = JClass("javax.crypto.KeyGenerator").getInstance(algorithm, provider)
    generator.init(bits)
    return generator.generateKey()


def attribute_map(**values: object) -> Any:
    """Return a ``KeyAttributesMap``; values become Boolean, Integer and byte[], enums may be given by name."""
    made = JClass(f"{ATTRIBUTES}.KeyAttributesMapBuilder")()
    names = JClass(f"{ATTRIBUTES}.KeyAttribute")
    boxes = {bool: JClass("java.lang.Boolean"), int: JClass("java.lang.Integer"), bytes: JArray(JByte)}
    enums = {"KEY_TYPE": "KeyType", "OBJECT_CLASS": "ObjectClassType"}
    for name, value in values.items():
        by_name = name in enums and type(value) is str
        box = JClass(f"{ATTRIBUTES}.{enums[name]}").valueOf if by_name else boxes.get(type(value))
        made.put(names.valueOf(name), box(value) if box else value)
    return made.build()


def pair_map(public: Any, private: Any) -> Any:
    """Return a ``KeyPairAttributesMap`` of two maps."""
    made = JClass(f"{ATTRIBUTES}.KeyPairAttributesMapBuilder")()
    return made.withPublic(public).withPrivate(private).build()


def generated(algorithm: str = "AES", **attributes: object) -> Any:
    """Generate a secret key with these attributes."""
    generator = JClass("javax.crypto.KeyGenerator").getInstance(algorithm, PROVIDER)
    generator.init(attribute_map(**attributes))
    return generator.generateKey()


def imported_secret(material: bytes, algorithm: str = "AES", alias: str = "imported") -> Any:
    """Put a raw key into the HSM through the key store, unless the alias is there, and return the HSM's key."""
    store = JClass("java.security.KeyStore").getInstance(PROVIDER)
    store.load(None, None)
    if not store.containsAlias(alias):
        store.setKeyEntry(alias, JClass("javax.crypto.spec.SecretKeySpec")(material, algorithm), None, None)
    return store.getKey(alias, None)


def sign(algorithm: str, key: Any, message: bytes, provider: str | None = PROVIDER, parameters: Any = None) -> bytes:
    """Sign in one call; ``None`` lets the JDK pick the provider."""
    signature = _signature(algorithm, provider)
    signature.initSign(key)
    if parameters is not None:
        signature.setParameter(parameters)
    signature.update(message)
    return bytes(signature.sign())


def verify(
    algorithm: str, key: Any, message: bytes, signed: bytes, provider: str | None = PROVIDER, parameters: Any = None
) -> bool:
    """Verify in one call."""
    signature = _signature(algorithm, provider)
    signature.initVerify(key)
    if parameters is not None:
        signature.setParameter(parameters)
    signature.update(message)
    return bool(signature.verify(signed))


def cipher(transformation: str, mode: str, key: Any, parameters: Any = None, provider: str = PROVIDER) -> Any:
    """Return an initialised cipher; ``mode`` is ``encrypt`` or ``decrypt``."""
    made = JClass("javax.crypto.Cipher").getInstance(transformation, provider)
    number = {"encrypt": 1, "decrypt": 2, "wrap": 3, "unwrap": 4}[mode]
    if parameters is None:
        made.init(number, key)
    else:
        made.init(number, key, parameters)
    return made


def gcm_parameters(iv: bytes, tag_bits: int = 128) -> Any:
    """Return a ``GCMParameterSpec``."""
    return JClass("javax.crypto.spec.GCMParameterSpec")(tag_bits, iv)


def pss(digest: str, salt_length: int) -> Any:
    """Return a ``PSSParameterSpec`` with MGF1 over the same digest; the salt's length is in bytes."""
    mgf = JClass("java.security.spec.MGF1ParameterSpec")(digest)
    return JClass("java.security.spec.PSSParameterSpec")(digest, "MGF1", mgf, salt_length, 1)


def factory(algorithm: str) -> Any:
    """Return the HSM's ``SecretKeyFactory``."""
    return JClass("javax.crypto.SecretKeyFactory").getInstance(algorithm, PROVIDER)


def is_secret(key: Any, material: bytes) -> bool:
    """Tell whether a key of the HSM has this material, by what it makes of zeros beside the JDK's own provider."""
    kind = str(key.getAlgorithm())
    software = JClass("javax.crypto.spec.SecretKeySpec")(material, kind)
    if kind in ("AES", "DESede"):
        results = [
            bytes(cipher(f"{kind}/ECB/NoPadding", "encrypt", each, provider=provider).doFinal(bytes(32)))
            for each, provider in ((key, PROVIDER), (software, "SunJCE"))
        ]
    else:
        results = [
            mac("HmacSHA256", each, bytes(32), provider) for each, provider in ((key, PROVIDER), (software, "SunJCE"))
        ]
    return results[0] == results[1]


def mac(algorithm: str, key: Any, data: bytes, provider: str = PROVIDER) -> bytes:
    """Make a MAC in one call."""
    made = JClass("javax.crypto.Mac").getInstance(algorithm, provider)
    made.init(key)
    return bytes(made.doFinal(data))


def _signature(algorithm: str, provider: str | None) -> Any:
    factory = JClass("java.security.Signature")
    return factory.getInstance(algorithm, provider) if provider else factory.getInstance(algorithm)
