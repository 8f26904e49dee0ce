"""The JVM in this process. No other module imports JPype.

Workarounds for JPype 1.7.1: its garbage-collector hook runs full Java collections, so it is disabled before the JVM
starts. ``-Xrs`` leaves the signals to Python. The class path is complete at the start, because ``-providerclass`` does
not find jars that are added later. A process can start only one JVM.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _jpype
import jpype
from jpype import JArray, JByte, JChar, JClass, JException, JProxy, JString, JVMNotFoundException

from bridge.carriers import natives
from bridge.carriers.inprocess import InProcess, exchange
from bridge.process.paths import provider_jar
from hsmcore.errors import (
    ForeignKeyPassword,
    ForeignKeyUnreadable,
    ForeignStoreDamaged,
    ForeignStorePassword,
    KeyStoreEntry,
    StateError,
)
from keystore.foreign.model import Found, JavaEntry, Opened, private_key, secret_key

if TYPE_CHECKING:
    from bridge.server.faults import Faults
    from hsmcore.hsm import Hsm

JavaError: type[Exception] = JException
"""Base class of the exceptions that Java throws."""
PROVIDER_NAME = "CloudHSM"
_PROVIDER = "com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider"
_CARRIER = "io.hsmbridge.jce.carrier."

_OPTIONS = ("--enable-native-access=ALL-UNNAMED",)
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
"""Options for a JVM of a few seconds, which ends before a better compiler has paid off."""
_NO_NATIVE_ACCESS = 15
"""The last Java version without that option."""

_log = logging.getLogger("hsmbridge.jvm")
_ending: list[Any] = []
"""JPype's shutdown hook, while it is not the JVM's."""


def start(options: Sequence[str] = (), class_path: Sequence[str | Path] = (), *, own_signals: bool = True) -> None:
    """Start the JVM.

    Args:
        options: JVM options, each one word (``--add-opens=a/b=c``).
        class_path: Entries of the class path after the provider's jar.
        own_signals: Python keeps SIGINT and SIGTERM (``-Xrs``); else Java takes them and runs its shutdown hooks.

    Raises:
        StateError: No JVM is found, it refuses an option, or this process has started one before.
    """
    _jpype._collect = _collect_nothing
    signals = ("-Xrs",) if own_signals else ()
    paths = [str(provider_jar()), *map(str, class_path)]
    path = _chosen()
    try:
        jpype.startJVM(*_options(path), *signals, *options, jvmpath=path, classpath=paths, interrupt=True)
    except (OSError, RuntimeError, ValueError, JException) as error:
        raise StateError(f"the JVM did not start: {error}; `hsm doctor` shows which JDK is found") from error
    if not own_signals:
        # A class library that keeps its hooks elsewhere leaves JPype's in place.
        with suppress(StateError):
            _ending.append(_taken_hook())


def _taken_hook() -> Any:
    """Remove JPype's shutdown hook and return it.

    The hook interrupts the main thread and takes JPype down under it, so that Ctrl-C or a ``System.exit`` of another
    thread would end in an exception or a crash of the program. Without it Java ends the process as it does elsewhere.
    """
    place = "hsmbridge.hooks"
    natives.show_field(library(), "java.lang.ApplicationShutdownHooks", "hooks", "java.util.IdentityHashMap", place)
    hooks = JClass("java.lang.System").getProperties().remove(place)
    # Agents may have hooks too; JPype's is the newest.
    newest = max(hooks.keySet(), key=lambda thread: thread.getId())
    JClass("java.lang.Runtime").getRuntime().removeShutdownHook(newest)
    return newest


def _chosen() -> str:
    """Return the path of the library of the JVM to start: that of ``JAVA_HOME``, else that of ``java`` on ``PATH``.

    JPype passes over a wrong ``JAVA_HOME`` silently, and does not look at ``PATH``. Its choice is the last resort.

    Raises:
        StateError: ``JAVA_HOME`` has no JVM, or there is none at all.
    """
    named, program = os.environ.get("JAVA_HOME"), shutil.which("java")
    homes = [Path(named)] if named else [Path(program).resolve().parents[1]] if program else []
    for home in homes:
        for library in sorted((home / "lib").glob("*/libjvm.so"), key=lambda found: found.parent.name != "server"):
            return str(library)
    if named:
        raise StateError(f"JAVA_HOME is {named}, which has no lib/server/libjvm.so; set it to a JDK 17, or unset it")
    try:
        return str(jpype.getDefaultJVMPath())
    except JVMNotFoundException as error:
        raise StateError(
            "there is no Java: JAVA_HOME is not set, and no java is on PATH; install a JDK 17 or later "
            "(Debian: apt install default-jdk-headless)"
        ) from error


def _options(library: str) -> tuple[str, ...]:
    """Return the options of every JVM. Java 11 does not know them, and needs none."""
    try:
        release = (Path(library).resolve().parents[2] / "release").read_text()
    except (OSError, IndexError):
        return _OPTIONS
    version = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return _OPTIONS if version is None or int(version[1]) > _NO_NATIVE_ACCESS else ()


def adopt(class_path: Sequence[str | Path] = ()) -> None:
    """Add the provider's jar and other entries to the class path of a JVM that another program has started here.

    Raises:
        StateError: The JVM does not load the provider.
    """
    _jpype._collect = _collect_nothing
    for entry in (provider_jar(), *class_path):
        jpype.addClassPath(str(entry))
    try:
        JClass(_PROVIDER)
    except (TypeError, JException) as error:
        raise StateError(
            f"a JVM runs in this process already, and the provider cannot be added to it ({error}); start it with "
            f"{provider_jar()} on its class path"
        ) from error


def _collect_nothing(*arguments: object, **named: object) -> None:
    """Replace JPype's hook of both garbage collectors."""


