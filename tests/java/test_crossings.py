"""How often one JCA operation goes to the HSM, and what it asks of the store: counts that no machine changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from bridge.protocol import repeat
from bridge.protocol.codec import LENGTH
from bridge.pytest_plugin import HsmUnderTest
from bridge.server.dispatch import Responder
from hsmcore.sessions.session import Session
from tests import jca
from tests.jca import java


class Counts:
    """Requests since the last reset, how many bytes they had in all, and SQL statements; requests that were REPEAT."""

    def __init__(self) -> None:
        self.requests = self.received = self.statements = self.repeated = 0

    def of(self, call: Callable[[], Any]) -> tuple[int, int, int]:
        """Return what one call costs."""
        before = (self.requests, self.received, self.statements)
        call()
        after = (self.requests, self.received, self.statements)
        return after[0] - before[0], after[1] - before[1], after[2] - before[2]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    counted = Counts()
    in_full, repeated = Responder.answer_values, repeat.answer

    def counting(responder: Responder, frame: bytes) -> bytes:
        counted.requests += 1
        counted.received += len(frame)
        return in_full(responder, frame)

    def counting_repeated(frame: memoryview, sessions: dict[int, Session]) -> tuple[bytes, bytes]:
        counted.requests += 1
        counted.repeated += 1
        counted.received += LENGTH.unpack_from(frame)[0] + LENGTH.size
        return repeated(frame, sessions)

    def statement(*arguments: object) -> None:
        counted.statements += 1

    monkeypatch.setattr(Responder, "answer_values", counting)
    monkeypatch.setattr(repeat, "answer", counting_repeated)
    event.listen(Engine, "before_cursor_execute", statement)
    yield counted
    event.remove(Engine, "before_cursor_execute", statement)


def one_shot(cipher: str, key: Any, data: bytes, parameters: Any = None) -> Callable[[], Any]:
    """Return a function that initialises, updates and finishes."""
    made = java("javax.crypto.Cipher").getInstance(cipher, "CloudHSM")
    half = len(data) // 2

    def run() -> None:
        if parameters is None:
            made.init(1, key)
        else:
            made.init(1, key, parameters)
        if cipher.startswith("AES/GCM"):
            made.update(data[:half])
        made.doFinal(data[half:] if cipher.startswith("AES/GCM") else data)

    return run


def signing(algorithm: str, key: Any) -> Callable[[], Any]:
    made = java("java.security.Signature").getInstance(algorithm, "CloudHSM")

    def run() -> None:
        made.initSign(key)
        for _ in range(100):
            made.update(bytes(1000))
        made.sign()

    return run


def mac(key: Any) -> Callable[[], Any]:
    made = java("javax.crypto.Mac").getInstance("HmacSHA256", "CloudHSM")

    def run() -> None:
        made.init(key)
        made.update(bytes(500))
        made.doFinal(bytes(500))

    return run


HEADROOM = 128
"""Bytes of a request besides its data: header, key, mechanism, parameters."""
REPEATED_HEADROOM = 36 + 16
"""Bytes of a REPEAT besides its data: header, number, length of the IV, IV."""


def verifying(algorithm: str, pair: Any) -> Callable[[], Any]:
    made = java("java.security.Signature").getInstance(algorithm, "CloudHSM")
    made.initSign(pair.getPrivate())
    made.update(bytes(1000))
    signature = made.sign()

    def run() -> None:
        made.initVerify(pair.getPublic())
        made.update(bytes(1000))
        assert made.verify(signature)

    return run


def test_one_request_an_operation(hsm: HsmUnderTest, counts: Counts) -> None:
    iv = java("javax.crypto.spec.IvParameterSpec")(bytes(16))
    aes = jca.secret_key()
    pair = jca.key_pair("EC", 256)
    works = [
        (one_shot("AES/GCM/NoPadding", aes, bytes(1024)), 1024),
        (one_shot("AES/CBC/PKCS5Padding", aes, bytes(1024), iv), 1024),
        (one_shot("AES/CTR/NoPadding", aes, bytes(1024), iv), 1024),
        (signing("SHA256withECDSA", pair.getPrivate()), 32),
        (signing("SHA512withRSA", jca.key_pair("RSA", 2048).getPrivate()), 64),
        (mac(jca.secret_key("HmacSHA256")), 1000),
        (verifying("SHA384withRSA", jca.key_pair("RSA", 2048)), 48 + 256),
    ]
    for work, size in works:
        repeated = counts.repeated
        for headroom in (HEADROOM, REPEATED_HEADROOM, REPEATED_HEADROOM):
            requests, received, statements = counts.of(work)
            assert requests == 1
            assert size <= received <= size + headroom
            assert statements == 0
        assert counts.repeated == repeated + 2


@pytest.mark.parametrize("name", ["AES/GCM/NoPadding", "AESWrap/ECB/ZeroPadding"])
def test_one_request_to_wrap_and_one_to_unwrap(hsm: HsmUnderTest, counts: Counts, name: str) -> None:
    key = jca.secret_key()
    cipher = jca.cipher(name, "wrap", key)
    # What goes to the store then is the entry of the audit log.
    assert counts.of(lambda: cipher.wrap(key))[0] == 1
    wrapped = cipher.wrap(key)
    parameters = jca.gcm_parameters(cipher.getIV()) if cipher.getIV() else None
    reader = jca.cipher(name, "unwrap", key, parameters)
    assert counts.of(lambda: reader.unwrap(wrapped, "AES", reader.SECRET_KEY))[0] == 1


def test_digests_do_not_go_to_the_hsm(hsm: HsmUnderTest, counts: Counts) -> None:
    digest = java("java.security.MessageDigest").getInstance("SHA-256", "CloudHSM")
    assert counts.of(lambda: digest.digest(bytes(100_000))) == (0, 0, 0)


def test_what_a_key_object_knows_is_not_asked_for(hsm: HsmUnderTest, counts: Counts) -> None:
    pair = jca.key_pair("RSA", 2048)

    def look() -> None:
        for key in (pair.getPublic(), pair.getPrivate()):
            key.getAlgorithm()
            key.toString()
            key.getModulus()
        pair.getPublic().getEncoded()

    assert counts.of(look) == (0, 0, 0)


def test_large_data_goes_in_pieces_of_a_mebibyte(hsm: HsmUnderTest, counts: Counts) -> None:
    iv = java("javax.crypto.spec.IvParameterSpec")(bytes(16))
    size = 4 * 1024 * 1024
    requests, received, statements = counts.of(one_shot("AES/CTR/NoPadding", jca.secret_key(), bytes(size), iv))
    # One to begin, one for each piece, the last of which finishes.
    assert requests == 1 + 4
    assert size <= received <= size + requests * HEADROOM
    assert statements == 0


def test_a_token_key_is_read_from_the_store_once(hsm: HsmUnderTest, counts: Counts) -> None:
    store = java("java.security.KeyStore").getInstance("CloudHSM")
    store.load(None, None)
    hsm.hsm.keys.generate(hsm.session, "AES_KEY_GEN", {"LABEL": "kept", "TOKEN": True})
    key = store.getKey("kept", None)
    work = one_shot("AES/GCM/NoPadding", key, bytes(16))
    work()
    for _ in range(3):
        assert counts.of(work)[2] == 0
