"""Checks of the state directory: permissions, database, clock, disk, and the daemon that serves it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

from bridge.carriers.client import Client, DaemonClosed, DaemonForeign, DaemonSilent, DaemonUnreachable
from bridge.doctor.finding import Finding, fail, ok, refused, warn
from bridge.process.environment import answer_seconds
from bridge.process.paths import socket_path
from bridge.protocol.codec import Value
from hsmcore import __version__
from hsmcore.errors import HsmError, StateError

_SECONDS = 5.0
"""Longest wait for an answer of the daemon, in seconds."""
_SLACK = 60.0
"""Seconds by which a file's time may be ahead of the clock."""
_SCARCE, _LITTLE = 16 * 1024 * 1024, 256 * 1024 * 1024
"""Free bytes below which the HSM soon fails, and below which backups may."""
_PRIVATE = ("hsm.db", "master.key", "store.json", "tls.identity", "tls.request", "audit.anchor", "hsm.sock", "hsm.log")
_NEW = "`hsm quickstart` or `hsm init` makes one"


def checks(home: Path) -> Iterator[Finding]:
    """Check a state directory and its daemon."""
    try:
        socket_path(home)
    except StateError as error:
        yield refused("HSM", error)
        return
    if _is_for_a_group(home):
        yield ok("HSM", f"a socket of another user's HSM in {home}")
        yield _daemon(home)
        return
    yield _hsm(home)
    if home.is_dir():
        yield _permissions(home)
    yield _daemon(home)
    yield _store(home)
    yield _clock(home)
    yield _disk(home)


def _is_for_a_group(home: Path) -> bool:
    """Tell whether a directory has the socket of an HSM and nothing else of it."""
    return [path.name for path in home.glob("*")] == ["hsm.sock"]


def _hsm(home: Path) -> Finding:
    from hsmcore.storage.state_directory import lock_holder

    if not home.exists():
        return warn("HSM", f"{home} does not exist", _NEW)
    if not home.is_dir():
        return fail("HSM", f"{home} is not a directory", "choose another HSM_HOME")
    if any((home / name).exists() for name in ("hsm.db", "store.json")):
        return ok("HSM", str(home))
    if lock_holder(home) is not None:
        return ok("HSM", f"in memory, socket in {home}")
    return warn("HSM", f"there is no HSM in {home}", _NEW)


def _permissions(home: Path) -> Finding:
    """Check that this user can use the files, and no other user can."""
    from hsmcore.storage.state_directory import require_private

    check = "Permissions"
    try:
        require_private(home)
    except HsmError as error:
        return refused(check, error)
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return fail(check, f"this user may not write in {home}", "use the user that owns it, or another HSM_HOME")
    for path in (home / name for name in _PRIVATE):
        try:
            found = path.lstat()
        except OSError:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            return fail(check, f"other users may read {path} (mode {mode:o})", f"chmod 600 {path}")
        if found.st_uid not in (os.geteuid(), home.stat().st_uid):
            return fail(check, f"{path} belongs to the user {found.st_uid}", f"chown it to the owner of {home}")
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & 0o077:
        return warn(check, f"other users may list {home} (mode {mode:o})", f"chmod 700 {home}")
    return ok(check, f"{home} is this user's alone")


def _daemon(home: Path) -> Finding:
    check, socket = "Daemon", socket_path(home)
    try:
        with Client.connect(home, _patience()) as client:
            (answer,) = client.call("STATUS")
    except DaemonSilent:
        return fail(check, f"it does not answer at {socket}", "`hsm stop`, then `hsm start`")
    except DaemonForeign as error:
        return fail(check, str(error), "choose an HSM_HOME that only your user can write")
    except DaemonClosed as error:
        return fail(check, str(error), "`sudo usermod --append --groups GROUP USER`, then log in again")
    except DaemonUnreachable:
        return _without_daemon(home)
    except HsmError as error:
        return fail(check, f"its answer is not understood: {error}", "`hsm stop`, then `hsm start`")
    return _running(home, answer if isinstance(answer, dict) else {})


def _without_daemon(home: Path) -> Finding:
    from hsmcore.storage.state_directory import lock_holder

    check, holder = "Daemon", lock_holder(home)
    if holder is None:
        return warn(check, f"none at {socket_path(home)}", "`hsm start`, for programs in a JVM of their own")
    return fail(
        check, f"process {holder} has the HSM open and serves no socket: another command, or a daemon that lost it",
        f"wait for the command, or `kill {holder}`, then `hsm start`",
    )  # fmt: skip


def _running(home: Path, status: Mapping[str, Value]) -> Finding:
    check = "Daemon"
    if status.get("version") != __version__:
        found = f"version {status.get('version')} runs, and {__version__} is installed"
        return fail(check, found, "`hsm stop`, then `hsm start`")
    if status.get("healthy") is not True:
        return fail(check, "it is not healthy", f"see {home / 'hsm.log'}")
    return ok(check, f"version {status['version']}, pid {status.get('pid')}, {socket_path(home)}")


def _patience() -> float:
    """Return the longest wait for the daemon, in seconds. Another check finds a wrong HSM_TIMEOUT."""
    with suppress(HsmError):
        return min(_SECONDS, answer_seconds(_SECONDS))
    return _SECONDS


def _store(home: Path) -> Finding:
    """Check the schema of the database, which is only read."""
    from hsmcore.storage.schema import HEAD, KNOWN

    check, file = "Store", home / "hsm.db"
    if (home / "store.json").exists():
        return ok(check, "a database of PostgreSQL; the daemon checks its schema")
    if not file.exists():
        return ok(check, "none yet")
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=_SECONDS)) as database:
            (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        return fail(check, f"{file} cannot be read: {error}", "restore the newest backup (docs/backup.md)")
    if revision not in KNOWN:
        return fail(check, f"schema {revision} of {file} is newer than {HEAD}", "use the newer version of hsmbridge")
    if revision != HEAD:
        found = f"schema {revision} of {file}; the next start brings it to {HEAD}"
        return warn(check, found, "`hsm backup create` first")
    return ok(check, f"schema {revision} of {file}")


def _clock(home: Path) -> Finding:
    """Check that the clock is not behind what the HSM has written."""
    check, now = "Clock", time.time()
    written = max((path.stat().st_mtime for path in home.glob("*") if path.is_file()), default=0.0)
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if written > now + _SLACK:
        return fail(
            check, f"{shown} is {written - now:.0f} s before the newest file in {home}",
            "set the clock: entries of the audit log and certificates depend on it",
        )  # fmt: skip
    return ok(check, shown)


def _disk(home: Path) -> Finding:
    folder = next(folder for folder in (home, *home.parents) if folder.is_dir())
    free = shutil.disk_usage(folder).free
    found = f"{free // (1024 * 1024)} MiB free at {folder}"
    cure = f"make room: the HSM refuses changes when the disk is full; move old files of {home / 'backups'} away"
    if free < _SCARCE:
        return fail("Disk", found, cure)
    return warn("Disk", found, cure) if free < _LITTLE else ok("Disk", found)
