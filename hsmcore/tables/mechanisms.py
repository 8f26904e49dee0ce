"""The mechanism table: the algorithms of the HSM as data, one row a mechanism.

Every other list of algorithms comes from this one. The Java provider registers its services before any HSM answers,
from a resource that ``python -m hsmcore.tables.mechanisms`` prints when the jar is built. This module imports only the
standard library, so that a build can run it before anything is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from hsmcore.tables.lookup import row_of

HASHES = {"SHA1": "SHA-1", "SHA224": "SHA-224", "SHA256": "SHA-256", "SHA384": "SHA-384", "SHA512": "SHA-512"}
"""Spelling inside mechanism and signature names, to the name of the digest (FIPS 180-4)."""

DIGEST_BYTES = {"SHA-1": 20, "SHA-224": 28, "SHA-256": 32, "SHA-384": 48, "SHA-512": 64}
"""Bytes of each digest."""

CMAC_KDF = "AES_CMAC_KDF"
"""The derivation of every SecretKeyFactory."""

KEY_WRAP_IV = bytes.fromhex("a6a6a6a6a6a6a6a6")
"""The initial value of AES key wrap (RFC 3394 2.2.3.1), the only accepted one."""


class KeyType(StrEnum):
    """Key types, spelled as in ``com.amazonaws.cloudhsm.jce.provider.attributes.KeyType``."""

    AES = "AES"
    DESEDE = "DESEDE"
    GENERIC_SECRET = "GENERIC_SECRET"
    RSA = "RSA"
    EC = "EC"
    EC_EDWARDS = "EC_EDWARDS"
    ML_DSA = "ML_DSA"


KEY_SIZES = {
    KeyType.AES: range(128, 256 + 1, 64),
    KeyType.DESEDE: range(168, 192 + 1, 24),
    KeyType.GENERIC_SECRET: range(8, 800 * 8 + 1, 8),
    KeyType.RSA: range(2048, 4096 + 1, 256),
}
"""Sizes in bits of the keys that the HSM generates. A DESede key of 168 effective bits has 192 with parity."""

MAX_HMAC_KEY = 800
"""Maximum bytes of an HMAC key; CloudHSM stores longer ones and refuses to use them."""

EXPONENT = 65537
"""The public exponent of generated RSA keys, and the minimum of imported ones (FIPS 186-5 A.1.1)."""

CURVES = {
    "secp224r1": bytes.fromhex("06052b81040021"),
    "secp256r1": bytes.fromhex("06082a8648ce3d030107"),
    "secp256k1": bytes.fromhex("06052b8104000a"),
    "secp384r1": bytes.fromhex("06052b81040022"),
    "secp521r1": bytes.fromhex("06052b81040023"),
}
"""Curves by name, with the DER of their object identifier (RFC 5480 2.1.1.1; secp256k1: SEC 2)."""
CURVE_ALIASES = {
    "prime256v1": "secp256r1",
    "P-224": "secp224r1",
    "P-256": "secp256r1",
    "P-384": "secp384r1",
    "P-521": "secp521r1",
}
"""Other names of curves (RFC 5480 2.1.1.1, FIPS 186-5)."""


ED25519 = bytes.fromhex("06032b6570")
"""The only Edwards curve: its object identifier in DER (RFC 8410 3)."""

ML_DSA_SETS = ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")
"""Parameter sets of ML-DSA (FIPS 204 table 1)."""
ML_DSA_DEFAULT = "ML-DSA-65"
"""The default parameter set, as in the JDK (JEP 497)."""


class Operation(StrEnum):
    """An operation of a mechanism. Its value is the key attribute that permits it, if it takes a key."""

    ENCRYPT = "ENCRYPT"
    DECRYPT = "DECRYPT"
    SIGN = "SIGN"
    VERIFY = "VERIFY"
    WRAP = "WRAP"
    UNWRAP = "UNWRAP"
    GENERATE = "GENERATE"
    DIGEST = "DIGEST"
    DERIVE = "DERIVE"
    RANDOM = "RANDOM"


@dataclass(frozen=True, slots=True)
class Service:
    """One JCA service: engine type, algorithm name, aliases, and the properties that its adapter needs.

    A Cipher's property ``modes`` comes from the mechanism's operations.
    """

    engine: str
    algorithm: str
    aliases: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism: its key type, its operations, its family in ``hsmcore.primitives``, and the family's options.

    ``hash`` is a digest name of ``HASHES`` or empty; ``block`` and ``iv`` are lengths in bytes, or 0.
    ``limit`` is CloudHSM's maximum bytes of data in one request, 0 where it is unknown (``hsmcore.crypto.limits``).
    """

    name: str
    key_types: frozenset[KeyType]
    operations: frozenset[Operation]
    family: str
    hash: str = ""
    mode: str = ""
    padded: bool = False
    block: int = 0
    iv: int = 0
    limit: int = 0
    services: tuple[Service, ...] = ()

    def __post_init__(self) -> None:
        """Raise ``LookupError`` where ``DIGEST_BYTES`` lacks the hash."""
        if self.hash:
            digest_bytes(self.hash)


