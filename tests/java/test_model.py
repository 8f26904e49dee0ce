"""Random lives of a Java program beside a model of what the provider answers, judged by the JDK's own providers.

The model knows each key's attributes, whether it is there still, and its material where it was imported. An illegal
step gets the exception that the JCA or the reference names, and after every step the HSM has the keys that the model
has.

``HSMBRIDGE_MODEL_LIVES`` and ``HSMBRIDGE_MODEL_STEPS`` set the number of lives and of steps in each.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, multiple, rule, run_state_machine_as_test
from jpype import JChar, JClass, JObject

from tests import jca
from tests.conftest import Tally, repeated

from .model.keys import CIPHERS, SIZES, Handle, Key, Stream, defaults, encrypted, fitting, judged, software_pair
from .model.life import KEY, PACKAGE, PROVIDER, SIGNATURE, SPEC, STORE, UNRECOVERABLE, Life

_LABELS = st.sampled_from(["", "red", "blue"])
_FLAGS = st.dictionaries(
    st.sampled_from(("TOKEN", "EXTRACTABLE", "ENCRYPT", "DECRYPT", "SIGN", "WRAP", "UNWRAP", "DERIVE", "VERIFY")),
    st.booleans(), max_size=2,
)  # fmt: skip


class Machine(Life):
    """The rules."""

    handles = Bundle("handles")
    streams = Bundle("streams")

    @rule(target=handles, kind=st.sampled_from(list(SIZES)), flags=_FLAGS, label=_LABELS)
    def generate(self, kind: str, flags: dict[str, bool], label: str) -> Any:
        generator = JClass("javax.crypto.KeyGenerator").getInstance(kind, jca.PROVIDER)
        generator.init(jca.attribute_map(SIZE=8 * SIZES[kind], LABEL=label, **flags))
        fits = fitting(kind, "SECRET_KEY", flags)
        made = self.agree(None if fits else "java.security.InvalidParameterException", generator.generateKey)
        return self.made(Key(kind, defaults(kind, "SECRET_KEY", flags, label)), made) if fits else multiple()

    @rule(target=handles, kind=st.sampled_from(list(SIZES)), flags=_FLAGS, label=_LABELS, seed=st.integers(1, 255),
          cut=st.booleans())  # fmt: skip
    def import_secret(self, kind: str, flags: dict[str, bool], label: str, seed: int, cut: bool) -> Any:
        value = bytes((seed * place) % 251 for place in range(1, SIZES[kind] + 1))
        value = value[: 0 if kind == "GenericSecret" else 7] if cut else value
        wanted = jca.attribute_map(VALUE=value, LABEL=label, **flags)
        fits = fitting(kind, "SECRET_KEY", flags) and not cut
        made = self.agree(None if fits else SPEC, lambda: jca.factory(kind).generateSecret(wanted))
        if not fits:
            return multiple()
        algorithm = "HmacSHA256" if kind == "GenericSecret" else kind
        software = JClass("javax.crypto.spec.SecretKeySpec")(value, algorithm)
        return self.made(Key(kind, defaults(kind, "SECRET_KEY", flags, label), software), made)

    @rule(target=handles, kind=st.sampled_from(["RSA", "EC"]), flags=_FLAGS, label=_LABELS)
    def import_private(self, kind: str, flags: dict[str, bool], label: str) -> Any:
        software = software_pair(kind)
        private = software.getPrivate()
        fits = fitting(kind, "PRIVATE_KEY", flags)
        if kind == "RSA":
            numbers = {
                "MODULUS": private.getModulus(), "PUBLIC_EXPONENT": private.getPublicExponent(),
                "PRIVATE_EXPONENT": private.getPrivateExponent(), "PRIME_P": private.getPrimeP(),
                "PRIME_Q": private.getPrimeQ(), "PRIME_EXPONENT_P": private.getPrimeExponentP(),
                "PRIME_EXPONENT_Q": private.getPrimeExponentQ(), "CRT_COEFFICIENT": private.getCrtCoefficient(),
            }  # fmt: skip
            parts: dict[str, object] = {name: bytes(number.toByteArray()) for name, number in numbers.items()}
        else:
            parts = {"EC_PARAMS": private.getParams(), "VALUE": bytes(private.getS().toByteArray())}
        wanted = jca.attribute_map(LABEL=label, **flags, **parts)
        factory = JClass("java.security.KeyFactory").getInstance(kind, jca.PROVIDER)
        made = self.agree(None if fits else SPEC, lambda: factory.generatePrivate(wanted))
        if not fits:
            return multiple()
        key = Key(kind, defaults(kind, "PRIVATE_KEY", flags, label), private, software.getPublic())
        return self.made(key, made)

    @rule(target=handles, kind=st.sampled_from(["RSA", "EC"]))
    def import_public(self, kind: str) -> Handle:
        public = software_pair(kind).getPublic()
        factory = JClass("java.security.KeyFactory").getInstance(kind, jca.PROVIDER)
        made = self.agree(None, lambda: factory.translateKey(public))
        return self.made(Key(kind, defaults(kind, "PUBLIC_KEY", {}, ""), public, public), made)

    @rule(target=handles, token=st.booleans(), label=_LABELS, sign=st.booleans())
    def generate_pair(self, token: bool, label: str, sign: bool) -> Any:
        generator = JClass("java.security.KeyPairGenerator").getInstance("EC", jca.PROVIDER)
        curve = bytes(JClass(f"{jca.ATTRIBUTES}.EcParams").EC_CURVE_PRIME256)
        public = {"TOKEN": token, "LABEL": label}
        private = public | {"SIGN": sign}
        halves = (jca.attribute_map(EC_PARAMS=curve, **public), jca.attribute_map(**private))
        generator.initialize(jca.pair_map(*halves))
        made = self.agree(None, generator.generateKeyPair)
        spec = JClass("java.security.spec.X509EncodedKeySpec")(made.getPublic().getEncoded())
        software = JClass("java.security.KeyFactory").getInstance("EC", "SunEC").generatePublic(spec)
        flags = {"TOKEN": token}
        return multiple(
            self.made(Key("EC", defaults("EC", "PUBLIC_KEY", flags, label), software, software), made.getPublic()),
            self.made(
                Key("EC", defaults("EC", "PRIVATE_KEY", flags | {"SIGN": sign}, label), None, software),
                made.getPrivate(),
            ),
        )

    @rule(handle=handles)
    def destroy(self, handle: Handle) -> None:
        expected = None if handle.destroyed or handle.key.there else "javax.security.auth.DestroyFailedException"
        self.agree(expected, handle.java.destroy)
        if expected is None:
            handle.destroyed, handle.key.there = True, False
        assert bool(handle.java.isDestroyed()) == handle.destroyed

    @rule(handle=handles, choice=st.integers(0, 3), data=st.binary(max_size=80), damage=st.booleans())
    def crypt(self, handle: Handle, choice: int, data: bytes, damage: bool) -> None:
        """Encrypt here and decrypt here and with the JDK; then what the JDK encrypts, and what is cut."""
        kind = handle.key.kind if handle.key.kind in CIPHERS else "AES"
        name = CIPHERS[kind][choice % len(CIPHERS[kind])]
        expected = self.use(handle, "ENCRYPT", kind)
        made = self.agree(expected, lambda: encrypted(name, handle.java, data, jca.PROVIDER))
        software = handle.key.other if kind == "RSA" else handle.key.material
        if made is None and software is not None and handle.key.kind == kind:
            made = encrypted(name, software, data, "SunJCE")
        if made is None:
            return
        sealed, parameters = made
        if handle.key.material is not None and handle.key.is_class != "PUBLIC_KEY":
            back = jca.cipher(name, "decrypt", handle.key.material, parameters, "SunJCE").doFinal(sealed)
            assert bytes(back) == data
        expected = self.use(handle, "DECRYPT", kind)

        def reader(data: bytes) -> Any:
            return jca.cipher(name, "decrypt", handle.java, parameters).doFinal(data)

        if damage and "CTR" not in name and expected is None:
            tag = "javax.crypto.AEADBadTagException"
            wrong_length = (
                "javax.crypto.BadPaddingException" if kind == "RSA" else "javax.crypto.IllegalBlockSizeException"
            )
            short = tag if "GCM" in name else wrong_length
            self.agree(short, lambda: reader(sealed[:-1]))
            if "GCM" in name:
                self.agree(tag, lambda: reader(sealed[:-1] + bytes([sealed[-1] ^ 1])))
        back = self.agree(expected, lambda: reader(sealed))
        assert back is None or bytes(back) == data

    @rule(handle=handles, length=st.sampled_from([0, 7, 12, 15, 17]))
    def wrong_iv(self, handle: Handle, length: int) -> None:
        expected = "java.security.InvalidAlgorithmParameterException" if handle.at_init("DECRYPT", "AES") else KEY
        spec = JClass("javax.crypto.spec.IvParameterSpec")(bytes(length))
        self.agree(expected, lambda: jca.cipher("AES/CTR/NoPadding", "decrypt", handle.java, spec))

    @rule(foreign=st.booleans())
    def no_key_of_ours(self, foreign: bool) -> None:
        secret = JClass("javax.crypto.spec.SecretKeySpec")(bytes(16), "AES")
        key = secret if foreign else JObject(None, "java.security.Key")
        self.agree(KEY, lambda: jca.cipher("AES/GCM/NoPadding", "encrypt", key))
        self.agree(KEY, lambda: jca.mac("HmacSHA256", key, b""))
        private = software_pair("EC").getPrivate() if foreign else JObject(None, "java.security.PrivateKey")
        self.agree(KEY, lambda: jca.sign("SHA256withECDSA", private, b""))

    @rule(handle=handles, name=st.sampled_from(["HmacSHA256", "AESCMAC"]), data=st.binary(max_size=80))
    def mac(self, handle: Handle, name: str, data: bytes) -> None:
        kinds = ("AES",) if name == "AESCMAC" else ("AES", "GenericSecret")
        made = self.agree(self.use(handle, "SIGN", *kinds), lambda: jca.mac(name, handle.java, data))
        if made is not None and handle.key.material is not None:
            assert made == judged(name, handle.key.material, data)

    @rule(handle=handles, data=st.binary(max_size=80))
    def sign(self, handle: Handle, data: bytes) -> None:
        """Sign or verify, as the key's class is; the JDK verifies and signs on the other side."""
        key = handle.key
        assume(key.is_class != "SECRET_KEY")
        name, judge = ("SHA256withRSA", "SunRsaSign") if key.kind == "RSA" else ("SHA256withECDSA", "SunEC")
        if key.is_class == "PRIVATE_KEY":
            expected = self.use(handle, "SIGN", key.kind, late=SIGNATURE)
            signed = self.agree(expected, lambda: jca.sign(name, handle.java, data))
            if signed is not None:
                assert jca.verify(name, key.other, data, signed, judge)
            return
        pair = software_pair(key.kind)
        signed = jca.sign(name, pair.getPrivate(), data, judge)
        right = bool(key.other.equals(pair.getPublic()))
        expected = self.use(handle, "VERIFY", key.kind, late=SIGNATURE)
        for message, verifies in ((data, right), (data + b"\0", False)):
            said = self.agree(expected, lambda message=message: jca.verify(name, handle.java, message, signed))
            assert said is None or said == verifies

    @rule(target=handles, base=handles, token=st.booleans(), label=_LABELS, bits=st.sampled_from([128, 256, 100]))
    def derive(self, base: Handle, token: bool, label: str, bits: int) -> Any:
        fixed = JClass(f"{PACKAGE}.AesCmacKdfFixedInputData")(8, None, b"model")
        assume(base.key.is_class == "SECRET_KEY")
        wanted = jca.attribute_map(SIZE=bits, TOKEN=token, LABEL=label)
        spec = JClass(f"{PACKAGE}.AesCmacKdfParameterSpec")(wanted, fixed, base.java)
        right = self.use(base, "DERIVE", "AES") is None and bits != 100
        made = self.agree(None if right else SPEC, lambda: jca.factory("AES").generateSecret(spec))
        if not right:
            return multiple()
        software = None
        if base.key.material is not None:
            blocks = [
                judged("AESCMAC", base.key.material, bytes([count]) + b"model") for count in range(1, bits // 128 + 1)
            ]
            software = JClass("javax.crypto.spec.SecretKeySpec")(b"".join(blocks), "AES")
        return self.made(Key("AES", defaults("AES", "SECRET_KEY", {"TOKEN": token}, label), software), made)

    @rule(target=handles, wrapping=handles, wrapped=handles, flags=_FLAGS, cut=st.booleans())
    def wrap(self, wrapping: Handle, wrapped: Handle, flags: dict[str, bool], cut: bool) -> Any:
        """Wrap with RFC 5649; the JDK wraps the same; unwrap with other attributes."""
        name, key, target = "AESWrap/ECB/ZeroPadding", wrapping.key, wrapped.key
        expected = self.use(wrapping, "WRAP", "AES", late=KEY) or (
            None if not wrapped.destroyed and target.may("EXTRACTABLE") and target.there else KEY
        )
        sealed = self.agree(expected, lambda: bytes(jca.cipher(name, "wrap", wrapping.java).wrap(wrapped.java)))
        if sealed is None:
            return multiple()
        if key.material is not None and target.material is not None and target.is_class == "SECRET_KEY":
            theirs = jca.cipher("AES/KWP/NoPadding", "wrap", key.material, provider="SunJCE")
            assert bytes(theirs.wrap(target.material)) == sealed
        fits = fitting(target.kind, target.is_class, flags) and not cut
        expected = self.use(wrapping, "UNWRAP", "AES", late=KEY) or (None if fits else KEY)
        wanted = jca.attribute_map(**flags)
        kind = 3 if target.is_class == "SECRET_KEY" else 2

        def reader() -> Any:
            cipher = jca.cipher(name, "unwrap", wrapping.java, wanted)
            return cipher.unwrap(sealed[:-8] if cut else sealed, target.kind, kind)

        made = self.agree(expected, reader)
        if made is None:
            return multiple()
        attributes = defaults(target.kind, target.is_class, flags, "")
        return self.made(Key(target.kind, attributes, target.material, target.other), made)

    @rule(target=streams, handle=handles, choice=st.integers(0, 5))
    def start(self, handle: Handle, choice: int) -> Any:
        """Begin a cipher that goes on over other steps."""
        name = (*CIPHERS["AES"][:3], *CIPHERS["DESede"])[choice % 5]
        kind = name.partition("/")[0]
        expected = None if handle.at_init("ENCRYPT", kind) else KEY
        vector = (
            None if "ECB" in name else JClass("javax.crypto.spec.IvParameterSpec")(bytes(16 if kind == "AES" else 8))
        )
        ours = self.agree(expected, lambda: jca.cipher(name, "encrypt", handle.java, vector))
        if ours is None:
            return multiple()
        known = handle.key.material
        theirs = None if known is None else jca.cipher(name, "encrypt", known, vector, "SunJCE")
        return Stream(handle, ours, theirs)

    @rule(stream=streams, data=st.binary(min_size=1, max_size=20), last=st.booleans())
    def go_on(self, stream: Stream, data: bytes, last: bool) -> None:
        """Give a cipher more data, or its last; with the key or the login, what was begun is gone."""
        expected = None if stream.handle.key.there and stream.begun in (0, self.logins) else PROVIDER
        if stream.broken and expected is None:
            return
        stream.begun = 0 if last else self.logins
        made = self.agree(expected, lambda: bytes((stream.ours.doFinal if last else stream.ours.update)(data) or b""))
        if made is None:
            stream.broken = True
        elif stream.theirs is not None:
            assert made == bytes((stream.theirs.doFinal if last else stream.theirs.update)(data) or b"")

    @rule(target=handles, label=st.sampled_from(["red", "blue", "nobody"]))
    def get(self, label: str) -> Any:
        means = self.labelled(label)
        assert bool(self.store.containsAlias(label)) == bool(means)
        assert bool(self.store.isKeyEntry(label)) == (len(means) == 1)
        found = self.agree(UNRECOVERABLE if len(means) > 1 else None, lambda: self.store.getKey(label, None))
        if len(means) != 1:
            assert found is None
            return multiple()
        assert str(found.getAlgorithm()) == means[0].kind
        return Handle(means[0], found)

    @rule(handle=handles, label=_LABELS)
    def enter(self, handle: Handle, label: str) -> None:
        """Put a secret key of the HSM into the key store under a label, which is its own then."""
        key = handle.key
        assume(key.is_class == "SECRET_KEY" and key.attributes["LABEL"] in ("", label))
        taken = [other for other in self.labelled(label) if other is not key and other.is_class != "PUBLIC_KEY"]
        expected = STORE if not label or taken or not key.there else None
        self.agree(expected, lambda: self.store.setKeyEntry(label, handle.java, None, None))
        if expected is None:
            key.attributes["LABEL"] = label
            self.unsaved.append(key)

    @rule(target=handles, label=_LABELS, kind=st.sampled_from(["AES", "HmacSHA256"]))
    def enter_software(self, label: str, kind: str) -> Any:
        """Put a software key into the key store, which makes it one of the HSM."""
        software = JClass("javax.crypto.spec.SecretKeySpec")(bytes(range(32)), kind)
        taken = any(key.is_class != "PUBLIC_KEY" for key in self.labelled(label))
        expected = STORE if not label or taken else None
        self.agree(expected, lambda: self.store.setKeyEntry(label, software, None, None))
        if expected is not None:
            return multiple()
        name = "AES" if kind == "AES" else "GenericSecret"
        key = Key(name, defaults(name, "SECRET_KEY", {}, label), software)
        self.unsaved.append(key)
        return self.made(key, self.store.getKey(label, None))

    @rule()
    def save(self) -> None:
        """Store the key store, which makes what was entered persistent."""
        out = JClass("java.io.ByteArrayOutputStream")()
        self.agree(None, lambda: self.store.store(out, JChar[:]("changeit")))
        for key in self.unsaved:
            key.attributes["TOKEN"] = True
        self.unsaved.clear()


def test_random_programs_agree_with_the_model(hsm_jvm: None, tally: Tally) -> None:
    lives, steps = repeated(6, 12, "HSMBRIDGE_MODEL_LIVES"), repeated(40, 40, "HSMBRIDGE_MODEL_STEPS")
    Machine.steps.clear()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            deadline=None, max_examples=lives, stateful_step_count=steps, suppress_health_check=list(HealthCheck)
        ),
    )
    tally("steps of random JCA programs").update({kind: Machine.steps[kind] for kind in ("legal", "refused")})
    assert Machine.steps["legal"] > 0
    assert Machine.steps["refused"] > 0
