"""The subjects of the misuse matrix: the services by the kind of their keys, and wrong keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jpype import JClass, JObject

from tests import jca

HASHES = ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
_HMACS = tuple(f"Hmac{name}" for name in HASHES)
_SETS = ("ML-DSA", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87")
_PAIRS = {name: name for name in ("RSA", "EC", "Ed25519", *_SETS)}
_SECRETS = {"AES": "AES", "DESede": "DESede", "GenericSecret": "GenericSecret"} | dict.fromkeys(_HMACS, "GenericSecret")
_OAEPS = ("OAEPPadding", *(f"OAEPWithSHA-{bits}ANDMGF1Padding" for bits in (1, 224, 256, 384, 512)))

SERVICES: dict[str, dict[str, str]] = {
    "Cipher": {
        **dict.fromkeys((f"AES/{form}" for form in (
            "CBC/NoPadding", "CBC/PKCS5Padding", "ECB/NoPadding", "ECB/PKCS5Padding", "CTR/NoPadding", "GCM/NoPadding",
        )), "AES"),
        **dict.fromkeys((f"DESede/{mode}/{pad}" for mode in ("CBC", "ECB") for pad in ("NoPadding", "PKCS5Padding")),
                        "DESede"),
        **dict.fromkeys((f"AESWrap/ECB/{pad}Padding" for pad in ("No", "PKCS5", "Zero")), "AES"),
        **dict.fromkeys((f"RSA/ECB/{pad}" for pad in ("NoPadding", "PKCS1Padding", *_OAEPS)), "RSA"),
        **dict.fromkeys((f"RSAAESWrap/ECB/{pad}" for pad in _OAEPS), "RSA"),
    },
    "Signature": {
        **dict.fromkeys(("NONEwithRSA", "RSASSA-PSS"), "RSA"),
        **dict.fromkeys((f"{name}withRSA{form}" for name in HASHES for form in ("", "/PSS")), "RSA"),
        **dict.fromkeys((f"{name}withECDSA" for name in ("NONE", *HASHES)), "EC"),
        **dict.fromkeys((f"{name}withECDSAinP1363Format" for name in ("NONE", *HASHES)), "EC"),
        "Ed25519": "Ed25519",
        **{name: name for name in _SETS},
        "ML-DSA-EXTERNAL-MU": "ML-DSA",
    },
    "Mac": {"AESCMAC": "AES"} | dict.fromkeys(_HMACS, "GenericSecret"),
    "KeyAgreement": {f"ECDHwithX963{name}KDF": "EC" for name in HASHES},
    "KeyGenerator": _SECRETS,
    "SecretKeyFactory": _SECRETS,
    "KeyPairGenerator": _PAIRS,
    "KeyFactory": _PAIRS,
    "MessageDigest": dict.fromkeys(("SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"), ""),
    "SecureRandom": {"AES-CTR-DRBG": ""},
    "KeyStore": {"CloudHSM": ""},
}  # fmt: skip
"""Every service of the provider: engine, algorithm, and the kind of key that it takes or makes."""

KINDS = ("AES", "DESede", "GenericSecret", "RSA", "EC", "Ed25519", *_SETS)
"""The kinds of keys."""
_CRYPTO = ("Cipher", "Mac", "KeyAgreement", "KeyGenerator", "SecretKeyFactory")
_USES = {"AES": "ENCRYPT DECRYPT SIGN WRAP UNWRAP DERIVE", "DESede": "ENCRYPT DECRYPT SIGN", "GenericSecret": "SIGN"}
_NULLS = {True: ("javax.crypto.SecretKey",) * 2, False: ("java.security.PublicKey", "java.security.PrivateKey")}
_PUBLIC_USES = {"RSA": "ENCRYPT VERIFY WRAP"}
_PRIVATE_USES = {"RSA": "DECRYPT SIGN UNWRAP", "EC": "SIGN DERIVE"}


@dataclass(frozen=True)
class Pair:
    """The two sides of a key: the halves of a pair, or one secret key twice."""

    public: Any
    private: Any

    def destroy(self) -> None:
        """Destroy both."""
        self.public.destroy()
        if self.private is not self.public:
            self.private.destroy()


@dataclass(frozen=True)
class Keys:
    """Keys of one kind: a right one, and those that are wrong in one way each."""

    right: Pair
    wrong: dict[str, Pair]
    lost: Pair
    """Its session is gone, which only the HSM can tell."""


def engine_of(engine: str, name: str, provider: Any = jca.PROVIDER) -> Any:
    """Return a new engine object of a service."""
    return JClass(f"{'javax.crypto' if engine in _CRYPTO else 'java.security'}.{engine}").getInstance(name, provider)


def make(kind: str, provider: Any = jca.PROVIDER, *, allowed: bool = True) -> Pair:
    """Make a key that may do all that its kind can, or nothing."""
    if kind in _USES:
        generator = JClass("javax.crypto.KeyGenerator").getInstance(kind, provider)
        size = {"SIZE": {"DESede": 192}.get(kind, 256)}
        generator.init(jca.attribute_map(**size, **dict.fromkeys(_USES[kind].split(), allowed)))
        key = generator.generateKey()
        return Pair(key, key)
    generator = JClass("java.security.KeyPairGenerator").getInstance(kind, provider)
    public = dict.fromkeys(_PUBLIC_USES.get(kind, "VERIFY").split(), allowed)
    private = dict.fromkeys(_PRIVATE_USES.get(kind, "SIGN").split(), allowed)
    if kind == "RSA":
        public |= {"MODULUS_BITS": 2048, "PUBLIC_EXPONENT": b"\1\0\1"}
    elif kind == "EC":
        public |= {"EC_PARAMS": bytes(JClass(f"{jca.ATTRIBUTES}.EcParams").EC_CURVE_PRIME256)}
    generator.initialize(jca.pair_map(jca.attribute_map(**public), jca.attribute_map(**private)))
    made = generator.generateKeyPair()
    return Pair(made.getPublic(), made.getPrivate())


def software(kind: str) -> Pair:
    """Return a key of the JDK's own providers; an opaque stand-in where the JDK has none of the kind."""
    if kind in _USES:
        algorithm = {"GenericSecret": "HmacSHA256"}.get(kind, kind)
        key = JClass("javax.crypto.spec.SecretKeySpec")(bytes(range(24)), algorithm)
        return Pair(key, key)
    generator = JClass("java.security.KeyPairGenerator")
    made = generator.getInstance("EC" if kind in _SETS else kind, "SunRsaSign" if kind == "RSA" else "SunEC")
    pair = made.generateKeyPair()
    return Pair(pair.getPublic(), pair.getPrivate())


def keys(kind: str, lost: Pair, other_user: Any) -> Keys:
    """Make the keys of a kind; ``other_user`` is a provider of another user of the same HSM."""
    gone = make(kind)
    gone.destroy()
    other_kind = {"AES": "DESede", "DESede": "AES", "GenericSecret": "DESede", "RSA": "EC"}.get(kind, "RSA")
    wrong = {
        "null": Pair(*(JObject(None, name) for name in _NULLS[kind in _USES])),
        "of another type": make(other_kind),
        "of another provider": software(kind),
        "of another user": make(kind, other_user),
        "destroyed": gone,
        "forbidden by an attribute": make(kind, allowed=False),
    }
    return Keys(make(kind), wrong, lost)
