"""No secrets in messages, logs and responses; no IV used twice; no change by a failed operation."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from bridge.carriers.client import Client, LocalChannel
from bridge.protocol.codec import Value
from bridge.server.dispatch import Dispatcher
from hsmcore import Hsm, Settings
from hsmcore.errors import (
    HsmError,
    KeyFunctionNotPermitted,
    KeyNotFound,
    OperationNotFound,
    StoreDamaged,
    Unauthenticated,
)
from hsmcore.keys.records import KeyRecord
from tests.hsmcore.databases import database, dump

from .conftest import ADMIN_PASSWORD, CURVES, PASSWORDS, Site, make_site
from .making import ec_key, one_of_each, pkcs8, rsa_key
from .secrets_found import AES_KEY, DES_KEY, SECRETS, assert_absent, known_secrets, take_all

WRONG = b"wrong-guess-01"
BAD_PASSWORDS = [b"bad:password-01", b"a password that is far too long to be one", b"\xffbadpassword-02"]
THREADS, IVS = 4, 2_000
_KEY_IMPORTS: dict[str, dict[str, object]] = {
    "secret": {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"},
    "private": {"OBJECT_CLASS": "PRIVATE_KEY", "KEY_TYPE": "RSA"},
    "public": {"OBJECT_CLASS": "PUBLIC_KEY", "KEY_TYPE": "EC"},
}
_GENERIC: dict[str, Value] = {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "GENERIC_SECRET"}


def _passwords() -> list[bytes]:
    return [ADMIN_PASSWORD, WRONG, *PASSWORDS.values(), *BAD_PASSWORDS]


def _failures(site: Site, keys: list[KeyRecord]) -> Iterator[Callable[[], object]]:
    """Yield calls that fail, many of which were handed a secret."""
    hsm, user, admin = site.hsm, site.user, site.admin
    aes, rsa, ec = keys[0].handle, keys[3].handle, keys[4].handle
    yield lambda: hsm.users.login("nobody", WRONG)
    for bad in BAD_PASSWORDS:
        yield lambda bad=bad: hsm.users.create(admin, "someone", "crypto-user", bad)
        yield lambda bad=bad: hsm.users.change_password(user, "cu1", "crypto-user", bad)
    yield lambda: hsm.users.create(admin, "some one", "crypto-user", WRONG)
    yield lambda: hsm.users.create(admin, "cu1", "crypto-user", WRONG)
    yield lambda: hsm.users.create(user, "someone", "crypto-user", WRONG)
    for wishes in _KEY_IMPORTS.values():
        for material in (DES_KEY + b"\0", pkcs8(rsa_key())[:-1], pkcs8(ec_key()), AES_KEY + AES_KEY):
            yield lambda given=(wishes, material): hsm.keys.import_(user, *given)
        yield lambda wishes=wishes: hsm.keys.import_(user, wishes | {"VALUE": AES_KEY}, AES_KEY)
        yield lambda wishes=wishes: hsm.keys.import_(user, wishes | {"SIZE": 7}, AES_KEY)
    for session in (site.other, admin):
        yield lambda session=session: hsm.keys.set_attributes(session, aes, {"LABEL": "mine"})
        yield lambda session=session: hsm.keys.destroy(session, aes)
        yield lambda session=session: hsm.crypto.sign(session, ec, "ECDSA_SHA256", None, bytes(32))
    yield lambda: hsm.keys.set_attributes(user, aes, {"LABEL": "half", "EXTRACTABLE": False})
    yield lambda: hsm.keys.set_attributes(user, rsa, {"LABEL": "half", "TOKEN": False})
    yield lambda: hsm.keys.generate_pair(user, "EC_KEY_PAIR_GEN", {"TOKEN": True}, {"TOKEN": True, "WRAP": True})
    yield lambda: hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True, "SIZE": 7})
    yield lambda: hsm.crypto.encrypt(user, aes, "AES_CBC", {"iv": b"short"}, AES_KEY)
    yield lambda: hsm.crypto.encrypt(user, aes, "AES_CBC", None, AES_KEY[:-1])
    yield lambda: hsm.crypto.encrypt(user, rsa, "RSA_PKCS1", None, AES_KEY)
    yield lambda: hsm.crypto.decrypt(user, aes, "AES_GCM", {"iv": bytes(12)}, bytes(40))
    yield lambda: hsm.crypto.decrypt(user, rsa, "RSA_OAEP_SHA256", None, b"\xff" * 256)
    yield lambda: hsm.crypto.sign(user, rsa, "RSA_PKCS1_SHA256", None, AES_KEY[:-1])
    yield lambda: hsm.keys.wrap(user, aes, "AES_KEY_WRAP_NO_PAD", {"iv": b"short"}, aes)
    yield lambda: hsm.keys.wrap(user, aes, "AES_KEY_WRAP_NO_PAD", None, ec)
    yield lambda: hsm.keys.wrap(admin, aes, "AES_KEY_WRAP_ZERO_PAD", None, rsa)
    for wishes in (_KEY_IMPORTS["secret"], _KEY_IMPORTS["private"]):
        yield lambda wishes=wishes: hsm.keys.unwrap(user, aes, "AES_ECB", None, AES_KEY, wishes)
        yield lambda wishes=wishes: hsm.keys.unwrap(user, aes, "AES_KEY_WRAP_ZERO_PAD", None, AES_KEY, wishes)
        yield lambda wishes=wishes: hsm.keys.unwrap(user, rsa, "RSA_OAEP_SHA1", None, bytes(256), wishes)
    yield lambda: hsm.crypto.begin(user, "decrypt", aes, "AES_GCM", None)
    yield lambda: hsm.crypto.begin(user, "wrap", aes, "AES_CBC", None)
    yield lambda: hsm.crypto.update(user, 1, AES_KEY)
    yield lambda: hsm.users.delete(admin, "cu1", "crypto-user")
    yield lambda: hsm.users.delete(admin, "admin", "admin")


@pytest.fixture(scope="module")
def keys(site: Site) -> list[KeyRecord]:
    """The known keys, as token keys of the user."""
    return take_all(site.hsm, site.user, TOKEN=True)


def _state(site: Site) -> tuple[object, ...]:
    """Return all there is to know, but for the audit log: the rows of the database and what each user sees."""
    rows = dump(site.home)
    found = [site.hsm.keys.find(session, {}) for session in (site.user, site.other, site.admin)]
    return rows, found, site.hsm.users.all(), site.hsm.status()


def test_what_fails_changes_nothing(site: Site, keys: list[KeyRecord]) -> None:
    before = _state(site)
    for call in _failures(site, keys):
        with pytest.raises(HsmError):
            call()
        assert _state(site) == before


def test_errors_hold_no_secrets(site: Site, keys: list[KeyRecord]) -> None:
    for call in _failures(site, keys):
        with pytest.raises(HsmError) as caught:
            call()
        written = "".join(traceback.format_exception(caught.value))
        for error in _shown_chain(caught.value):
            written += f"{error!r} {error.args!r} {vars(error)!r}"
        assert_absent(known_secrets() + _passwords(), written)


def _shown_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what a traceback shows below it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_no_object_shows_a_secret(site: Site, keys: list[KeyRecord]) -> None:
    session_keys = take_all(site.hsm, site.user)
    site.hsm.crypto.begin(site.user, "encrypt", keys[0].handle, "AES_CBC", None)
    for mechanism in ("AES_GCM", "AES_CBC"):
        site.hsm.crypto.encrypt(site.user, keys[0].handle, mechanism, None, bytes(16))
    site.hsm.crypto.sign(site.user, keys[3].handle, "RSA_PKCS1_SHA256", None, bytes(32))
    shown = [
        f"{thing!r} {thing!s}"
        for thing in gc.get_objects()
        if str(type(thing).__module__).startswith(("hsmcore", "bridge")) and not isinstance(thing, type)
    ]
    assert sum("KeyRecord(" in text for text in shown) > len(session_keys)
    assert_absent(known_secrets() + _passwords(), *shown)
    for key in session_keys:
        site.hsm.keys.destroy(site.user, key.handle)


def test_logs_hold_no_secrets(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("hsmcore", "hsmbridge", "sqlalchemy.engine", "sqlalchemy.pool", "alembic"):
        caplog.set_level(logging.DEBUG, logger=name)
    made = make_site(tmp_path / "hsm")
    with made.hsm:
        keys = take_all(made.hsm, made.user, TOKEN=True)
        one_of_each(made.hsm, made.user, TOKEN=True)
        for call in _failures(made, keys):
            with pytest.raises(HsmError):
                call()
    with database(made.home) as connection:
        connection.execute("UPDATE keys SET material = x'00' WHERE handle = ?", (keys[0].handle,))
    master = (made.home / "master.key").read_bytes()
    with Hsm.open(made.home) as hsm, Client.local(hsm) as client:
        for password in (WRONG, *BAD_PASSWORDS):
            with pytest.raises(HsmError):
                client.call("LOGIN", "cu1", password, "crypto-user")
        client.call("LOGIN", "cu1", PASSWORDS["cu1"], "crypto-user")
        with pytest.raises(StoreDamaged):
            client.call("GET_KEY", keys[0].handle)
        with pytest.raises(HsmError):
            client.call("IMPORT_KEY", {"OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES"}, AES_KEY[:-1])
    assert str(keys[0].handle) in caplog.text, "something was logged"
    assert_absent([*known_secrets(), *_passwords(), master], caplog.text)


def _ivs(hsm: Hsm, handle: int, chosen: bytes) -> list[bytes]:
    """Encrypt in several threads, with an IV of the caller's every time."""

    def run(_: int) -> list[bytes]:
        session = hsm.users.login("cu1", PASSWORDS["cu1"])
        parameters = {"iv": chosen, "aad": b""}
        results = [hsm.crypto.encrypt(session, handle, "AES_GCM", parameters, b"data")[1] for _ in range(IVS)]
        hsm.users.logout(session)
        return [bytes(result["iv"]) for result in results if result]  # type: ignore[call-overload]

    with ThreadPoolExecutor(THREADS) as pool:
        return [iv for ivs in pool.map(run, range(THREADS)) for iv in ivs]


