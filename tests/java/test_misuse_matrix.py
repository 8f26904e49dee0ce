"""Every service of the provider, misused in every way that its engine's methods allow: the misuse matrix.

A cell is one service and one misuse: the exception is the one that the JCA or the reference names, no key of the HSM
and no attribute of one has changed, and the same engine object does its next legal call. A service that is in no table
fails the first test.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from jpype import JClass, JException

from bridge.carriers import jvm
from bridge.pytest_plugin import USER, provider_of
from hsmcore import Hsm
from hsmcore.sessions.session import Session
from tests import jca
from tests.conftest import Tally

from .misuse import cells, ciphers
from .misuse.cells import Cell, Subject
from .misuse.subjects import KINDS, SERVICES, Keys, Pair, engine_of, keys, make
from .test_provider import by_password, configured

_PASSWORD = "misuse-password-1"


@dataclass(frozen=True)
class Bench:
    """An HSM with two users: the JVM's provider is one's, and the keys of each kind are theirs."""

    core: Hsm
    session: Session
    keys: dict[str, Keys]

    def state(self) -> tuple[object, ...]:
        """Return how many keys there are, and every attribute of the token keys."""
        records = self.core.keys.find(self.session, {})
        return self.core.status()["keys"], [(record.handle, dict(record.attributes)) for record in records]


@pytest.fixture(scope="module")
def bench(hsm_jvm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home: Path = tmp_path_factory.mktemp("misuse") / "hsm"
    with Hsm.initialize(home, admin_password=b"misuse-admin-1") as core:
        admin = core.users.login("admin", b"misuse-admin-1", "admin")
        for user in (USER, "cu2"):
            core.users.create(admin, user, "crypto-user", _PASSWORD.encode())
        with provider_of(core, _PASSWORD) as provider:
            other = configured("other")
            other.login(None, by_password("cu2", _PASSWORD))
            lost = {kind: make(kind) for kind in KINDS}
            provider.logout()
            jvm.login(provider, USER, _PASSWORD)
            made = {kind: keys(kind, lost[kind], other) for kind in KINDS}
            for label in ("taken", "twice", "twice"):
                jca.generated(SIZE=256, LABEL=label, TOKEN=True)
            yield Bench(core, core.users.login(USER, _PASSWORD.encode()), made)
            other.logout()


def test_every_service_is_in_the_table(bench: Bench) -> None:
    provider = JClass("java.security.Security").getProvider(jca.PROVIDER)
    services = {(str(service.getType()), str(service.getAlgorithm())) for service in provider.getServices()}
    assert services == {(engine, name) for engine, names in SERVICES.items() for name in names}


@pytest.mark.parametrize("engine", SERVICES)
def test_misuse_is_refused_and_changes_nothing(bench: Bench, engine: str, tally: Tally) -> None:
    counted: Counter[str] = Counter()
    wrong: list[str] = []
    for name, kind in SERVICES[engine].items():
        subject = Subject(name, engine_of(engine, name), bench.keys.get(kind, bench.keys["EC"]))
        if engine == "KeyStore":
            subject.engine.load(None, None)
        _works(engine, subject)
        for cell in _cells(engine, subject, bench):
            before = bench.state()
            said = _outcome(cell)
            if said != cell.raises:
                wrong.append(f"{engine} {name}: {cell.misuse}: {said}, not {cell.raises}")
            if bench.state() != before:
                wrong.append(f"{engine} {name}: {cell.misuse}: the keys have changed")
            _works(engine, subject)
            counted[name] += 1
    tally("misuse of JCA services tried")[engine] += counted.total()
    assert not wrong, "\n".join(wrong)
    assert counted.keys() == SERVICES[engine].keys()


def _outcome(cell: Cell) -> str:
    try:
        cell.call()
    except JException as refused:
        return str(refused.getClass().getName())
    return "no exception"


def _cells(engine: str, subject: Subject, bench: Bench) -> Iterator[Cell]:
    if engine == "Cipher":
        yield from ciphers.cipher(subject, bench.keys["AES"])
    elif engine == "KeyStore":
        chain = _certificate(bench.keys["EC"].right)
        yield from cells.key_store(subject, bench.keys["AES"], bench.keys["EC"], chain)
    else:
        yield from _CELLS[engine](subject)
        if engine == "SecretKeyFactory":
            yield from cells.derivation(subject, bench.keys["AES"])


_CELLS: dict[str, Callable[[Subject], Iterator[Cell]]] = {
    "Signature": cells.signature,
    "Mac": cells.mac,
    "KeyAgreement": cells.key_agreement,
    "KeyGenerator": cells.key_generator,
    "SecretKeyFactory": cells.secret_key_factory,
    "KeyPairGenerator": cells.key_pair_generator,
    "KeyFactory": cells.key_factory,
    "MessageDigest": cells.message_digest,
    "SecureRandom": cells.secure_random,
}


def _certificate(pair: Pair) -> Any:
    """Return the chain of a certificate for the key, signed by another."""
    issuer = ec.generate_private_key(ec.SECP256R1())
    public = load_der_public_key(bytes(pair.public.getEncoded()))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "misuse")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, public, 1, now, now + dt.timedelta(days=1))
    encoded = builder.sign(issuer, SHA256()).public_bytes(Encoding.DER)
    stream = JClass("java.io.ByteArrayInputStream")(encoded)
    return [JClass("java.security.cert.CertificateFactory").getInstance("X.509").generateCertificate(stream)]


def _works(engine: str, on: Subject) -> None:
    """Do the engine's legal call with the same object."""
    _LEGAL[engine](on)


