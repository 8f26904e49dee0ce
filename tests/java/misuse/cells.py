"""The cells of the misuse matrix: for each engine, method by method, what is wrong and the exception that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from jpype import JArray, JByte, JChar, JClass, JObject

from tests import jca

from .subjects import Keys, Pair

KEY = "java.security.InvalidKeyException"
PARAMETER = "java.security.InvalidAlgorithmParameterException"
SPEC = "java.security.spec.InvalidKeySpecException"
SIGNATURE = "java.security.SignatureException"
STATE = "java.lang.IllegalStateException"
ARGUMENT = "java.lang.IllegalArgumentException"
INVALID = "java.security.InvalidParameterException"
PROVIDER = "java.security.ProviderException"
LENGTH = "javax.crypto.IllegalBlockSizeException"
PADDING = "javax.crypto.BadPaddingException"
TAG = "javax.crypto.AEADBadTagException"
UNSUPPORTED = "java.lang.UnsupportedOperationException"
STORE = "java.security.KeyStoreException"
NULL = "java.lang.NullPointerException"
MODES = {"encrypt": 1, "decrypt": 2, "wrap": 3, "unwrap": 4}
BOTH_PUBLIC = ("of another provider", "of another user")
"""Public keys are taken from anywhere: what is done with them is no secret."""


@dataclass(frozen=True)
class Cell:
    """One misuse of a service: its name, the exception, the call."""

    misuse: str
    raises: str
    call: Callable[[], object]


@dataclass(frozen=True)
class Subject:
    """A service under test: its name, one engine object for all cells, and the keys of its kind."""

    name: str
    engine: Any
    keys: Keys

    def pair(self) -> Pair:
        """Return the right key."""
        return self.keys.right


def null(kind: str) -> Any:
    """Return Java's null of that type, which picks the method."""
    return JObject(None, kind)


def iv(length: int) -> Any:
    """Return an ``IvParameterSpec`` of zeros."""
    return JClass("javax.crypto.spec.IvParameterSpec")(bytes(length))


def signature(on: Subject) -> Iterator[Cell]:
    """Cells of ``Signature``."""
    engine, right = on.engine, on.pair()
    for name, pair in on.keys.wrong.items():
        yield Cell(f"initSign, key {name}", KEY, partial(engine.initSign, pair.private))
        if name not in BOTH_PUBLIC:
            yield Cell(f"initVerify, key {name}", KEY, partial(engine.initVerify, pair.public))
    yield Cell("initSign, public key", KEY, lambda: engine.initSign(null("java.security.PrivateKey")))

    def begun(finish: Callable[[], object], *, sign: bool, key: Pair = right) -> Callable[[], object]:
        def call() -> object:
            (engine.initSign if sign else engine.initVerify)(key.private if sign else key.public)
            if on.name == "RSASSA-PSS":
                engine.setParameter(jca.pss("SHA-256", 32))
            engine.update(bytes(64))
            return finish()

        return call

    lost = on.keys.lost
    yield Cell("sign, the key's session is gone", SIGNATURE, begun(engine.sign, sign=True, key=lost))
    yield Cell(
        "verify, the key's session is gone", SIGNATURE, begun(lambda: engine.verify(bytes(64)), sign=False, key=lost)
    )
    yield Cell("sign when verifying", SIGNATURE, begun(engine.sign, sign=False))
    yield Cell("verify when signing", SIGNATURE, begun(lambda: engine.verify(bytes(64)), sign=True))
    no_bytes = null("byte[]")
    yield Cell("verify, null", SIGNATURE, begun(lambda: engine.verify(no_bytes), sign=False))
    yield Cell("sign, a buffer that is too short", ARGUMENT, begun(lambda: engine.sign(bytes(8), 4, 8), sign=True))
    yield Cell("setParameter, wrong type", PARAMETER, lambda: engine.setParameter(iv(16)))
    yield Cell("setParameter, by name", INVALID, lambda: engine.setParameter("name", "value"))
    if on.name == "RSASSA-PSS":
        nothing = null("java.security.spec.AlgorithmParameterSpec")
        yield Cell("setParameter, null", PARAMETER, lambda: engine.setParameter(nothing))
        yield Cell("setParameter, unknown hash", PARAMETER, lambda: engine.setParameter(jca.pss("RC4", 16)))