_CRYPT = frozenset({Operation.ENCRYPT, Operation.DECRYPT})
_WRAPS = frozenset({Operation.WRAP, Operation.UNWRAP})
_SIGNS = frozenset({Operation.SIGN, Operation.VERIFY})
_GENERATES = frozenset({Operation.GENERATE})

_CBC_LIMITS = {KeyType.AES: 16_272, KeyType.DESEDE: 16_280}
_HMAC_LIMITS = {"SHA1": 16_288, "SHA224": 16_256, "SHA256": 16_288, "SHA384": 16_224, "SHA512": 16_224}


def digest_bytes(name: str) -> int:
    """Return the length of a digest."""
    return row_of(DIGEST_BYTES, name, "DIGEST_BYTES of hsmcore.tables.mechanisms")


def _one(key_type: KeyType) -> frozenset[KeyType]:
    return frozenset({key_type})


def _sizes(key_type: KeyType) -> str:
    """Return the sizes of a key type as the provider reads them: minimum, maximum and step in bits."""
    sizes = KEY_SIZES[key_type]
    return f"{sizes[0]}-{sizes[-1]}/{sizes.step}"


def _generators() -> Iterator[Mechanism]:
    bits = {f"Hmac{name}": str(digest_bytes(digest) * 8) for name, digest in HASHES.items()}
    for key_type, names in (
        (KeyType.AES, ("AES",)),
        (KeyType.DESEDE, ("DESede",)),
        (KeyType.GENERIC_SECRET, ("GenericSecret", *bits)),
    ):
        services = []
        for name in names:
            generator = {"sizes": _sizes(key_type)} | ({"bits": bits[name]} if name in bits else {})
            services.append(Service("KeyGenerator", name, properties=generator))
            factory = {"type": key_type.value, "kdf": CMAC_KDF}
            services.append(Service("SecretKeyFactory", name, properties=factory))
        mechanism = f"{key_type}_KEY_GEN"
        yield Mechanism(mechanism, _one(key_type), _GENERATES, "secret_key", services=tuple(services))
    rsa = {"sizes": _sizes(KeyType.RSA), "needs": "MODULUS_BITS,PUBLIC_EXPONENT", "exponent": str(EXPONENT)}
    curves = CURVES | {alias: CURVES[name] for alias, name in CURVE_ALIASES.items()}
    ec = {"curves": ",".join(f"{name}:{curve.hex()}" for name, curve in curves.items()), "needs": "EC_PARAMS"}
    for key_type, properties in ((KeyType.RSA, rsa), (KeyType.EC, ec)):
        pair = (
            Service("KeyPairGenerator", key_type.value, properties=properties),
            Service("KeyFactory", key_type.value, properties={"type": key_type.value, "key": key_type.value}),
        )
        yield Mechanism(f"{key_type}_KEY_PAIR_GEN", _one(key_type), _GENERATES, "key_pair", services=pair)


