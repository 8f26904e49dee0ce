"""A private PostgreSQL for tests, with a directory and a port of its own. The server refuses to run as root."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.requirements import missing

USER = "postgres"
_START_SECONDS = 60


def programs() -> Path:
    """Return the directory of the newest server's programs, or skip."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        missing("PostgreSQL's server is missing")
    return (found[-1] if found else Path(str(on_path))).parent


def _command(*words: str | Path) -> list[str]:
    as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    return [*as_user, *map(str, words)]


class Server:
    """One server. ``settings`` are lines of its configuration."""

    def __init__(self, *settings: str) -> None:
        self._bin = programs()
        self.root = Path(tempfile.mkdtemp(prefix="hsmbridge-pg-"))
        self.data = self.root / "data"
        if os.geteuid() == 0:
            shutil.chown(self.root, USER)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._make()
        lines = [f"port = {self.port}", f"unix_socket_directories = '{self.root}'", "max_connections = 200", *settings]
        subprocess.run(
            _command("tee", "-a", self.data / "postgresql.conf"), input="\n".join(lines).encode() + b"\n",
            stdout=subprocess.DEVNULL, check=True, timeout=60,
        )  # fmt: skip
        self.start()

    def _make(self) -> None:
        self._run("initdb", "--no-sync", "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C", "-D", self.data)

    def _run(self, name: str, *words: str | Path) -> None:
        subprocess.run(
            _command(self._bin / name, *words), cwd=self.root, stdout=subprocess.DEVNULL, check=True, timeout=120,
        )  # fmt: skip

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(
            _command(self._bin / "postgres", "-D", self.data), cwd=self.root, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=(self.root / "log").open("ab"), start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with suppress(psycopg.OperationalError):
                self.connect().close()
                return
            assert time.monotonic() < deadline, (self.root / "log").read_text()[-2000:]
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """The number of the server's first process."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """End the server at once, as a power cut of its process does; its other processes follow it."""
        if self._process is not None:
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait(timeout=60)
            self._process = None
            self._wait_for_children()

    def _wait_for_children(self) -> None:
        # A new server refuses to start while a process of the old one has its shared memory.
        deadline = time.monotonic() + 30
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _alive(self) -> bool:
        for found in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if found.readlink() == self.data:
                    return True
            except OSError:
                continue
        return False

    def stop(self) -> None:
        """End the server in its own time, without waiting for its clients."""
        if self._process is not None:
            os.kill(self.pid, signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        """End the server and remove its files."""
        self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection of the database's administrator."""
        return psycopg.connect(self.url("postgres"), autocommit=True)

    def tablespace(self, name: str, folder: Path) -> None:
        """Make a tablespace in an empty directory."""
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        with self.connect() as connection:
            connection.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")

    def settle_on_standby(self) -> None:
        """Acknowledge a transaction from now on when a standby has applied it."""
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("ALTER SYSTEM SET synchronous_commit = 'remote_apply'")
            connection.execute("SELECT pg_reload_conf()")

    def url(self, database: str, schema: str = "") -> str:
        """Return the URL of a database, or of a schema in it."""
        own = f"&options=-csearch_path%3D{schema}" if schema else ""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}?sslmode=disable{own}"

    def new(self) -> str:
        """Return the URL of an empty schema, which is created more quickly than a database and does as well."""
        name = f"hsm_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return self.url("postgres", name)


class Standby(Server):
    """A copy of a running server that follows it."""

    def __init__(self, primary: Server) -> None:
        self._primary = primary
        super().__init__()

    def _make(self) -> None:
        source = f"host=127.0.0.1 port={self._primary.port} user={USER}"
        self._run("pg_basebackup", "-R", "-c", "fast", "-d", source, "-D", self.data)

    def promote(self) -> None:
        """Make it the primary, and wait until it takes changes."""
        self._run("pg_ctl", "promote", "-w", "-D", self.data)