def _signs(on: Subject) -> None:
    on.engine.initSign(on.pair().private)
    if on.name == "RSASSA-PSS":
        on.engine.setParameter(jca.pss("SHA-256", 32))
    on.engine.update(bytes(64))
    signed = on.engine.sign()
    on.engine.initVerify(on.pair().public)
    on.engine.update(bytes(64))
    assert on.engine.verify(signed)


def _makes_macs(on: Subject) -> None:
    on.engine.init(on.pair().private)
    assert len(on.engine.doFinal(b"data")) == on.engine.getMacLength()


def _agrees(on: Subject) -> None:
    on.engine.init(on.pair().private, jca.attribute_map(SIZE=256))
    on.engine.doPhase(on.pair().public, True)
    on.engine.generateSecret("AES").destroy()


def _generates_a_key(on: Subject) -> None:
    on.engine.init(jca.attribute_map(SIZE=192))
    on.engine.generateKey().destroy()


def _generates(on: Subject) -> None:
    size = {"RSA": 2048, "EC": 256, "Ed25519": 255}.get(on.name)
    named = JClass("java.security.spec.NamedParameterSpec")(on.name if "-" in on.name[3:] else "ML-DSA-65")
    on.engine.initialize(size or named)
    if on.name != "RSA":  # which takes long, and has been initialised
        made = on.engine.generateKeyPair()
        Pair(made.getPublic(), made.getPrivate()).destroy()


def _imports(on: Subject) -> None:
    on.engine.generateSecret(jca.attribute_map(VALUE=bytes(range(24)))).destroy()


def _imports_a_public_key(on: Subject) -> None:
    encoded = JClass("java.security.spec.X509EncodedKeySpec")(on.pair().public.getEncoded())
    on.engine.generatePublic(encoded).destroy()


def _answers(on: Subject) -> None:
    assert on.engine.containsAlias("taken")
    assert on.engine.getKey("nobody", None) is None


def _digests(on: Subject) -> None:
    assert len(on.engine.digest(b"data")) == on.engine.getDigestLength()


def _draws(on: Subject) -> None:
    assert len(on.engine.generateSeed(8)) == 8


def _ciphers(on: Subject) -> None:
    modes, right, parameters = ciphers.modes_of(on.name), on.pair(), ciphers.parameters_of(on.name)
    if "decrypt" in modes:
        sealed = ciphers.begin(on, "encrypt", right.public, parameters).doFinal(bytes(48))
        reading = ciphers.parameters_of(on.name, bytes(on.engine.getIV()) if "GCM" in on.name else None)
        opened = bytes(ciphers.begin(on, "decrypt", right.private, reading).doFinal(sealed))
        assert opened == bytes(256 if on.name == "RSA/ECB/NoPadding" else 48)
    elif "unwrap" in modes:
        key = jca.secret_key()
        wrapped = ciphers.begin(on, "wrap", right.public, parameters).wrap(key)
        ciphers.begin(on, "unwrap", right.private, parameters).unwrap(wrapped, "AES", 3).destroy()
        key.destroy()
    else:
        assert ciphers.begin(on, "encrypt", right.public, None).doFinal(bytes(48)) is not None


_LEGAL: dict[str, Callable[[Subject], None]] = {
    "Cipher": _ciphers,
    "Signature": _signs,
    "Mac": _makes_macs,
    "KeyAgreement": _agrees,
    "KeyGenerator": _generates_a_key,
    "SecretKeyFactory": _imports,
    "KeyPairGenerator": _generates,
    "KeyFactory": _imports_a_public_key,
    "MessageDigest": _digests,
    "SecureRandom": _draws,
    "KeyStore": _answers,
}
