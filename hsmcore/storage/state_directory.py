"""The state directory: its lock, the key file, the audit log's anchor, and the path of the database.

``hsm.db`` is the database. An HSM of a cluster has ``store.json`` (mode 0600) in its place, with the database's URL and
the HSM's number. ``master.key`` is the key file (32 random bytes, mode 0600) of an HSM without passphrase.
``hsm.lock`` is the lock, with the id of the process that has the directory. ``audit.anchor`` has two slots of 128 bytes
for the last position of the audit log; they are written in turn, so an interrupted write leaves the other. ``backups``
is the directory of backups. ``tls.request`` and ``tls.identity`` are the sealed keys for TLS, ``customerCA.crt`` has
the certificate of their authority.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from hsmcore.errors import MasterKeyUnavailable, StateError, StateLocked, StateMissing, StoreFull
from hsmcore.files import read_whole, sync_directory, write_whole
from hsmcore.primitives.secrecy import KEY_BYTES, random_bytes

_DATABASE, _KEY_FILE, _LOCK, _ANCHOR, _STORE = "hsm.db", "master.key", "hsm.lock", "audit.anchor", "store.json"
_BACKUPS = "backups"
_ANCHOR_BYTES = 128
_LARGEST_FILE = 1024 * 1024
"""Maximum bytes of a file that ``read_file`` reads."""
_OWN = ("hsm.", "master.", "audit.", "store.", "admin-password.", "backups", "tls.", "customerCA.", "lost+found")
"""How the names in a state directory begin. A new file system has lost+found."""

_log = logging.getLogger("hsmcore.storage.state_directory")


@dataclass(frozen=True, slots=True)
class SharedStore:
    """The database that an HSM shares with the others of its cluster. ``number`` is the HSM's number among them."""

    url: str = field(repr=False)
    number: int


class State(Protocol):
    """The files of an open HSM beside its database."""

    @property
    def home(self) -> Path | None:
        """The state directory; ``None`` for an HSM in memory."""

    @property
    def backups(self) -> Path | None:
        """The directory of backups; ``None`` for an HSM in memory."""

    def close(self) -> None:
        """Give the files back to other processes."""

    def read_anchors(self) -> list[bytes]:
        """Return the anchors of the audit log that may be the last one."""

    def write_anchor(self, anchor: bytes) -> None:
        """Write the anchor of the audit log, at most 128 bytes."""

    def read_file(self, name: str) -> bytes | None:
        """Return the content of a file, ``None`` where it does not exist."""

    def write_file(self, name: str, content: bytes) -> None:
        """Write a file."""

    def shared_store(self) -> SharedStore | None:
        """Return the database that the HSM shares with others; ``None`` for one of its own."""

    def forget_shared_store(self) -> None:
        """Forget that database, when the HSM has left its cluster."""


