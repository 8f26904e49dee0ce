"""The provider's life: who is logged in after what, what each refusal says, and instances that do not mix."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jpype import JImplements, JOverride

from bridge.carriers.server import Server
from bridge.process.paths import socket_path
from bridge.pytest_plugin import USER, HsmUnderTest, fresh_hsm
from hsmcore.users.accounts import MAX_FAILURES
from tests import jca

_JCE = "com.amazonaws.cloudhsm.jce"
_WRONG = "Incorrect credentials are passed for this operation: Incorrect authentication credentials."


@JImplements("javax.security.auth.callback.CallbackHandler", deferred=True)
class Handler:
    """Answers the callbacks of one class and, as the case may be, refuses the others."""

    def __init__(self, kind: str, answer: Callable[[Any], None], *, strict: bool = False) -> None:
        self.kind, self.answer, self.strict = kind, answer, strict

    @JOverride
    def handle(self, callbacks: Any) -> None:
        for callback in callbacks:
            if isinstance(callback, jca.java(self.kind)):
                self.answer(callback)
            elif self.strict:
                raise jca.java("javax.security.auth.callback.UnsupportedCallbackException")(callback)


def chars(text: str) -> Any:
    return jca.java("java.lang.String")(text).toCharArray()


def by_password(user: str, password: str, *, strict: bool = False) -> Handler:
    kind = "javax.security.auth.callback.PasswordCallback"
    return Handler(kind, lambda asked: asked.setPassword(chars(f"{user}:{password}")), strict=strict)


def by_strategy(user: str, password: str, *, strict: bool = False) -> Handler:
    strategy = jca.java(f"{_JCE}.jni.AuthenticationStrategy").createUsernamePasswordStrategy(
        jca.java(f"{_JCE}.jni.UserType").CRYPTO_USER, user, chars(password)
    )
    kind = f"{_JCE}.provider.authentication.AuthenticationStrategyCallback"
    return Handler(kind, lambda asked: asked.setAuthenticationStrategy(strategy), strict=strict)


def configured(identifier: str | None = None, host: str = "10.0.0.1", **options: bool) -> Any:
    """Make a provider by configuration; the builders' order is not the one of the examples."""
    package = f"{_JCE}.provider"
    cluster = jca.java(f"{package}.CloudHsmCluster").builder()
    for name, value in options.items():
        cluster.withOptions(jca.java(f"{package}.OptionalParameters").valueOf(name), value)
    cluster.withServer(jca.java(f"{package}.CloudHsmServer").builder().withPort(2225).withHostIP(host).build())
    if identifier is not None:
        cluster.withClusterUniqueIdentifier(identifier)
    config = jca.java(f"{package}.CloudHsmProviderConfig").builder().withCluster(cluster.build()).build()
    return jca.java(f"{package}.CloudHsmProvider")(config)


@contextmanager
def system_properties(**values: str) -> Iterator[None]:
    system = jca.java("java.lang.System")
    for name, value in values.items():
        system.setProperty(name, value)
    try:
        yield
    finally:
        for name in values:
            system.clearProperty(name)


def aes(provider: Any, **attributes: object) -> Any:
    generator = jca.java("javax.crypto.KeyGenerator").getInstance("AES", provider)
    generator.init(jca.attribute_map(SIZE=256, **attributes))
    return generator.generateKey()


def raised(kind: str) -> Any:
    return pytest.raises(jca.java(kind if "." in kind else f"{_JCE}.jni.exception.{kind}"))