def test_no_iv_of_gcm_is_used_twice(tmp_path: Path) -> None:
    made = make_site(tmp_path / "hsm")
    chosen = bytes(range(12))
    with made.hsm:
        key = made.hsm.keys.generate(made.user, "AES_KEY_GEN", {"TOKEN": True}).handle
        ivs = _ivs(made.hsm, key, chosen)
    with Hsm.open(made.home) as hsm:
        ivs += _ivs(hsm, key, ivs[-1])
    assert len(ivs) == len(set(ivs)) == 2 * THREADS * IVS
    assert {len(iv) for iv in ivs} == {12}
    assert chosen not in ivs


_FORKING = """
import os, sys
from pathlib import Path
from hsmcore import Hsm

with Hsm.initialize(Path(sys.argv[1]), admin_password=b"admin-pass-001") as hsm:
    hsm.users.create(hsm.users.login("admin", b"admin-pass-001", "admin"), "cu1", "crypto-user", b"first-pass-001")
    session = hsm.users.login("cu1", b"first-pass-001")
    key = hsm.keys.generate(session, "AES_KEY_GEN", {}).handle

    def print_ivs():
        ivs = [hsm.crypto.encrypt(session, key, "AES_GCM", None, b"data")[1]["iv"].hex() for _ in range(100)]
        os.write(1, " ".join([*ivs, ""]).encode())  # At once: two processes write to one pipe.

    hsm.crypto.encrypt(session, key, "AES_GCM", None, b"data")
    child = os.fork()
    print_ivs()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_forked_process_draws_ivs_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORKING, str(tmp_path / "hsm")], capture_output=True, text=True, timeout=120, check=True
    )
    ivs = done.stdout.split()
    assert len(ivs) == len(set(ivs)) == 200


class _Recorder:
    """A channel that keeps every response."""

    def __init__(self, hsm: Hsm) -> None:
        self._channel = LocalChannel(Dispatcher(hsm).connect())
        self.responses: list[bytes] = []

    def exchange(self, frame: bytes) -> bytes:
        self.responses.append(bytes(self._channel.exchange(frame)))
        return self.responses[-1]

    def close(self) -> None:
        self._channel.close()


def _ask_everything(client: Client, handles: list[int]) -> None:
    """Ask each operation for each key, with what fits and what does not."""
    requests: list[tuple[Value, ...]] = [("FIND_KEYS", {}, 0, None), ("STATUS",), ("USER_LIST",)]
    for handle in handles:
        requests += [("GET_KEY", handle), ("CLEAR_VALUE", handle), ("SET_ATTRIBUTES", handle, {"LABEL": "seen"})]
        for name in ("AES_CBC", "AES_GCM", "AES_ECB", "RSA_PKCS1", "DESEDE_CBC", "AES_CTR"):
            requests += [(operation, handle, name, None, bytes(16)) for operation in ("ENCRYPT", "DECRYPT")]
        for name in ("AES_GCM", "AES_CBC", "AES_KEY_WRAP_NO_PAD", "AES_KEY_WRAP_PKCS5_PAD", "AES_KEY_WRAP_ZERO_PAD"):
            requests += [("WRAP_KEY", handle, name, None, target) for target in handles]
            requests.append(("UNWRAP_KEY", handle, name, {"iv": bytes(16)}, bytes(32), dict(_GENERIC)))
        for name in ("RSA_PKCS1_NONE", "RSA_PSS_SHA256", "ECDSA_SHA256", "HMAC_SHA256"):
            requests += [("SIGN", handle, name, None, bytes(32)), ("VERIFY", handle, name, None, bytes(32), b"")]
            requests.append(("BEGIN", "sign", handle, name, None))
        for value in ("VALUE", "PRIVATE_EXPONENT", "PRIME_P"):
            requests += [("FIND_KEYS", {value: b""}, 0, None), ("SET_ATTRIBUTES", handle, {value: b""})]
        requests += [("SET_ATTRIBUTES", handle, {name: True}) for name in ("EXTRACTABLE", "TRUSTED")]
        requests += [("SET_ATTRIBUTES", handle, {"SENSITIVE": False}), ("DESTROY_KEY", handle)]
    for operation, *fields in requests:
        # Most are refused; what matters is what the responses hold.
        with suppress(HsmError):
            client.call(str(operation), *fields)


@pytest.mark.parametrize(
    ("settings", "attributes"),
    [(Settings(), {}), (Settings(clear_key_extraction=True), {"EXTRACTABLE": False})],
    ids=["extraction is off", "the keys are not extractable"],
)
@pytest.mark.parametrize("token", [True, False])
def test_no_response_holds_a_secret(
    tmp_path: Path, settings: Settings, attributes: dict[str, Value], token: bool
) -> None:
    made = make_site(tmp_path / "hsm", settings)
    with made.hsm:
        recorder = _Recorder(made.hsm)
        client = Client(recorder)
        client.call("LOGIN", "cu1", PASSWORDS["cu1"], "crypto-user")
        handles = []
        imports = [("SECRET_KEY", kind, value) for kind, value in SECRETS.items()]
        imports += [("PRIVATE_KEY", "RSA", pkcs8(rsa_key())), ("PRIVATE_KEY", "EC", pkcs8(ec_key()))]
        for key_class, kind, material in imports:
            wishes = {"OBJECT_CLASS": key_class, "KEY_TYPE": kind, "TOKEN": token, **attributes}
            (record,) = client.call("IMPORT_KEY", wishes, material)
            handles.append(int(str(record["HANDLE"])))  # type: ignore[index,call-overload]
        for curve in CURVES.values():
            pair = client.call("GENERATE_KEY_PAIR", "EC_KEY_PAIR_GEN", {"EC_PARAMS": curve}, dict(attributes))
            handles.append(int(str(pair[1]["HANDLE"])))  # type: ignore[index,call-overload]
        _ask_everything(client, handles)
        assert len(recorder.responses) > 200
        assert_absent(known_secrets() + _passwords(), *recorder.responses)
        client.close()


def test_nothing_is_left_of_a_key_or_session_that_ended(site: Site) -> None:
    """An operation that was prepared or begun does not outlive the permission."""
    hsm, session = site.hsm, site.hsm.users.login("cu2", PASSWORDS["cu2"])
    key = hsm.keys.generate(session, "AES_KEY_GEN", {"TOKEN": True}).handle
    for _ in range(2):
        hsm.crypto.sign(session, key, "HMAC_SHA256", None, b"data")
    operation, _ = hsm.crypto.begin(session, "sign", key, "HMAC_SHA256", None)
    hsm.keys.set_attributes(site.other, key, {"SIGN": False})
    with pytest.raises(KeyFunctionNotPermitted):
        hsm.crypto.sign(session, key, "HMAC_SHA256", None, b"data")
    hsm.keys.destroy(site.other, key)
    with pytest.raises(KeyNotFound):
        hsm.crypto.sign(session, key, "HMAC_SHA256", None, b"data")
    with pytest.raises(OperationNotFound):
        hsm.crypto.finish(session, operation, b"data")
    hsm.users.logout(session)
    with pytest.raises(Unauthenticated):
        hsm.crypto.sign(session, key, "HMAC_SHA256", None, b"data")


def test_the_search_finds_a_secret_that_is_there(open_site: Site) -> None:
    for key, secret in zip(take_all(open_site.hsm, open_site.user), known_secrets(), strict=False):
        material = open_site.hsm.keys.clear_value(open_site.user, key.handle) or b""
        for text in (material, material.hex(), repr(material)):
            with pytest.raises(AssertionError, match="a secret is there"):
                assert_absent([secret] if key.attributes["OBJECT_CLASS"] == "SECRET_KEY" else known_secrets(), text)