def mac(on: Subject) -> Iterator[Cell]:
    """Cells of ``Mac``."""
    engine = on.engine
    for name, pair in on.keys.wrong.items():
        yield Cell(f"init, key {name}", KEY, partial(engine.init, pair.private))
    yield Cell("init, parameters", PARAMETER, lambda: engine.init(on.pair().private, iv(16)))

    def gone(data: bytes) -> object:
        engine.init(on.keys.lost.private)
        return engine.doFinal(data)

    for length in (0, 200_000):
        yield Cell(f"doFinal of {length} bytes, the key's session is gone", PROVIDER, partial(gone, bytes(length)))

    def short() -> None:
        engine.init(on.pair().private)
        engine.doFinal(JArray(JByte)(4), 0)

    yield Cell("doFinal, a buffer that is too short", "javax.crypto.ShortBufferException", short)
    yield Cell("update, null and lengths", ARGUMENT, lambda: engine.update(JArray(JByte)(4), 3, 4))


def key_agreement(on: Subject) -> Iterator[Cell]:
    """Cells of ``KeyAgreement``."""
    engine, wanted, right = on.engine, jca.attribute_map(SIZE=256), on.pair()

    def phase(own: Pair, peer: Pair, attributes: Any) -> None:
        engine.init(own.private, attributes)
        engine.doPhase(peer.public, True)

    def secret(own: Pair, attributes: Any, algorithm: str | None) -> object:
        phase(own, right, attributes)
        return engine.generateSecret(algorithm) if algorithm else engine.generateSecret()

    for name, pair in on.keys.wrong.items():
        yield Cell(f"init, key {name}", KEY, partial(engine.init, pair.private, wanted))
        if name not in (*BOTH_PUBLIC, "forbidden by an attribute"):
            yield Cell(f"doPhase, key {name}", KEY, partial(phase, right, pair, wanted))

    yield Cell("init, wrong parameters", PARAMETER, lambda: engine.init(right.private, iv(16)))
    yield Cell(
        "doPhase, a second phase",
        STATE,
        lambda: (engine.init(right.private, wanted), engine.doPhase(right.public, False)),
    )
    yield Cell("generateSecret, the key's session is gone", KEY, lambda: secret(on.keys.lost, wanted, "AES"))
    yield Cell("generateSecret, bytes", PROVIDER, lambda: secret(right, wanted, None))
    yield Cell(
        "generateSecret, algorithm", "java.security.NoSuchAlgorithmException", lambda: secret(right, wanted, "RC4")
    )
    for name, attributes in (
        ("no size", jca.attribute_map(LABEL="x")),
        ("wrong size", jca.attribute_map(SIZE=100)),
        ("an attribute that does not apply", jca.attribute_map(SIZE=256, MODULUS_BITS=2048)),
        ("an attribute that is the HSM's", jca.attribute_map(SIZE=256, LOCAL=True)),
    ):
        yield Cell(f"generateSecret, {name}", KEY, partial(secret, right, attributes, "AES"))


def key_generator(on: Subject) -> Iterator[Cell]:
    """Cells of ``KeyGenerator``."""
    engine = on.engine
    for bits in (-1, 0, 7, 100_000):
        yield Cell(f"init, {bits} bits", INVALID, partial(engine.init, bits))
        wrong = jca.attribute_map(SIZE=bits)
        yield Cell(f"init, SIZE {bits}", PARAMETER, partial(engine.init, wrong))
    yield Cell("init, wrong parameters", PARAMETER, lambda: engine.init(iv(16)))
    yield Cell("init, null", PARAMETER, lambda: engine.init(null("java.security.spec.AlgorithmParameterSpec")))
    for name, attributes in _unfit().items():

        def generate(attributes: Any = attributes) -> object:
            engine.init(attributes)
            return engine.generateKey()

        yield Cell(f"generateKey, {name}", INVALID, generate)


def _unfit() -> dict[str, Any]:
    """Return attribute maps that no secret key may be made with."""
    return {
        "an attribute of another class": jca.attribute_map(PUBLIC_EXPONENT=b"\1\0\1"),
        "an attribute that is the HSM's": jca.attribute_map(LOCAL=True),
        "another class": jca.attribute_map(OBJECT_CLASS="PUBLIC_KEY"),
        "another type": jca.attribute_map(KEY_TYPE="EC"),
        "a label that is too long": jca.attribute_map(LABEL="x" * 128),
    }