def test_without_a_login_a_key_operation_says_so(hsm: HsmUnderTest) -> None:
    with raised("AuthenticationException") as refused:
        aes(configured())
    assert refused.value.getCloudHsmExceptionCause() == (
        jca.java(f"{_JCE}.jni.exception.AuthenticationExceptionCause").UNAUTHENTICATED
    )


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("way", [by_password, by_strategy])
def test_explicit_login_and_logout(hsm: HsmUnderTest, way: Callable[..., Handler], strict: bool) -> None:
    provider = configured()
    for _ in range(2):
        provider.login(None, way(hsm.user, hsm.password, strict=strict))
        key = aes(provider)
        with raised("AccountAlreadyLoggedInException"):
            provider.login(None, way(hsm.user, hsm.password))
        provider.logout()
        with raised("AuthenticationException"):
            aes(provider)
        with raised("javax.security.auth.login.LoginException"):
            provider.logout()
        with raised("AuthenticationException"):
            jca.cipher("AES/GCM/NoPadding", "encrypt", key, provider=provider).doFinal(b"gone with the session")


def test_refused_logins_leave_it_logged_out(hsm: HsmUnderTest) -> None:
    provider = configured()
    for handler in (
        by_password(hsm.user, "wrong-pass-1"),
        by_strategy(hsm.user, "wrong-pass-1"),
        by_password("nobody", hsm.password),
    ):
        with raised("FailedLoginException") as refused:
            provider.login(None, handler)
        assert refused.value.getMessage() == _WRONG
    silent = Handler("javax.security.auth.callback.NameCallback", print)
    no_colon = Handler(
        "javax.security.auth.callback.PasswordCallback", lambda asked: asked.setPassword(chars("no colon"))
    )
    for handler in (silent, no_colon):
        with raised("FailedLoginException"):
            provider.login(None, handler)
    with raised("FailedLoginException"):
        provider.login(None, None)
    with raised("AuthenticationException"):
        aes(provider)
    provider.setCallbackHandler(by_password(hsm.user, hsm.password))
    provider.login(None, None)
    assert aes(provider) is not None


def test_a_locked_account(hsm: HsmUnderTest) -> None:
    provider = configured()
    for _ in range(MAX_FAILURES + 1):
        with raised("FailedLoginException"):
            provider.login(None, by_password(hsm.user, "wrong-pass-1"))
    with raised("AccountLockedException"):
        provider.login(None, by_password(hsm.user, hsm.password))


def test_implicit_login(hsm: HsmUnderTest) -> None:
    with system_properties(HSM_USER=hsm.user, HSM_PASSWORD=hsm.password):
        provider = configured()
        assert aes(provider) is not None
        with raised("java.lang.IllegalStateException") as refused:
            provider.login(None, by_password(hsm.user, hsm.password))
        assert refused.value.getMessage() == "Explict login unavailable using system credentials."
        with raised("javax.security.auth.login.LoginException"):
            provider.logout()
        assert aes(provider) is not None


def test_implicit_login_with_a_wrong_password(hsm: HsmUnderTest) -> None:
    with system_properties(HSM_USER=hsm.user, HSM_PASSWORD="wrong-pass-1"):
        with raised("FailedLoginException") as refused:
            configured()
        assert refused.value.getMessage() == _WRONG


def test_credentials_that_come_later_are_found_by_the_first_operation(hsm: HsmUnderTest) -> None:
    provider = configured()
    with system_properties(HSM_USER=hsm.user, HSM_PASSWORD=hsm.password):
        assert aes(provider) is not None


def test_names(hsm: HsmUnderTest) -> None:
    assert configured("cluster_one").getName() == "cluster_one"
    first, second = configured().getName(), configured().getName()
    assert first != second
    assert "CloudHSM" not in (first, second)
    assert jca.java(f"{_JCE}.provider.CloudHsmProvider").PROVIDER_NAME == hsm.provider.getName() == "CloudHSM"