def _message_signatures() -> Iterator[Mechanism]:
    """Yield the mechanisms that sign the message and not a digest of it: Ed25519 and ML-DSA."""
    edwards, lattice = _one(KeyType.EC_EDWARDS), _one(KeyType.ML_DSA)
    factory = {"type": KeyType.EC_EDWARDS.value, "key": "EdDSA"}
    pair = (
        Service("KeyPairGenerator", "Ed25519", ("EdDSA",), {"named": "Ed25519", "sizes": "255-256/1"}),
        Service("KeyFactory", "Ed25519", ("EdDSA",), factory),
    )
    yield Mechanism("EC_EDWARDS_KEY_PAIR_GEN", edwards, _GENERATES, "key_pair", services=pair)
    signature = Service("Signature", "Ed25519", ("EdDSA",), {"key": "EdDSA"})
    yield Mechanism("EDDSA", edwards, _SIGNS, "eddsa", services=(signature,))
    factory = {"type": KeyType.ML_DSA.value, "key": "ML-DSA"}
    rows = [Service("KeyPairGenerator", "ML-DSA", properties={"set": ML_DSA_DEFAULT, "named": ",".join(ML_DSA_SETS)})]
    rows += [Service("KeyPairGenerator", name, properties={"set": name, "named": name}) for name in ML_DSA_SETS]
    rows += [Service("KeyFactory", name, properties=factory) for name in ("ML-DSA", *ML_DSA_SETS)]
    yield Mechanism("ML_DSA_KEY_PAIR_GEN", lattice, _GENERATES, "key_pair", services=tuple(rows))
    signatures = [Service("Signature", "ML-DSA", properties={"key": "ML-DSA"})]
    signatures += [Service("Signature", name, properties={"key": "ML-DSA", "set": name}) for name in ML_DSA_SETS]
    yield Mechanism("ML_DSA", lattice, _SIGNS, "ml_dsa", services=tuple(signatures))
    external = Service("Signature", "ML-DSA-EXTERNAL-MU", properties={"key": "ML-DSA"})
    yield Mechanism("ML_DSA_MU", lattice, _SIGNS, "ml_dsa", mode="MU", services=(external,))


def _block_ciphers() -> Iterator[Mechanism]:
    for key_type, jca, block in ((KeyType.AES, "AES", 16), (KeyType.DESEDE, "DESede", 8)):
        for mode, padding in (
            ("CBC", "NoPadding"),
            ("CBC", "PKCS5Padding"),
            ("ECB", "NoPadding"),
            ("ECB", "PKCS5Padding"),
            ("CTR", "NoPadding"),
        ):
            if mode == "CTR" and key_type is not KeyType.AES:
                continue
            iv = 0 if mode == "ECB" else block
            padded = padding != "NoPadding"
            properties = {"iv": str(iv), "block": str(1 if mode == "CTR" else block), "padded": str(padded).lower()}
            service = Service("Cipher", f"{jca}/{mode}/{padding}", properties=properties | {"form": "stream"})
            name = f"{key_type}_{mode}" + ("_PAD" if padded else "")
            operations = _CRYPT | {Operation.UNWRAP} if name == "AES_CBC" else _CRYPT
            yield Mechanism(
                name, _one(key_type), operations, "block_cipher", mode=mode, padded=padded, block=block, iv=iv,
                limit=_CBC_LIMITS[key_type] if mode == "CBC" else 0, services=(service,),
            )  # fmt: skip
    gcm = Service("Cipher", "AES/GCM/NoPadding", properties={"iv": "12", "form": "aead"})
    yield Mechanism(
        "AES_GCM", _one(KeyType.AES), _CRYPT | _WRAPS, "gcm", mode="GCM", iv=12, limit=16_000, services=(gcm,)
    )