def key_pair_generator(on: Subject) -> Iterator[Cell]:
    """Cells of ``KeyPairGenerator``."""
    engine, empty = on.engine, jca.attribute_map()
    for bits in (-1, 0, 7, 100_000):
        yield Cell(f"initialize, {bits} bits", INVALID, partial(engine.initialize, bits))
    curve = JClass("java.security.spec.ECGenParameterSpec")("secp160r1")
    rsa = JClass("java.security.spec.RSAKeyGenParameterSpec")
    for name, spec in {
        "wrong parameters": iv(16),
        "null": null("java.security.spec.AlgorithmParameterSpec"),
        "a curve that is not there": curve,
        "no exponent": rsa(2048, null("java.math.BigInteger")),
        "a wrong exponent": rsa(2048, JClass("java.math.BigInteger").TWO),
        "a set that is not there": JClass("java.security.spec.NamedParameterSpec")("X25519"),
        "a map for secret keys": empty,
    }.items():
        yield Cell(f"initialize, {name}", PARAMETER, partial(engine.initialize, spec))
    needed = {"RSA": {"MODULUS_BITS": 2048, "PUBLIC_EXPONENT": b"\1\0\1"}}.get(on.name, {})
    if on.name == "EC":
        needed = {"EC_PARAMS": bytes(JClass(f"{jca.ATTRIBUTES}.EcParams").EC_CURVE_PRIME256)}
    if needed:
        yield Cell(
            "initialize, attributes are missing", PARAMETER, lambda: engine.initialize(jca.pair_map(empty, empty))
        )
    for name, attributes in {
        "an attribute of another class": {"VALUE": bytes(16)},
        "an attribute that is the HSM's": {"LOCAL": True},
        "another class": {"OBJECT_CLASS": "SECRET_KEY"},
        "a label that is too long": {"LABEL": "x" * 128},
    }.items():
        for public, private in ((attributes, {}), ({}, attributes)):

            def generate(public: dict[str, object] = public, private: dict[str, object] = private) -> object:
                engine.initialize(jca.pair_map(jca.attribute_map(**needed, **public), jca.attribute_map(**private)))
                return engine.generateKeyPair()

            yield Cell(f"generateKeyPair, {name}, {'public' if public else 'private'}", INVALID, generate)


def secret_key_factory(on: Subject) -> Iterator[Cell]:
    """Cells of ``SecretKeyFactory``."""
    engine, value = on.engine, {"DESede": bytes(range(24))}.get(on.name, bytes(range(32)))
    spec, right = JClass("javax.crypto.spec.SecretKeySpec"), on.pair().private
    specs: dict[str, Any] = {
        "null": null("java.security.spec.KeySpec"),
        "wrong type": JClass("java.security.spec.X509EncodedKeySpec")(bytes(9)),
        "no value": jca.attribute_map(LABEL="x"),
        "too long": spec(bytes(5000), "AES"),
        "value of another size": jca.attribute_map(VALUE=value, SIZE=8),
        "another class": jca.attribute_map(VALUE=value, OBJECT_CLASS="PUBLIC_KEY"),
        "an attribute of another class": jca.attribute_map(VALUE=value, MODULUS=bytes(16)),
        "an attribute that is the HSM's": jca.attribute_map(VALUE=value, LOCAL=True),
        "a label that is too long": jca.attribute_map(VALUE=value, LABEL="x" * 128),
    }
    for name, each in specs.items():
        yield Cell(f"generateSecret, {name}", SPEC, partial(engine.generateSecret, each))
    for name, pair in on.keys.wrong.items():
        if name not in ("of another type", "of another provider", "forbidden by an attribute"):
            yield Cell(f"translateKey, key {name}", KEY, partial(engine.translateKey, pair.private))
        if name != "of another provider":
            yield Cell(
                f"getKeySpec, key {name}",
                SPEC,
                partial(engine.getKeySpec, pair.private, JClass("javax.crypto.spec.DESKeySpec").class_),
            )
    yield Cell(
        "translateKey, an HSM key of another type",
        KEY,
        lambda: engine.translateKey(on.keys.wrong["of another type"].private),
    )
    yield Cell("getKeySpec, key in the HSM", SPEC, lambda: engine.getKeySpec(right, spec.class_))
    yield Cell("getKeySpec, null class", SPEC, lambda: engine.getKeySpec(spec(value, "AES"), null("java.lang.Class")))


