"""Multi-part operations of programs that drop their objects, or keep too many: the HSM does not run out of them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from jpype import JClass

from bridge.pytest_plugin import HsmUnderTest
from hsmcore.crypto.streams import MAX_OPERATIONS
from tests import jca

_PROVIDER = "java.security.ProviderException"
_PATIENCE = 30
"""Seconds for the garbage collector and what follows it."""


def _begun(key: Any, transformation: str = "AES/CBC/PKCS5Padding") -> Any:
    """Return a cipher in the middle of its data."""
    cipher = jca.cipher(transformation, "encrypt", key)
    cipher.update(bytes(64))
    return cipher


def _operations(hsm: HsmUnderTest) -> int:
    return int(hsm.hsm.statistics().multipart)


def test_collected_objects_give_their_operations_back(hsm: HsmUnderTest) -> None:
    key, other = jca.secret_key(), jca.secret_key("HmacSHA256")
    for _ in range(20):
        _begun(key)
        mac = JClass("javax.crypto.Mac").getInstance("HmacSHA256", jca.PROVIDER)
        mac.init(other)
        mac.update(bytes(100_000))
    kept = _begun(key)
    del mac
    end = time.monotonic() + _PATIENCE
    while _operations(hsm) > 1 and time.monotonic() < end:
        JClass("java.lang.System").gc()
        time.sleep(0.1)
    assert _operations(hsm) == 1
    assert len(kept.doFinal()) == 16


def test_dropped_ciphers_do_not_use_up_the_session(hsm: HsmUnderTest) -> None:
    key = jca.secret_key()
    for _ in range(MAX_OPERATIONS + 100):
        _begun(key)
    assert len(_begun(key).doFinal()) == 16


def test_the_oldest_quiet_operation_makes_room_and_its_cipher_says_so(hsm: HsmUnderTest) -> None:
    key = jca.secret_key()
    ciphers = [_begun(key) for _ in range(MAX_OPERATIONS)]
    ciphers[0].update(bytes(16))
    ciphers += [_begun(key), _begun(key)]
    assert _operations(hsm) == MAX_OPERATIONS
    for displaced in ciphers[1:3]:
        with pytest.raises(JClass(_PROVIDER), match="the operation was ended: its session began more than 1000"):
            displaced.update(bytes(16))
        with pytest.raises(JClass(_PROVIDER), match="the operation was ended"):
            displaced.doFinal()
        displaced.init(1, key)
        assert len(displaced.doFinal(bytes(16))) == 32
    for cipher in (ciphers[0], *ciphers[3:]):
        assert len(cipher.doFinal()) == 16


def test_init_forgets_an_operation_that_the_hsm_no_longer_has(hsm: HsmUnderTest) -> None:
    key = jca.secret_key()
    cipher = _begun(key)
    key.destroy()
    cipher.init(1, jca.secret_key())
    assert len(cipher.doFinal(bytes(16))) == 32