def _key_wraps() -> Iterator[Mechanism]:
    for mode, padding, explicit_iv in (
        ("NO_PAD", "NoPadding", True),
        ("PKCS5_PAD", "PKCS5Padding", True),
        ("ZERO_PAD", "ZeroPadding", False),
    ):
        properties = {"form": "wrap"} | ({"iv": KEY_WRAP_IV.hex()} if explicit_iv else {})
        service = Service("Cipher", f"AESWrap/ECB/{padding}", properties=properties)
        iv = len(KEY_WRAP_IV) if explicit_iv else 0
        yield Mechanism(
            f"AES_KEY_WRAP_{mode}", _one(KeyType.AES), _WRAPS, "aes_key_wrap", mode=mode, block=8, iv=iv,
            services=(service,),
        )  # fmt: skip
    yield Mechanism("DESEDE_KEY_WRAP", _one(KeyType.DESEDE), _WRAPS, "tdea_key_wrap", block=4)


def _rsa_ciphers() -> Iterator[Mechanism]:
    rsa = _one(KeyType.RSA)
    pkcs1 = Service("Cipher", "RSA/ECB/PKCS1Padding", ("RSA",), {"form": "rsa"})
    yield Mechanism("RSA_PKCS1", rsa, _CRYPT | _WRAPS, "rsa_pkcs1", services=(pkcs1,))
    raw = Service("Cipher", "RSA/ECB/NoPadding", properties={"form": "rsa"})
    yield Mechanism("RSA_X_509", rsa, _CRYPT | _SIGNS, "rsa_raw", services=(raw,))
    for name, digest in HASHES.items():
        for mechanism, transformation, family, operations in (
            ("RSA_OAEP", "RSA", "rsa_oaep", _CRYPT | _WRAPS),
            ("RSA_AES_KEY_WRAP", "RSAAESWrap", "rsa_aes_key_wrap", _WRAPS),
        ):
            properties = {"form": "rsa", "oaep": digest}
            paddings = [f"OAEPWith{digest}ANDMGF1Padding", *(("OAEPPadding",) if name == "SHA1" else ())]
            services = tuple(
                Service("Cipher", f"{transformation}/ECB/{padding}", properties=properties) for padding in paddings
            )
            yield Mechanism(f"{mechanism}_{name}", rsa, operations, family, hash=digest, services=services)


def _signatures() -> Iterator[Mechanism]:
    rsa, ec = _one(KeyType.RSA), _one(KeyType.EC)
    none_rsa = Service("Signature", "NONEwithRSA", properties={"key": "RSA"})
    yield Mechanism("RSA_PKCS1_NONE", rsa, _SIGNS, "rsa_pkcs1_signature", services=(none_rsa,))
    for name, digest in HASHES.items():
        service = Service("Signature", f"{name}withRSA", properties={"key": "RSA", "digest": digest})
        yield Mechanism(f"RSA_PKCS1_{name}", rsa, _SIGNS, "rsa_pkcs1_signature", hash=digest, services=(service,))
    for name, digest in HASHES.items():
        properties = {"key": "RSA", "digest": digest, "form": "pss"}
        pss = Service("Signature", f"{name}withRSA/PSS", (f"{name}withRSAandMGF1",), properties)
        yield Mechanism(f"RSA_PSS_{name}", rsa, _SIGNS, "rsa_pss_signature", hash=digest, services=(pss,))
    any_pss = Service("Signature", "RSASSA-PSS", properties={"key": "RSA", "form": "pss"})
    yield Mechanism("RSA_PSS", rsa, _SIGNS, "rsa_pss_signature", services=(any_pss,))
    for name, digest in {"NONE": "", **HASHES}.items():
        properties = {"key": "EC"} | ({"digest": digest} if digest else {})
        der = Service("Signature", f"{name}withECDSA", properties=properties)
        raw = Service("Signature", f"{name}withECDSAinP1363Format", properties=properties)
        yield Mechanism(f"ECDSA_{name}", ec, _SIGNS, "ecdsa", hash=digest, services=(der,))
        yield Mechanism(f"ECDSA_P1363_{name}", ec, _SIGNS, "ecdsa", hash=digest, mode="P1363", services=(raw,))