def derivation(on: Subject, bases: Keys) -> Iterator[Cell]:
    """Cells of the derivation that a ``SecretKeyFactory`` does, from AES keys."""
    package = "com.amazonaws.cloudhsm.jce.provider"
    fixed = JClass(f"{package}.AesCmacKdfFixedInputData")(8, None, bytes(8))
    size = {"DESede": 192}.get(on.name, 256)

    def derive(base: Any, **attributes: object) -> object:
        wanted = jca.attribute_map(**({"SIZE": size} | attributes))
        return on.engine.generateSecret(JClass(f"{package}.AesCmacKdfParameterSpec")(wanted, fixed, base))

    for name, pair in bases.wrong.items():
        if name != "null":
            yield Cell(f"generateSecret, base key {name}", SPEC, partial(derive, pair.private))
    yield Cell("generateSecret, the base key's session is gone", SPEC, lambda: derive(bases.lost.private))
    yield Cell("generateSecret, derived size", SPEC, lambda: derive(bases.right.private, SIZE=7))
    yield Cell("generateSecret, derived attribute", SPEC, lambda: derive(bases.right.private, LOCAL=True))


def key_factory(on: Subject) -> Iterator[Cell]:
    """Cells of ``KeyFactory``."""
    engine, right, big = on.engine, on.pair(), JClass("java.math.BigInteger")
    x509, pkcs8 = (JClass(f"java.security.spec.{name}EncodedKeySpec") for name in ("X509", "PKCS8"))
    encoded = bytes(right.public.getEncoded())
    nothing, no_number = null("java.security.spec.KeySpec"), null("java.math.BigInteger")
    publics = {
        "null": nothing, "wrong type": pkcs8(encoded), "empty": x509(b""), "cut": x509(encoded[:-1]),
        "longer": x509(encoded + b"\0"), "a map without numbers": jca.attribute_map(LABEL="x"),
        "null numbers": JClass("java.security.spec.RSAPublicKeySpec")(no_number, no_number),
        "zeros": JClass("java.security.spec.RSAPublicKeySpec")(big.ZERO, big.ZERO),
    }  # fmt: skip
    privates = {
        "null": nothing, "wrong type": x509(encoded), "empty": pkcs8(b""), "a public key": pkcs8(encoded),
        "a map without numbers": jca.attribute_map(LABEL="x"),
        "null numbers": JClass("java.security.spec.RSAPrivateCrtKeySpec")(*(no_number,) * 8),
        "zeros": JClass("java.security.spec.RSAPrivateCrtKeySpec")(*(big.ZERO,) * 8),
    }  # fmt: skip
    for method, specs in ((engine.generatePublic, publics), (engine.generatePrivate, privates)):
        for name, spec in specs.items():
            yield Cell(f"{method.__name__}, {name}", SPEC, partial(method, spec))
    for name, pair in on.keys.wrong.items():
        if name not in (*BOTH_PUBLIC, "forbidden by an attribute"):
            yield Cell(f"translateKey, public key {name}", KEY, partial(engine.translateKey, pair.public))
        if name not in ("of another provider", "forbidden by an attribute"):
            yield Cell(f"translateKey, private key {name}", KEY, partial(engine.translateKey, pair.private))
    secret = JClass("javax.crypto.spec.SecretKeySpec")(bytes(16), "AES")
    yield Cell("translateKey, secret key", KEY, lambda: engine.translateKey(secret))
    yield Cell("getKeySpec, key in the HSM", SPEC, lambda: engine.getKeySpec(right.private, pkcs8.class_))
    yield Cell("getKeySpec, null key", SPEC, lambda: engine.getKeySpec(null("java.security.Key"), x509.class_))
    yield Cell("getKeySpec, null class", SPEC, lambda: engine.getKeySpec(right.public, null("java.lang.Class")))
    yield Cell(
        "getKeySpec, wrong class",
        SPEC,
        lambda: engine.getKeySpec(right.public, JClass("javax.crypto.spec.DESKeySpec").class_),
    )


def message_digest(on: Subject) -> Iterator[Cell]:
    """Cells of ``MessageDigest``."""
    yield Cell("update, lengths", ARGUMENT, lambda: on.engine.update(JArray(JByte)(4), 3, 4))
    yield Cell(
        "digest, a buffer that is too short",
        "java.security.DigestException",
        lambda: on.engine.digest(JArray(JByte)(8), 0, 8),
    )
    yield Cell("digest, null", ARGUMENT, lambda: on.engine.digest(null("byte[]"), 0, 8))


