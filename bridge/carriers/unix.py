"""The daemon's Unix sockets. The kernel names the user and the groups of each client (unix(7))."""

from __future__ import annotations

import grp
import logging
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bridge.carriers import peer
from bridge.carriers.streams import Origin, PlainStream
from bridge.process.paths import socket_path
from bridge.process.peers import group_name, peer_in_group, peer_user, replaceable, user_name
from hsmcore.errors import StateError

_NO_GROUP = 2**32 - 1
"""Number that chown(2) takes for no change."""

_log = logging.getLogger("hsmbridge.daemon")


@dataclass(frozen=True, slots=True)
class GroupSocket:
    """A socket outside the state directory, for the members of an operating-system group."""

    group: int
    directory: Path

    @classmethod
    def of(cls, group: str, directory: Path) -> Self:
        """Return the socket for a group with this name or number.

        Raises:
            StateError: There is no such group.
        """
        if group.isdecimal() and int(group) < _NO_GROUP:
            return cls(int(group), directory.absolute())
        try:
            return cls(grp.getgrnam(group).gr_gid, directory.absolute())
        except KeyError as error:
            raise StateError(f"there is no group {group}; `groupadd --system {group}` makes one") from error


class UnixListener:
    """Listens at a path. The caller holds the lock of the state directory, so a socket that is there is stale.

    A client must have this process's user id or be root or, at a socket for a group, be a member of it.
    """

    def __init__(self, path: Path, group: int | None = None) -> None:
        """Listen.

        Args:
            path: The path of the socket.
            group: The number of the group whose members may connect; ``None`` for none.

        Raises:
            OSError: The socket cannot be made.
            StateError: This process is not a member of the group.
        """
        self._path = path
        self._group = group
        self.socket = _listen(path, group)
        self._bound = _identity(path)

    @classmethod
    def for_group(cls, place: GroupSocket) -> Self:
        """Listen for a group. The directory is made if it is missing.

        Raises:
            StateError: This process is not a member of the group, others could replace the socket, or another daemon
                has it.
        """
        path, user = socket_path(place.directory), os.geteuid()
        try:
            _make(place.directory)
            reason = replaceable(place.directory, user)
            if reason:
                raise StateError(f"another user could replace {path}: {reason}")
            _require_free(path)
            return cls(path, place.group)
        except OSError as error:
            raise StateError(
                f"the socket {path} cannot be made: {error.strerror}; `sudo install --directory --owner"
                f" {user_name(user)} --mode 755 {place.directory}` makes its directory"
            ) from error

    def accept(self) -> PlainStream | None:
        """Accept one connection; ``None`` if it is another user's.

        Raises:
            OSError: The kernel has no connection, or the process no descriptor for it.
        """
        connected, _ = self.socket.accept()
        user = peer_user(connected)
        if not self._admits(connected, user):
            _log.warning("refused a connection of the operating-system user %s", user_name(user))
            connected.close()
            return None
        origin = Origin.OWN if self._group is None else Origin.GROUP
        return PlainStream(connected, peer.FRAME_SECONDS, origin, user)

    def _admits(self, connected: socket.socket, user: int) -> bool:
        if user in (os.geteuid(), 0):
            return True
        try:
            return self._group is not None and peer_in_group(connected, self._group)
        except OSError as error:
            _log.warning("the kernel does not tell the groups of a process: %s", error)
            return False

    def close(self) -> None:
        """Stop listening, and remove the socket. A second call has no effect."""
        self.socket.close()
        bound, self._bound = self._bound, None
        # Another daemon's socket may be there now, if the state directory was moved and another one made.
        if bound is not None and _identity(self._path) == bound:
            self._path.unlink(missing_ok=True)


def _require_free(path: Path) -> None:
    """Check that nobody serves a socket. The lock of a state directory does not keep others away from this one.

    Raises:
        StateError: Another daemon does.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            pass
        except OSError:
            return
    raise StateError(f"another daemon serves {path}; choose another --socket-directory")


def _make(directory: Path) -> None:
    with suppress(FileExistsError):
        directory.mkdir()
        directory.chmod(0o755)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and number of a file; ``None`` where it does not exist."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _listen(path: Path, group: int | None) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the first moment, so it comes from the mask and not from a later chmod.
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    if group is not None:
        _give(path, group)
    listener.listen(128)
    listener.setblocking(False)
    return listener


def _give(path: Path, group: int) -> None:
    """Give a socket to a group.

    Raises:
        StateError: This process is not a member of the group.
    """
    try:
        os.chown(path, -1, group)
    except PermissionError as error:
        path.unlink()
        raise StateError(
            f"the operating-system user {user_name(os.geteuid())} is not a member of the group {group_name(group)}; "
            "the daemon's user must be one to have a socket for it"
        ) from error
    path.chmod(0o660)