def test_instances_do_not_mix(hsm: HsmUnderTest, tmp_path: Path) -> None:
    """Two users of one HSM and one of another, each a provider of its own."""
    security = jca.java("java.security.Security")
    other_password = "other-pass-1"
    with fresh_hsm(tmp_path / "o", other_password) as other, served(other) as socket:
        host = "hsm-two.example"
        with system_properties(**{"hsmbridge.clusters": f"{host}:2225={socket}, 10.9.9.9 = /nowhere/hsm.sock"}):
            one, two, three = configured("one"), configured("two", host), configured("three", str(socket))
        try:
            for provider, password in ((one, hsm.password), (two, other_password), (three, other_password)):
                security.addProvider(provider)
                provider.login(None, by_password(USER, password))
            keys = {provider.getName(): aes(provider, LABEL="mine") for provider in (one, two)}
            assert [len(core.keys.find(core.users.login(USER, password.encode()), {})) for core, password in (
                (hsm.hsm, hsm.password), (other, other_password))] == [0, 0]  # fmt: skip
            for name, key in keys.items():
                for user in ("one", "two", "three", "CloudHSM"):
                    if user == name:
                        jca.cipher("AES/GCM/NoPadding", "encrypt", key, provider=user).doFinal(b"text")
                        continue
                    with raised("java.security.InvalidKeyException"):
                        jca.cipher("AES/GCM/NoPadding", "encrypt", key, provider=user)
            one.logout()
            with raised("AuthenticationException"):
                aes(one)
            jca.cipher("AES/GCM/NoPadding", "encrypt", keys["two"], provider="two").doFinal(b"text")
        finally:
            for name in ("one", "two", "three"):
                security.removeProvider(name)


@contextmanager
def served(core: Any) -> Iterator[Path]:
    """Serve an HSM over its socket for as long as the block lasts."""
    path = socket_path(Path(str(core.status()["home"])))
    server = Server(core, path)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield path
    finally:
        server.stop()
        thread.join(20)
        server.close()


def test_validation_at_init_can_be_left_to_the_hsm(hsm: HsmUnderTest) -> None:
    for validates in (True, False):
        provider = configured(VALIDATE_KEY_AT_INIT=validates, KEY_AVAILABILITY_CHECK=True)
        provider.login(None, by_password(hsm.user, hsm.password))
        key = aes(provider, ENCRYPT=False)
        cipher = jca.java("javax.crypto.Cipher").getInstance("AES/GCM/NoPadding", provider)
        if validates:
            with raised("java.security.InvalidKeyException"):
                cipher.init(1, key)
            continue
        cipher.init(1, key)
        with raised("java.security.ProviderException"):
            cipher.doFinal(b"text")


def test_wrong_configurations_are_refused(hsm: HsmUnderTest) -> None:
    package = f"{_JCE}.provider"
    server, cluster = jca.java(f"{package}.CloudHsmServer"), jca.java(f"{package}.CloudHsmCluster")
    one = server.builder().withHostIP("h").build()
    refusals: tuple[Callable[[], object], ...] = (
        lambda: server.builder().build(),
        lambda: server.builder().withHostIP(" ").build(),
        lambda: server.builder().withHostIP("h").withPort(0).build(),
        lambda: server.builder().withHostIP("h").withPort(65536).build(),
        lambda: cluster.builder().build(),
        lambda: cluster.builder().withServer(one).withClusterUniqueIdentifier("").build(),
        lambda: jca.java(f"{package}.CloudHsmProviderConfig").builder().build(),
    )
    for refusal in refusals:
        with raised("java.lang.IllegalArgumentException"):
            refusal()


@pytest.mark.parametrize(("setter", "value"), [
    ("withLogType", "syslog"), ("withLogLevel", "loud"), ("withLogInterval", "yearly"),
])  # fmt: skip
def test_wrong_logging_is_refused(hsm: HsmUnderTest, setter: str, value: str) -> None:
    package = f"{_JCE}.provider"
    logging = jca.java(f"{package}.CloudHsmLoggingConfig").builder()
    getattr(logging, setter)(value)
    server = jca.java(f"{package}.CloudHsmServer").builder().withHostIP("h").build()
    cluster = jca.java(f"{package}.CloudHsmCluster").builder().withServer(server).build()
    config = jca.java(f"{package}.CloudHsmProviderConfig").builder().withCluster(cluster)
    with raised("java.io.IOException") as refused:
        jca.java(f"{package}.CloudHsmProvider")(config.withCloudHsmLogging(logging.build()).build())
    assert value in str(refused.value.getMessage())