def secure_random(on: Subject) -> Iterator[Cell]:
    """Cells of ``SecureRandom``."""
    random = JClass("java.security.SecureRandom")
    drbg = JClass("java.security.DrbgParameters")
    yield Cell("nextBytes, null", NULL, lambda: on.engine.nextBytes(null("byte[]")))
    yield Cell("generateSeed, negative", ARGUMENT, lambda: on.engine.generateSeed(-1))
    wanted = drbg.instantiation(128, drbg.Capability.NONE, None)
    yield Cell(
        "getInstance, parameters",
        "java.security.NoSuchAlgorithmException",
        lambda: random.getInstance(on.name, wanted, jca.PROVIDER),
    )
    yield Cell(
        "nextBytes, parameters",
        UNSUPPORTED,
        lambda: on.engine.nextBytes(JArray(JByte)(8), drbg.nextBytes(128, False, None)),
    )
    yield Cell("reseed", UNSUPPORTED, on.engine.reseed)


def key_store(on: Subject, secrets: Keys, pairs: Keys, chain: Any) -> Iterator[Cell]:
    """Cells of ``KeyStore``; ``chain`` is the certificate of the right pair, and the label ``twice`` has two keys."""
    store, right = on.engine, secrets.right.private
    no_alias, no_password = null("java.lang.String"), null("char[]")
    no_chain = null("java.security.cert.Certificate[]")
    for name in (
        "getKey", "containsAlias", "getCertificate", "getCertificateChain", "getCreationDate", "isKeyEntry",
        "isCertificateEntry", "deleteEntry",
    ):  # fmt: skip
        arguments = (no_alias, no_password) if name == "getKey" else (no_alias,)
        yield Cell(f"{name}, null", NULL, partial(getattr(store, name), *arguments))
    yield Cell(
        "getKey, a label used twice", "java.security.UnrecoverableKeyException", lambda: store.getKey("twice", None)
    )
    yield Cell("setKeyEntry, null alias", NULL, lambda: store.setKeyEntry(no_alias, right, no_password, no_chain))
    yield Cell("setKeyEntry, empty alias", STORE, lambda: store.setKeyEntry("", right, no_password, no_chain))
    yield Cell(
        "setKeyEntry, a label used twice", STORE, lambda: store.setKeyEntry("twice", right, no_password, no_chain)
    )
    yield Cell(
        "setKeyEntry, another key's label", STORE, lambda: store.setKeyEntry("taken", right, no_password, no_chain)
    )
    for name, pair in secrets.wrong.items():
        if name not in ("of another type", "of another provider", "forbidden by an attribute"):
            yield Cell(
                f"setKeyEntry, key {name}",
                STORE,
                partial(store.setKeyEntry, "new", pair.private, no_password, no_chain),
            )
    yield Cell(
        "setKeyEntry, the key's session is gone",
        STORE,
        lambda: store.setKeyEntry("new", secrets.lost.private, no_password, no_chain),
    )
    for name, pair in pairs.wrong.items():
        if name != "null":
            yield Cell(
                f"setKeyEntry, pair {name}",
                STORE,
                partial(store.setKeyEntry, "new", pair.private, no_password, chain),
            )
    for name, pair in (("HSM", pairs.right), ("software", pairs.wrong["of another provider"])):
        yield Cell(
            f"setKeyEntry, public key, {name}",
            STORE,
            partial(store.setKeyEntry, "new", pair.public, no_password, chain),
        )
    yield Cell(
        "setKeyEntry, no chain", ARGUMENT, lambda: store.setKeyEntry("new", pairs.right.private, no_password, no_chain)
    )
    yield Cell(
        "setKeyEntry, protected bytes", STORE, lambda: store.setKeyEntry("new", JArray(JByte)(bytes(64)), no_chain)
    )
    yield Cell(
        "setCertificateEntry, null",
        STORE,
        lambda: store.setCertificateEntry("new", null("java.security.cert.Certificate")),
    )
    yield Cell("setCertificateEntry, null alias", NULL, lambda: store.setCertificateEntry(no_alias, chain[0]))
    yield Cell("setCertificateEntry, another key's label", STORE, lambda: store.setCertificateEntry("taken", chain[0]))
    garbage = JClass("java.io.ByteArrayInputStream")(b"no key store of any kind")
    yield Cell("load, garbage", "java.io.IOException", lambda: store.load(garbage, JArray(JChar)("changeit")))
    yield Cell("store, null", NULL, lambda: store.store(null("java.io.OutputStream"), JArray(JChar)("changeit")))