def started() -> bool:
    """Return whether the JVM is running."""
    return bool(jpype.isJVMStarted())


def shutdown() -> None:
    """Wait for Java's non-daemon threads and end the JVM."""
    while _ending:
        JClass("java.lang.Runtime").getRuntime().addShutdownHook(_ending.pop())
    jpype.shutdownJVM()


def install(hsm: Hsm, faults: Faults | None = None) -> InProcess:
    """Connect the provider to an HSM, in place of an earlier one, and return the carrier, which the caller closes.

    Args:
        hsm: The HSM.
        faults: The faults of an earlier carrier, ``None`` for new ones.
    """
    carrier = InProcess(hsm, faults)
    channel_interface = JClass(_CARRIER + "InProcessChannel")

    def open_channel(buffer: Any, pooled: bool) -> Any:
        channel = carrier.attach(buffer, pooled=bool(pooled))
        methods = {"grow": channel.grow, "release": channel.release}
        return JProxy(channel_interface, dict=methods)

    hook = JProxy(_CARRIER + "InProcessHook", dict={"open": _logged(open_channel)})
    owner = JClass(_CARRIER + "InProcess")
    properties = JClass("java.lang.System").getProperties()
    properties.put(_CARRIER + "InProcess", owner.class_)
    try:
        natives.register(library(), _CARRIER + "InProcess", "exchange", exchange)
    finally:
        properties.remove(_CARRIER + "InProcess")
    owner.install(hook)
    return carrier


def library() -> str:
    """Return the path of the library of the running JVM, which another program may have chosen, or of the one to start.

    Raises:
        StateError: No JVM runs, and there is none to start.
    """
    maps = Path("/proc/self/maps").read_text().splitlines() if sys.platform == "linux" else []
    loaded = (line.split(maxsplit=5)[-1] for line in maps if line.endswith("/libjvm.so"))
    return next(loaded, None) or _chosen()


def _logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Raise a failure in Java with its reason; JPype would pass an exception without message or cause."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            _log.exception("a channel could not be opened")
            raise JClass("java.security.ProviderException")(f"in-process channel: {error}") from error

    return call


def add_provider() -> Any:
    """Register a new provider as the last one of the JVM, in place of an earlier one, and return it.

    Its constructor logs in if ``HSM_USER`` and ``HSM_PASSWORD`` are set.
    """
    security = JClass("java.security.Security")
    security.removeProvider(PROVIDER_NAME)
    provider = JClass(_PROVIDER)()
    security.addProvider(provider)
    return provider


def restore(hsm: Hsm, provider: Any, faults: Faults) -> InProcess:
    """Connect the JVM to an HSM with its faults again, and register its provider as the last one."""
    carrier = install(hsm, faults)
    JClass("java.security.Security").addProvider(provider)
    return carrier


def remove_provider() -> None:
    """Remove the provider from the JVM's list."""
    JClass("java.security.Security").removeProvider(PROVIDER_NAME)


def login(provider: Any, user: str, password: str) -> None:
    """Log the provider in through a callback handler, as an application does."""
    password_callback = JClass("javax.security.auth.callback.PasswordCallback")

    def handle(callbacks: Any) -> None:
        for callback in callbacks:
            if isinstance(callback, password_callback):
                callback.setPassword(JArray(JChar)(f"{user}:{password}"))

    provider.login(None, JProxy("javax.security.auth.callback.CallbackHandler", dict={"handle": handle}))


def run_main(class_name: str, arguments: Sequence[str]) -> int:
    """Run the ``main`` of a class on the class path and return 0, or 1 after printing its exception."""
    try:
        main_class = JClass(class_name)
    except TypeError:
        print(f"Error: Could not find or load main class {class_name}", file=sys.stderr)
        return 1
    return _printing_failure(lambda: main_class.main(JArray(JString)(list(arguments))))


def run_keytool(arguments: Sequence[str]) -> int:
    """Run the JDK's keytool and return its exit code. Up to JDK 21 a failing keytool ends the process with code 1."""
    return _run_tool("keytool", "java.base", arguments, JClass("java.lang.System").out)


def run_jarsigner(arguments: Sequence[str]) -> int:
    """Run the JDK's jarsigner and return its exit code. Up to JDK 21 a failing jarsigner ends the process."""
    return _run_tool("jarsigner", "jdk.jartool", arguments)


