"""Faults on demand, as the exceptions that a Java program gets; in one process, and from a daemon over its socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.carriers import jvm
from bridge.pytest_plugin import HsmUnderTest
from bridge.server.fault_kinds import KINDS
from hsmcore import Hsm, Settings
from hsmcore.errors import MalformedRequest, SettingRequired
from tests import jca

JNI = "com.amazonaws.cloudhsm.jce.jni.exception"
Sign = Callable[[], bytes]


@pytest.fixture
def key(hsm: HsmUnderTest) -> Any:
    return jca.key_pair("EC", 256).getPrivate()


@pytest.fixture
def sign(key: Any) -> Sign:
    """Sign with a request that the provider repeats by its number."""

    def signed() -> bytes:
        return jca.sign("SHA256withECDSA", key, b"text")

    for _ in range(3):
        signed()
    return signed


def thrown(call: Callable[[], object]) -> tuple[str, str]:
    """Return class and message of the exception that a call throws."""
    with pytest.raises(jvm.JavaError) as caught:
        call()
    return str(caught.value.getClass().getName()), str(caught.value.getMessage())


@pytest.mark.parametrize(
    ("kind", "options", "expected", "words"),
    [
        ("throttling", {}, f"{JNI}.InternalException",
         "Unexpected error with the Provider: The HSM could not queue the request for processing."),
        ("session-pool", {}, f"{JNI}.InternalException",
         "Reached max number of sessions in session pool: 1000"),
        ("key-availability", {}, f"{JNI}.InternalException",
         "Cannot perform the requested key operation as the key must be available on at least 2 HSMs"),
        ("hsm-down", {}, f"{JNI}.InternalException",
         "Cannot perform the requested key operation as the key must be available on at least 2 HSMs"),
        ("disconnect-before", {}, f"{JNI}.ProviderException",
         "The underlying Provider connection was lost: Communication with the device was lost"),
        ("disconnect-after", {}, f"{JNI}.ProviderException",
         "The underlying Provider connection was lost: Communication with the device was lost"),
        ("error", {"error": "StoreFull"}, f"{JNI}.ProviderException", "StoreFull"),
        ("error", {"error": "Unauthenticated"}, f"{JNI}.AuthenticationException", "Unauthenticated"),
        ("error", {"error": "KeyNotFound"}, "java.security.SignatureException", "KeyNotFound"),
    ],
)  # fmt: skip
def test_each_kind_is_the_exception_of_the_reference(
    hsm: HsmUnderTest, sign: Sign, kind: str, options: dict[str, str], expected: str, words: str
) -> None:
    hsm.faults.add(kind, operation="SIGN", **options)
    name, message = thrown(sign)
    assert name == expected
    assert words in message
    hsm.faults.clear()
    if options.get("error") == "Unauthenticated":
        hsm.reset()
    else:
        assert sign()


def test_a_count_and_a_beginning(hsm: HsmUnderTest, sign: Sign) -> None:
    number = hsm.faults.add("throttling", operation=["SIGN"], after=2, count=2)
    outcomes = []
    for _ in range(6):
        try:
            outcomes.append(bool(sign()))
        except jvm.JavaError:
            outcomes.append(False)
    assert outcomes == [True, True, False, False, True, True]
    (row,) = hsm.faults.all()
    assert (row["number"], row["hits"], row["left"]) == (number, 2, 0)


def test_a_rate_is_the_same_for_the_same_seed(hsm: HsmUnderTest, sign: Sign) -> None:
    def outcomes(seed: str) -> list[bool]:
        hsm.faults.add("throttling", operation="SIGN", rate=0.5, seed=seed)
        done = []
        for _ in range(24):
            try:
                done.append(bool(sign()))
            except jvm.JavaError:
                done.append(False)
        hsm.faults.clear()
        return done

    first = outcomes("a")
    assert {True, False} == set(first)
    assert outcomes("a") == first
    assert outcomes("b") != first


def test_a_lost_connection_is_repeated_where_that_is_safe(hsm: HsmUnderTest, sign: Sign) -> None:
    hsm.faults.add("disconnect-after", operation="SIGN", count=1)
    assert sign(), "the provider has sent the request again"
    assert [row["hits"] for row in hsm.faults.all()] == [1]


def test_a_change_whose_answer_is_lost_is_made_once(hsm: HsmUnderTest) -> None:
    """The provider sends it again with the same request id, whether the HSM had done it or not."""
    keys = int(hsm.hsm.status()["keys"])
    for made, kind in enumerate(("disconnect-before", "disconnect-after"), 1):
        hsm.faults.add(kind, operation="GENERATE_KEY", count=1)
        jca.secret_key()
        assert hsm.hsm.status()["keys"] == keys + made
        assert [fault["hits"] for fault in hsm.faults.all()] == [1]
        hsm.faults.clear()


def test_latency(hsm: HsmUnderTest, sign: Sign) -> None:
    delays: list[float] = []
    hsm.faults.add("latency", operation="SIGN", milliseconds="20-30", seed=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bridge.server.faults.time.sleep", delays.append)
        assert sign()
        assert sign()
        hsm.faults.clear()
        hsm.faults.add("latency", operation="SIGN", milliseconds="20-30", seed=1)
        assert sign()
        assert sign()
    assert delays[:2] == delays[2:]
    assert all(0.02 <= delay <= 0.03 for delay in delays)
    assert delays[0] != delays[1]


def test_a_fault_ends_by_itself(hsm: HsmUnderTest, sign: Sign, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("bridge.server.faults.time.monotonic", lambda: now[0])
    hsm.faults.add("key-availability", operation="SIGN", seconds=0.87)
    thrown(sign)
    now[0] += 0.88
    assert sign()


def test_a_clock_that_is_ahead_ends_unfinished_operations(hsm: HsmUnderTest) -> None:
    cipher = jca.java("javax.crypto.Cipher").getInstance("AES/CTR/NoPadding", jca.PROVIDER)
    key, iv = jca.secret_key(), jca.java("javax.crypto.spec.IvParameterSpec")(bytes(16))
    data = bytes(1 << 17)

    def begin() -> None:
        cipher.init(1, key, iv)
        cipher.update(data)

    begin()
    assert len(cipher.update(data)) == 1 << 17
    hsm.faults.add("clock-skew", ahead=86400)
    name, message = thrown(lambda: cipher.update(data))
    assert name == "java.security.ProviderException"
    assert "has expired" in message
    begin()
    assert len(cipher.update(data)) == 1 << 17


def test_a_reset_ends_the_faults(hsm: HsmUnderTest) -> None:
    hsm.faults.add("throttling")
    thrown(jca.secret_key)
    hsm.reset()
    assert hsm.faults.all() == []
    assert jca.secret_key()


def test_a_file(hsm: HsmUnderTest, sign: Sign, tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text("""\
[[fault]]
kind = "error"
error = "StoreFull"
operation = ["SIGN", "VERIFY"]
count = 1