def _derivations() -> Iterator[Mechanism]:
    derives = frozenset({Operation.DERIVE})
    yield Mechanism(CMAC_KDF, _one(KeyType.AES), derives, "cmac_kdf")
    secrets = frozenset({KeyType.GENERIC_SECRET, KeyType.AES})
    for name, digest in HASHES.items():
        # Of PKCS #11 only: CloudHSM's JCE provider has no such service.
        yield Mechanism(f"HMAC_KDF_{name}", secrets, derives, "hmac_kdf", hash=digest)
    plain = Service("KeyAgreement", "ECDH", properties={"key": "EC", "option": "enable_ecdh_without_kdf"})
    yield Mechanism("ECDH", _one(KeyType.EC), derives, "ecdh", services=(plain,))
    for name, digest in HASHES.items():
        service = Service("KeyAgreement", f"ECDHwithX963{name}KDF", properties={"key": "EC"})
        yield Mechanism(f"ECDH_X963_{name}", _one(KeyType.EC), derives, "ecdh_x963", hash=digest, services=(service,))


def _random() -> Iterator[Mechanism]:
    service = Service("SecureRandom", "AES-CTR-DRBG")
    yield Mechanism("RANDOM", frozenset(), frozenset({Operation.RANDOM}), "random", services=(service,))


def _macs_and_digests() -> Iterator[Mechanism]:
    keys = frozenset({KeyType.GENERIC_SECRET, KeyType.AES})
    for name, digest in HASHES.items():
        mac = Service(
            "Mac",
            f"Hmac{name}",
            properties={
                "length": str(digest_bytes(digest)),
                "keys": "AES,GENERIC_SECRET",
                "longest": str(MAX_HMAC_KEY * 8),
            },
        )
        limit = _HMAC_LIMITS.get(name, 0)
        yield Mechanism(f"HMAC_{name}", keys, _SIGNS, "mac", hash=digest, limit=limit, services=(mac,))
        local = Service("MessageDigest", digest, (name,) if name == "SHA1" else (), {"digest": digest})
        yield Mechanism(name, frozenset(), frozenset({Operation.DIGEST}), "digest", hash=digest, services=(local,))
    cmac = Service("Mac", "AESCMAC", properties={"length": "16", "keys": "AES"})
    yield Mechanism("AES_CMAC", _one(KeyType.AES), _SIGNS, "mac", services=(cmac,))


MECHANISMS: dict[str, Mechanism] = {
    row.name: row
    for make in (
        _generators,
        _block_ciphers,
        _key_wraps,
        _rsa_ciphers,
        _signatures,
        _message_signatures,
        _macs_and_digests,
        _derivations,
        _random,
    )
    for row in make()
}
"""Every mechanism by name."""


_MODES = {Operation.ENCRYPT: "E", Operation.DECRYPT: "D", Operation.WRAP: "W", Operation.UNWRAP: "U"}


def _properties(row: Mechanism, service: Service) -> dict[str, str]:
    """Return a service's properties; a Cipher's with its modes, letters of encrypt, decrypt, wrap and unwrap."""
    if service.engine != "Cipher":
        return service.properties
    return service.properties | {"modes": "".join(mode for kind, mode in _MODES.items() if kind in row.operations)}


def services_resource() -> str:
    """Return the provider's services, a line each: engine, algorithm, mechanism, aliases and properties, with tabs."""
    lines = [
        "\t".join(
            (
                service.engine,
                service.algorithm,
                row.name,
                ",".join(service.aliases),
                ";".join(f"{key}={value}" for key, value in sorted(_properties(row, service).items())),
            )
        )
        for row in MECHANISMS.values()
        for service in row.services
    ]
    lines.append("KeyStore\tCloudHSM\t\t\t")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(services_resource(), end="")
