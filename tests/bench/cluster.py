"""Numbers of a cluster on a private PostgreSQL: ``python -m tests.bench.cluster``.

Each line has an aim. Rates and times that are compared are measured in turn.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console

from hsmcore import Hsm
from tests import password_cost
from tests.bench import growth, subjects
from tests.clusters import cluster_of, configured, served_over_tls
from tests.hsmcore.cluster.actor import Actor
from tests.hsmcore.cluster.conftest import make_cluster
from tests.hsmcore.conftest import ADMIN_PASSWORD, PASSWORDS
from tests.postgresql import Server

_ROUNDS = 9
_GCM, _SIGN = "AES-256-GCM encrypt 1024 B", "P-256 sign"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster", description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--only", choices=sorted(_PARTS), action="append", help="a part; all without")
    options = parser.parse_args()
    password_cost.lower()
    console = Console(width=140)
    server = Server()
    try:
        with tempfile.TemporaryDirectory(prefix="hsmbridge-cluster-") as folder:
            for name in options.only or _PARTS:
                for text, value, aim in _PARTS[name](Path(folder) / name, server, options.keys):
                    console.print(f"{text}: {value:.3f} ({aim})")
    finally:
        server.close()


_Line = tuple[str, float, str]


def _acknowledgement(root: Path, server: Server, _keys: int) -> Iterator[_Line]:
    homes = (root / "one", root / "two")
    make_cluster(homes, server.new())
    hsms = [Actor(home) for home in homes]
    try:
        users = [hsm.login("cu1", PASSWORDS["cu1"]) for hsm in hsms]
        times = []
        for _ in range(200):
            key = hsms[0]("keys.generate", users[0], "AES_KEY_GEN", {"TOKEN": True}).handle
            hsms[1]("crypto.encrypt", users[1], key, "AES_GCM", None, b"text")
            times.append(_seconds(lambda key=key: hsms[0]("keys.destroy", users[0], key)))  # type: ignore[misc]
        yield "destroy with two HSMs, median, ms", 1000 * median(times), "below 20"
    finally:
        for hsm in hsms:
            hsm.close()


def _uses(root: Path, server: Server, _keys: int) -> Iterator[_Line]:
    with ExitStack() as stack:
        uses = []
        for name, store in (("sqlite", None), ("postgresql", server.new())):
            hsm = stack.enter_context(Hsm.initialize(root / name, admin_password=ADMIN_PASSWORD, store=store))
            admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
            hsm.users.create(admin, "cu1", "crypto-user", PASSWORDS["cu1"])
            user = hsm.users.login("cu1", PASSWORDS["cu1"])
            key = hsm.keys.generate(user, "AES_KEY_GEN", {"TOKEN": True}).handle

            def use(hsm: Hsm = hsm, user: object = user, key: int = key) -> None:
                for _ in range(20_000):
                    hsm.crypto.encrypt(user, key, "AES_GCM", None, b"text")  # type: ignore[arg-type]

            use()
            uses.append(use)
        ratios = []
        for _ in range(_ROUNDS):
            sqlite, postgresql = map(_seconds, uses)
            ratios.append(sqlite / postgresql)
        yield "uses of a loaded key, PostgreSQL to SQLite", median(ratios), "at least 0.95"


def _opening(root: Path, server: Server, keys: int) -> Iterator[_Line]:
    homes = []
    for size in (10, keys):
        home = root / str(size)
        with Hsm.initialize(home, admin_password=ADMIN_PASSWORD, store=server.new()) as hsm:
            admin = hsm.users.login("admin", ADMIN_PASSWORD, "admin")
            hsm.users.create(admin, "cu1", "crypto-user", b"bench-password")
        growth.fill(home, size)
        homes.append(home)
    with server.connect() as connection:
        connection.execute("VACUUM ANALYZE")
    ratios = []
    for _ in range(_ROUNDS):
        few, many = (_seconds(lambda home=home: Hsm.open(home).close()) for home in homes)  # type: ignore[misc]
        ratios.append(many / few)
    yield f"opening an HSM of {keys:,} keys to one of 10", median(ratios), "at most 1.2"


def _two(root: Path, server: Server, _keys: int) -> Iterator[_Line]:
    """Two clusters, of one HSM and of two."""
    with ExitStack() as stack:
        clients = []
        for number in (1, 2):
            folder = root / str(number)
            folder.mkdir(parents=True)
            sites = stack.enter_context(cluster_of(folder, server.new(), number))
            configuration = configured(sites, served_over_tls(sites, folder), folder / "client.cfg")
            clients.append(stack.enter_context(_client(folder, configuration, sites[0].environment)))
        for operation, aim in ((_GCM, "at least 1.25"), (_SIGN, "at least 1")):
            ratios = []
            for number in range(-2, _ROUNDS):
                one, two = (client.rate(operation, 4, 1000) for client in clients)
                if number >= 0:
                    ratios.append(two / one)
            yield f"two HSMs to one, {operation}, 4 threads", median(ratios), aim


@contextmanager
def _client(root: Path, configuration: Path, environment: dict[str, str]) -> Iterator[subjects.Subject]:
    kept = {name: value for name, value in environment.items() if name != "HSM_HOME"}
    subprocess.run(["javac", "-d", str(root), str(Path(subjects.__file__).with_name("Bench.java"))], check=True)
    (root / "provider.security").write_text(subjects.registration())
    command = [
        "java", f"-Djava.security.properties={root / 'provider.security'}", f"-Dhsmbridge.config={configuration}",
        "-cp", f"{root}:{subjects.jar(dict(os.environ))}", "Bench", "hsm", "1024",
    ]  # fmt: skip
    with subjects.running(command, kept) as subject:
        yield subject


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


_PARTS: dict[str, Callable[[Path, Server, int], Iterator[_Line]]] = {
    "acknowledgement": _acknowledgement,
    "uses": _uses,
    "opening": _opening,
    "two": _two,
}

if __name__ == "__main__":
    main()