class StateDirectory:
    """An HSM's directory, locked for this process until ``close``."""

    def __init__(self, home: Path, *, create: bool) -> None:
        """Lock the directory.

        Args:
            home: The directory.
            create: Create it first, with mode 0700, if it is missing.

        Raises:
            StateMissing: The directory has no HSM, and ``create`` is false.
            StateLocked: Another process has the directory.
            StateError: The path is not a directory or not UTF-8, another user may write there, or a new HSM's directory
                has other files.
            StoreFull: The file system refuses.
        """
        self.home = home.absolute()
        _require_text(self.home)
        if create:
            with _file_errors(self.home):
                for above in reversed(self.home.parents):
                    above.mkdir(mode=0o755, exist_ok=True)
                self.home.mkdir(mode=0o700, exist_ok=True)
                _require_own(self.home)
        elif not any((self.home / name).is_file() for name in (_DATABASE, _STORE)):
            holder = lock_holder(self.home)
            if holder is not None:
                raise StateLocked(f"process {holder} has the HSM in {self.home} open, in memory only")
            raise StateMissing(no_hsm(self.home))
        require_private(self.home)
        self._lock = self._take()
        self._anchor = -1
        self._anchors_written = 0

    @property
    def database(self) -> Path:
        """The path of the database."""
        return self.home / _DATABASE

    @property
    def backups(self) -> Path:
        """The path of the directory of backups."""
        return self.home / _BACKUPS

    def close(self) -> None:
        """Unlock the directory."""
        if self._anchor >= 0:
            with suppress(OSError):
                os.fsync(self._anchor)
            os.close(self._anchor)
            self._anchor = -1
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def remove_lock(self) -> None:
        """Remove the lock file of a directory that is no longer used; ``close`` unlocks it."""
        (self.home / _LOCK).unlink(missing_ok=True)

    def make_database(self) -> None:
        """Create an empty database file with mode 0600, which SQLite gives to its other files too."""
        with _file_errors(self.home):
            os.close(os.open(self.database, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))

    def shared_store(self) -> SharedStore | None:
        """Return the database that the HSM shares with others; ``None`` for an HSM with a file of its own.

        Raises:
            StateError: The file that names it is damaged, or readable by others.
        """
        path = self.home / _STORE
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            read = json.loads(path.read_text())
            url, number = read["url"], read["number"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StateError(f"{path}, which names the HSM's database, cannot be read; restore it") from error
        if mode & 0o077:
            raise StateError(f"{path} is open to others (mode {mode:o}), and may have a password; chmod 600 it")
        return SharedStore(str(url), int(number))

    def keep_shared_store(self, store: SharedStore) -> None:
        """Write the file that names the database which the HSM shares with others.

        Raises:
            StateError: The directory has an HSM with a file of its own.
        """
        if self.database.exists():
            raise StateError(f"there is an HSM in {self.home} already, which was not changed; choose another directory")
        with _file_errors(self.home):
            write_whole(self.home / _STORE, json.dumps(asdict(store)).encode())

    def forget_shared_store(self) -> None:
        """Remove the file that names the shared database. The directory then has no HSM."""
        with _file_errors(self.home):
            (self.home / _STORE).unlink(missing_ok=True)
            self.sync()

    def has_key_file(self) -> bool:
        """Tell whether the directory has a key file."""
        return (self.home / _KEY_FILE).exists()

    def keep_key_file(self, key: bytes) -> None:
        """Write the key file of an HSM that joins a cluster.

        Raises:
            StateError: There is another one.
        """
        path = self.home / _KEY_FILE
        if path.exists():
            if self.read_key_file() != key:
                raise StateError(f"there is another key file {path}, which was not changed; choose another directory")
            return
        with _file_errors(self.home):
            write_whole(path, key)

    def make_key_file(self) -> bytes:
        """Return the key file's 32 bytes; create the file if it is missing.

        An existing file is never overwritten, because it may belong to a database that was moved away.
        """
        path = self.home / _KEY_FILE
        if path.exists():
            return self.read_key_file()
        key = random_bytes(KEY_BYTES)
        with _file_errors(self.home):
            write_whole(path, key)
        return key

    def read_key_file(self) -> bytes:
        """Return the key file's 32 bytes.

        Raises:
            MasterKeyUnavailable: The file is missing, damaged or readable by others.
        """
        path = self.home / _KEY_FILE
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            key = path.read_bytes()
        except OSError as error:
            text = f"the master key's file {path} cannot be read: {error.strerror}; restore it"
            raise MasterKeyUnavailable(text) from error
        if mode & 0o077:
            raise MasterKeyUnavailable(f"the master key's file {path} is open to others (mode {mode:o}); chmod 600 it")
        if len(key) != KEY_BYTES:
            raise MasterKeyUnavailable(f"the master key's file {path} has {len(key)} bytes, not {KEY_BYTES}")
        return key

    def read_anchors(self) -> list[bytes]:
        """Return the contents of the anchor's two slots; none where the file is missing."""
        try:
            content = (self.home / _ANCHOR).read_bytes()
        except OSError:
            return []
        return [content[at : at + _ANCHOR_BYTES] for at in (0, _ANCHOR_BYTES)]

    def write_anchor(self, anchor: bytes) -> None:
        """Write the anchor, at most 128 bytes, to the older of the two slots.

        It is only synced to the disk by ``close``, because an anchor older than the log is harmless. A failure is
        logged.
        """
        try:
            if self._anchor < 0:
                self._anchor = os.open(self.home / _ANCHOR, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            place = self._anchors_written % 2 * _ANCHOR_BYTES
            os.pwrite(self._anchor, anchor.ljust(_ANCHOR_BYTES, b"\0"), place)
            self._anchors_written += 1
        except OSError as error:
            _log.warning("the audit log's anchor cannot be written: %s", error.strerror)

    def read_file(self, name: str) -> bytes | None:
        """Return the content of a file of the directory, ``None`` where it does not exist.

        Raises:
            StoreFull: The file system refuses.
        """
        try:
            with _file_errors(self.home):
                return read_whole(self.home / name, _LARGEST_FILE)
        except StoreFull as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def write_file(self, name: str, content: bytes) -> None:
        """Write a file of the directory, whole, with mode 0600.

        Raises:
            StoreFull: The file system refuses.
        """
        with _file_errors(self.home):
            write_whole(self.home / name, content)

    def sync(self) -> None:
        """Sync the names of new files to the disk."""
        sync_directory(self.home)

    def _take(self) -> int:
        """Lock the directory and write this process's id to the lock file. The end of the process unlocks it.

        Raises:
            StateLocked: Another process has the directory.
        """
        with _file_errors(self.home):
            descriptor = os.open(self.home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise StateLocked(f"process {holder} has the HSM in {self.home} open") from error
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except OSError:
            # The id only serves the message above; on a full disk the keys must still be usable.
            return descriptor
        return descriptor


def lock_holder(home: Path) -> str | None:
    """Return the id of the process that has a state directory, or ``unknown``; ``None`` where no process has it."""
    try:
        descriptor = os.open(home / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"


def no_hsm(home: Path) -> str:
    """Return the message about a directory without an HSM."""
    return f"there is no HSM in {home}; `hsm init` makes one"


def require_private(home: Path) -> None:
    """Check that no other user than root can replace the files of a state directory.

    Raises:
        StateError: Another user owns it or a directory above it, others may write in it, or others may rename it.
    """
    with _file_errors(home):
        found = home.stat()
    if found.st_uid not in (0, os.geteuid()):
        raise StateError(f"{home} belongs to another user (id {found.st_uid}), who could replace the HSM's files")
    if found.st_mode & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        raise StateError(f"other users may write in {home} (mode {mode:o}) and replace the HSM's files; chmod go-w it")
    for above in {*home.parents, *home.resolve().parents}:
        _require_trusted(above, home)


def _require_trusted(above: Path, home: Path) -> None:
    """Check that no other user than root can rename what is in a directory above a state directory.

    The owner of a directory can do so even if it has the sticky bit (unlink(2)).

    Raises:
        StateError: Another user owns the directory, or may write in it.
    """
    with _file_errors(above):
        found = above.stat()
    if found.st_uid not in (0, os.geteuid()) and not _is_outside(found.st_uid):
        raise StateError(
            f"{above} belongs to another user (id {found.st_uid}), who could replace {home}; "
            "choose an HSM_HOME in a directory of your own"
        )
    mode = found.st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise StateError(
            f"other users may write in {above} (mode {stat.S_IMODE(mode):o}) and replace {home}; chmod o-w it"
        )


def _is_outside(user: int) -> bool:
    """Tell whether the id stands for users outside of this user namespace, as root is in a sandbox."""
    try:
        overflow = int(Path("/proc/sys/kernel/overflowuid").read_text("ascii"))
        mapped = [line.split() for line in Path("/proc/self/uid_map").read_text("ascii").splitlines()]
    except (OSError, ValueError):
        return False
    return user == overflow and not any(0 <= user - int(first) < int(count) for first, _, count in mapped)


def _require_own(home: Path) -> None:
    """Check that a directory has no other files than an HSM's, so that it can be backed up and removed as a whole.

    Raises:
        StateError: It has others.
    """
    foreign = sorted(path.name for path in home.iterdir() if not path.name.startswith(_OWN))
    if foreign:
        raise StateError(f"{home} has other files, such as {foreign[0]!r}; choose a new or an empty directory")


def _require_text(home: Path) -> None:
    """Check that a path is UTF-8, which messages, Java programs and configuration files need.

    Raises:
        StateError: It is not.
    """
    try:
        str(home).encode()
    except UnicodeEncodeError as error:
        raise StateError(f"the path {os.fsencode(home)!r} is not UTF-8; choose another state directory") from error


@contextmanager
def _file_errors(home: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise StateError(f"{home} is not a directory") from error
    except OSError as error:
        raise StoreFull(f"{home} cannot be written: {error.strerror}") from error
