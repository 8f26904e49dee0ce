"""The systemd unit of the daemon, as it fits this installation (systemd.exec(5), systemd.service(5))."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.process.environment import CREDENTIAL
from bridge.process.paths import GROUP_DIRECTORY

NAME = "hsmbridge.service"
SYSTEM_HOME = Path("/var/lib/hsmbridge")
"""State directory of a system service; systemd creates it."""
SYSTEM_PASSPHRASE = Path("/etc/hsmbridge/passphrase")
_RUNTIME = Path("/run")
_SYSTEM_FOLDER = Path("/etc/systemd/system")
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))
"""The folders that ProtectHome=true hides."""
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - those that PrivateTmp=true replaces

_ALONE = """
# The service sees the file system read-only, except its state directory.
UMask=0077
ProtectSystem=strict
ProtectHome={protect_home}
PrivateTmp={private_tmp}
PrivateDevices=true
ProtectProc=invisible

# No core file, no swap and no other process receives keys.
LimitCORE=0
LimitMEMLOCK=infinity
MemorySwapMax=0
NoNewPrivileges=true
CapabilityBoundingSet=
AmbientCapabilities=
RestrictSUIDSGID=true
KeyringMode=private
{users}
RemoveIPC=true
ProtectHostname=true
ProtectClock=true
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
"""
"""For the system's service manager only: that of a user may not set these up."""
_SEES_USERS = "# PrivateUsers is not set: the daemon sees the users and groups of the members of its socket's group."
_OF_A_USER = """
# No core file. The service manager of a user cannot give the daemon a view of the file system of its own.
UMask=0077
LimitCORE=0
NoNewPrivileges=true
RestrictSUIDSGID=true
"""
_FILTERS = """
# Refuses system calls that the daemon does not need.
SystemCallArchitectures=native
SystemCallFilter=@system-service @memlock
SystemCallFilter=~@privileged @resources @mount @debug @cpu-emulation @obsolete
SystemCallFilter=prlimit64 setrlimit mlockall
SystemCallErrorNumber=EPERM
LockPersonality=true
RestrictNamespaces=true
RestrictRealtime=true
# MemoryDenyWriteExecute is not set: ctypes calls prctl and mlockall through libffi, which may need such memory.
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A daemon to run as a service.

    ``user`` is the operating-system user of a system service, empty for a service of the calling user. ``words`` are
    the options of ``hsm start``, ``passphrase`` the file with the master key's passphrase, and ``remote`` tells whether
    the daemon opens connections to other machines or accepts them. ``socket_group`` is the group that has a socket in
    ``socket_directory``, empty for none.
    """

    home: Path
    words: tuple[str, ...] = ()
    user: str = ""
    group: str = ""
    passphrase: Path | None = None
    remote: bool = False
    socket_group: str = ""
    socket_directory: Path = GROUP_DIRECTORY
    program: tuple[str, ...] = ()
    """The words that run ``hsm``; empty for those of this installation."""

    def unit(self) -> str:
        """Return the unit file."""
        return "\n".join([*self._unit(), *self._service(), "", "[Install]", f"WantedBy={self._target()}", ""])

    def file(self) -> Path:
        """Return the path of the unit file."""
        return unit_file(of_user=not self.user)

    def _target(self) -> str:
        return "multi-user.target" if self.user else "default.target"

    def _unit(self) -> Iterator[str]:
        yield "# Written by `hsm service install`."
        yield from ("[Unit]", "Description=hsmbridge, a software HSM", "Documentation=man:hsm(1)")
        yield "After=network-online.target local-fs.target" if self.remote else "After=local-fs.target"
        if self.remote:
            yield "Wants=network-online.target"
        yield ""

    def _service(self) -> Iterator[str]:
        program = self.program or installed_program()
        yield from ("[Service]", "Type=notify", "NotifyAccess=main")
        if self.user:
            yield f"User={self.user}"
            yield f"Group={self.group or self.user}"
        if self.socket_group:
            yield "# A process gives its own files to its own groups only."
            yield f"SupplementaryGroups={self.socket_group}"
        yield f"Environment={_quoted(f'HSM_HOME={self.home}')}"
        if self.passphrase is not None:
            yield "# The daemon alone can read this copy of the file."
            yield f"LoadCredential={CREDENTIAL}:{_escaped(str(self.passphrase))}"
        yield "ExecStart=" + " ".join(_quoted(word) for word in (*program, "start", "--foreground", *self.words))
        yield from ("Restart=on-failure", "RestartSec=2", "TimeoutStopSec=15")
        if self.user:
            yield from self._directories()
        yield (self._alone(program) if self.user else _OF_A_USER).rstrip()
        yield ""
        if self.remote:
            yield from ("# Allows the Unix socket, and connections of other machines.",
                        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6")  # fmt: skip
        else:
            yield from ("# Allows the Unix socket, and metrics on the loopback interface.",
                        "RestrictAddressFamilies=AF_UNIX AF_INET")  # fmt: skip
            if self.user:
                yield from ("IPAddressDeny=any", "IPAddressAllow=localhost")
        yield _FILTERS.rstrip()
        if self.socket_group:
            yield from ("# Gives the socket to the group.", "SystemCallFilter=@chown")

    def _directories(self) -> Iterator[str]:
        """Yield the directives for the state directory, and that of the socket for a group."""
        if self.socket_group and _RUNTIME in self.socket_directory.parents:
            below = self.socket_directory.relative_to(_RUNTIME)
            yield from (f"RuntimeDirectory={_quoted(str(below))}", "RuntimeDirectoryMode=0755")
        elif self.socket_group:
            yield f"ReadWritePaths={_quoted(str(self.socket_directory))}"
        if self.home == SYSTEM_HOME:
            yield from (f"StateDirectory={self.home.name}", "StateDirectoryMode=0700")
        else:
            yield f"ReadWritePaths={_quoted(str(self.home))}"

    def _alone(self, program: tuple[str, ...]) -> str:
        needed = [self.home, Path(program[0])]
        if self.socket_group:
            needed.append(self.socket_directory)
        if not self.program:
            needed += [Path(__file__), Path(sys.executable).resolve(), Path(sys.prefix)]
        hidden = any(path.is_relative_to(folder) for path in needed for folder in _HIDDEN)
        temporary = any(path.is_relative_to(folder) for path in needed for folder in _TEMPORARY)
        return _ALONE.format(
            protect_home="read-only" if hidden else "true",
            private_tmp="false" if temporary else "true",
            users=_SEES_USERS if self.socket_group else "PrivateUsers=true",
        )


def unit_file(*, of_user: bool) -> Path:
    """Return the path of the unit file of the system, or of the calling user."""
    folder = Path.home() / ".config" / "systemd" / "user" if of_user else _SYSTEM_FOLDER
    return folder / NAME


def installed_program() -> tuple[str, ...]:
    """Return the words that run ``hsm`` of this installation: its program, or Python with the package."""
    beside = Path(sys.executable).with_name("hsm")
    return (str(beside),) if beside.exists() else (sys.executable, "-m", "bridge")


def _escaped(text: str) -> str:
    """Escape what has a meaning in a value of a unit file (systemd.unit(5), "Specifiers")."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """Return a word of a command line of a unit file (systemd.service(5), "Command lines")."""
    word = _escaped(word).replace("$", "$$")
    if word and shlex.quote(word.replace("$", "").replace("%", "")) == word.replace("$", "").replace("%", ""):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