def _run_tool(tool: str, module: str, arguments: Sequence[str], *further: Any) -> int:
    # The tool's package is not exported; JPype calls through JNI, which does not check that.
    try:
        main_class = JClass(f"sun.security.tools.{tool}.Main")
    except TypeError as error:
        raise StateError(f"this Java has no {tool} (its module is {module}); set JAVA_HOME to a whole JDK") from error
    words = JArray(JString)(list(arguments))
    # JDK 22 (JDK-8316964) has a public constructor and a ``run`` that returns the exit code.
    if JClass("java.lang.Runtime").version().feature() >= 22:
        return int(main_class().run(words, *further))
    return _printing_failure(lambda: main_class.main(words))


def _printing_failure(call: Callable[[], object]) -> int:
    try:
        call()
    except JException as error:
        JClass("java.lang.System").err.print_('Exception in thread "main" ')
        error.printStackTrace()
        return 1
    return 0


def read_key_store(kind: str, file: bytes, password: str) -> list[Found]:
    """Read a file with one of the JDK's key store types and return its entries in the order of their aliases.

    Args:
        kind: The key store type, as ``KeyStore.getInstance`` takes it.
        file: The file.
        password: The password of the file; the keys stay closed.

    Raises:
        ForeignStoreDamaged: Java does not read the file.
        ForeignStorePassword: The password is wrong, or the file was changed.
    """
    store = JClass("java.security.KeyStore").getInstance(kind)
    try:
        with _characters(password) as characters:
            store.load(JClass("java.io.ByteArrayInputStream")(file), characters)
        return [_found(store, alias) for alias in sorted(map(str, store.aliases()))]
    except JException as error:
        if isinstance(error.getCause(), JClass("java.security.UnrecoverableKeyException")):
            raise ForeignStorePassword("the password is wrong, or the file was changed") from None
        raise ForeignStoreDamaged(f"the file is damaged, or in a form that Java does not read: {error}") from None


def _found(store: Any, alias: str) -> Found:
    if store.isCertificateEntry(alias):
        return Found(alias, (bytes(store.getCertificate(alias).getEncoded()),))
    chain = tuple(bytes(one.getEncoded()) for one in store.getCertificateChain(alias) or ())
    return Found(alias, chain, lambda password: _opened(store, alias, password))


def _opened(store: Any, alias: str, password: str) -> Opened:
    try:
        with _characters(password) as characters:
            key = store.getKey(alias, characters)
        encoded = None if key is None else key.getEncoded()
    except JException as error:
        bad = isinstance(error, JClass("java.security.UnrecoverableKeyException")) and (
            error.getCause() is None or isinstance(error.getCause(), JClass("javax.crypto.BadPaddingException"))
        )
        if bad or not password.isascii():
            raise ForeignKeyPassword("the password does not open the key") from None
        raise ForeignKeyUnreadable(f"Java does not read the key: {error}") from None
    if encoded is None:
        raise ForeignKeyUnreadable("Java does not find it; in a JCEKS file it finds aliases in lower case only")
    material = bytes(encoded)
    JClass("java.util.Arrays").fill(encoded, 0)
    private = isinstance(key, JClass("java.security.PrivateKey"))
    return private_key(material) if private else secret_key(str(key.getAlgorithm()), material)


def write_key_store(entries: Iterable[JavaEntry], password: str) -> bytes:
    """Return a PKCS #12 file with the entries.

    Raises:
        KeyStoreEntry: Java refuses an entry.
    """
    store = JClass("java.security.KeyStore").getInstance("PKCS12")
    store.load(None, None)
    with _characters(password) as characters:
        for entry in entries:
            try:
                _set(store, entry, characters)
            except JException as error:
                raise KeyStoreEntry(f"Java refuses entry {entry.alias!r}: {error}") from None
        out = JClass("java.io.ByteArrayOutputStream")()
        store.store(out, characters)
    return bytes(out.toByteArray())


def _set(store: Any, entry: JavaEntry, characters: Any) -> None:
    factory, stream = JClass("java.security.cert.CertificateFactory"), JClass("java.io.ByteArrayInputStream")
    chain = [factory.getInstance("X.509").generateCertificate(stream(der)) for der in entry.chain]
    if entry.secret:
        key = JClass("javax.crypto.spec.SecretKeySpec")(entry.secret, entry.algorithm)
        store.setKeyEntry(entry.alias, key, characters, None)
    elif entry.protected:
        store.setKeyEntry(
            entry.alias, JArray(JByte)(entry.protected), JArray(JClass("java.security.cert.Certificate"))(chain)
        )
    else:
        store.setCertificateEntry(entry.alias, chain[0])


@contextmanager
def _characters(password: str) -> Iterator[Any]:
    """Yield a password as ``char[]``, and overwrite it afterwards."""
    encoded = password.encode("utf-16-le", "surrogatepass")
    units = [chr(unit) for unit in memoryview(encoded).cast("H")]
    characters = JArray(JChar)(units)
    try:
        yield characters
    finally:
        JClass("java.util.Arrays").fill(characters, "\0")
