"""kill -9 of HSMs of a cluster under Java clients: no acknowledged change is lost, none is made twice."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from tests import jdk
from tests.clusters import cluster_of, configured, kill_daemon, served_over_tls, start
from tests.conftest import Tally, repeated
from tests.postgresql import Server
from tests.site import Site

ROUNDS = repeated(1, 10, "HSMBRIDGE_CLUSTER_KILLS")
CLIENTS, THREADS = 3, 8


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server()
    try:
        yield started
    finally:
        started.close()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_hsms_that_are_killed_under_java_clients(tmp_path: Path, server: Server, tally: Tally) -> None:
    chance, counts = random.Random(5), Counter[str]()
    classes = jdk.classes(Path(__file__).parent / "java")
    with cluster_of(tmp_path, server.new()) as sites, ExitStack() as stack:
        ports = served_over_tls(sites, tmp_path)
        configuration = configured(sites, ports, tmp_path / "churn.cfg")
        programs = [_started(stack, configuration, classes, sites[0], f"c{number}") for number in range(CLIENTS)]
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.2, 1))
            victim = chance.randrange(len(sites))
            kill_daemon(sites[victim])
            time.sleep(chance.uniform(0, 0.5))
            start(sites[victim], ports[victim])
        made, destroyed, unknown = set[str](), set[str](), set[str]()
        for program in programs:
            printed, _ = program.communicate(timeout=120)
            assert program.returncode == 0
            for what, label in (line.split(" ") for line in printed.splitlines() if " " in line):
                {"made": made, "destroyed": destroyed, "unknown": unknown}[what].add(label)
            counts.update({name: int(value) for name, _, value in map(_pair, printed.splitlines()) if value})
        _check(sites, made, destroyed, unknown)
    assert counts["wrong"] == 0
    assert min(counts["signatures"], len(made), len(destroyed)) > 0
    tally(f"{ROUNDS} HSMs killed under {CLIENTS} clients with {THREADS} threads, nothing lost, nothing twice").update(
        counts | {"made": len(made), "destroyed": len(destroyed), "unknown": len(unknown)}
    )


def _pair(line: str) -> tuple[str, str, str]:
    return line.partition("=")


def _started(
    stack: ExitStack, configuration: Path, classes: Path, site: Site, name: str
) -> subprocess.Popen[str]:  # fmt: skip
    environment = {key: value for key, value in site.environment.items() if key != "HSM_HOME"}
    program = subprocess.Popen(
        [*jdk.command("java"), f"-Dhsmbridge.config={configuration}",
         "-cp", f"{classes}:{provider_jar()}", "Churn", name, str(THREADS)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    stack.callback(program.kill)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def _check(sites: list[Site], made: set[str], destroyed: set[str], unknown: set[str]) -> None:
    """Both HSMs have the acknowledged keys, each once; a key whose last change failed may be there or not."""
    for site in sites:
        labels = Counter(_labels(site))
        assert max(labels.values()) == 1, labels.most_common(3)
        assert not destroyed & labels.keys(), "a destroyed key is there"
        assert made - destroyed - unknown <= labels.keys(), "an acknowledged key is lost"
        assert labels.keys() <= made | unknown, "a key is there that nobody made"
        assert json.loads(site.must("audit", "verify", "--json"))["findings"] == []


def _labels(site: Site) -> list[str]:
    return [key["LABEL"] for key in json.loads(site.must("key", "list", "--json"))]