[[fault]]
kind = "latency"
milliseconds = 1
rate = 0.5
seed = 7
""")
    assert len(hsm.faults.load(file)) == 2
    assert thrown(sign)[0] == f"{JNI}.ProviderException"
    assert sign()
    before = hsm.faults.all()
    file.write_text(file.read_text() + '\n[[fault]]\nkind = "nonsense"\n')
    with pytest.raises(MalformedRequest, match="there is no fault 'nonsense'; there are latency"):
        hsm.faults.load(file)
    assert [row["number"] for row in hsm.faults.all()] == [row["number"] for row in before]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("latency", {}, "needs the option milliseconds"),
        ("latency", {"milliseconds": "30-20"}, "least-greatest"),
        ("latency", {"milliseconds": "soon"}, "is a number"),
        ("error", {"error": "Nonsense"}, "there is no error 'Nonsense'"),
        ("throttling", {"rate": 2}, "from 0 to 1"),
        ("throttling", {"operation": "STATUS"}, "there is no operation 'STATUS' with faults"),
        ("throttling", {"error": "StoreFull"}, "has no option 'error'"),
        ("inconsistent", {"field": "username"}, "there is no field 'username' that can be inconsistent"),
        ("clock-skew", {}, "needs the option ahead"),
        ("clock-skew", {"ahead": 5, "rate": 0.5}, "has no option 'rate'"),
    ],
)
def test_wrong_options_are_refused(hsm: HsmUnderTest, kind: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(MalformedRequest, match=words):
        hsm.faults.add(kind, **options)
    assert hsm.faults.all() == []


def test_they_are_for_hsms_that_allow_them(hsm_jvm: None) -> None:
    from bridge.server.dispatch import Dispatcher
    from bridge.server.faults import Faults

    with Hsm.ephemeral(admin_password=b"admin-pass-1", settings=Settings(allow_reset=True)) as plain:
        for kind in KINDS:
            with pytest.raises(SettingRequired, match="--allow-faults"):
                Faults.of(plain).add(kind)
        row = Dispatcher(plain).routes[32]
        assert row.call == plain.crypto.sign, "an HSM without faults calls the handler itself"


@pytest.fixture
def daemon(hsm_jvm: None, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """The faults of a daemon's server in this process, and a provider that reaches it over the socket."""
    import threading

    from bridge.carriers.server import Server
    from bridge.server.faults import Faults

    made = Hsm.ephemeral(
        admin_password=b"admin-pass-1", crypto_user=("cu1", b"cu-pass-123"), settings=Settings(allow_faults=True)
    )
    with made as hsm:
        faults = Faults.of(hsm)
        server = Server(hsm, tmp_path / "hsm.sock", faults=faults)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            package = "com.amazonaws.cloudhsm.jce.provider"
            at = jca.java(f"{package}.CloudHsmServer").builder().withHostIP(str(tmp_path / "hsm.sock")).build()
            cluster = jca.java(f"{package}.CloudHsmCluster").builder().withServer(at).build()
            config = jca.java(f"{package}.CloudHsmProviderConfig").builder().withCluster(cluster).build()
            provider = jca.java(f"{package}.CloudHsmProvider")(config)
            jvm.login(provider, "cu1", "cu-pass-123")
            yield faults, provider
            provider.logout()
        finally:
            server.stop()
            thread.join(20)
            server.close()


@pytest.mark.parametrize("kind", ["disconnect-before", "disconnect-after", "throttling"])
def test_over_the_socket(daemon: tuple[Any, Any], kind: str) -> None:
    faults, provider = daemon
    generator = jca.java("java.security.KeyPairGenerator").getInstance("EC", provider)
    generator.initialize(256)
    key = generator.generateKeyPair().getPrivate()

    def sign() -> bytes:
        signature = jca.java("java.security.Signature").getInstance("SHA256withECDSA", provider)
        signature.initSign(key)
        signature.update(b"text")
        return bytes(signature.sign())

    for _ in range(3):
        assert sign()
    faults.add(kind, operation="SIGN")
    name, _ = thrown(sign)
    assert name == f"{JNI}.{'InternalException' if kind == 'throttling' else 'ProviderException'}"
    faults.clear()
    assert sign()
    assert {label for label, _ in faults.hits} == {kind}
