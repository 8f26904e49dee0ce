"""The configuration file of a stock JVM: where it is found, what it says, how it is wrong, and the log."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.process.paths import socket_path
from tests.site import PASSWORD, Site, fresh_site

from .conftest import Desk, programs


@pytest.fixture(scope="module")
def open_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose HSM allows clear key extraction, with the test's program."""
    folder = tmp_path_factory.mktemp("desk")
    with fresh_site(tmp_path_factory.mktemp("hsm"), "--enable-clear-key-extraction") as site:
        site.must("start")
        environment = {name: value for name, value in site.environment.items() if name != "HSM_HOME"}
        yield Desk(Site(site.home, environment), folder)


def content(host: object, options: dict[str, object] | None = None, **more: object) -> dict[str, Any]:
    cluster = {"hsm_ca_file": "/opt/cloudhsm/etc/customerCA.crt", "options": options or {},
               "servers": [{"hostname": "10.0.0.9", "port": 2223, "enable": False}, {"hostname": host}]}  # fmt: skip
    return {"clusters": [{"type": "hsm2m", "cluster": cluster}], **more}


def run(desk: Desk, configuration: object, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = desk.folder / "cloudhsm-jce.cfg"
    path.write_text(configuration if isinstance(configuration, str) else json.dumps(configuration))
    command = ["java", f"-Dhsmbridge.config={path}", "-cp", programs(), "Configured", *words]
    return desk.run(*command, **variables)


def test_a_host_is_the_path_of_a_socket_or_is_mapped_to_one(open_desk: Desk) -> None:
    socket = str(socket_path(open_desk.site.home))
    for configuration, variables in (
        (content(socket), {}),
        (content("10.0.0.1"), {"HSM_CLUSTERS": f"10.0.0.1:2224=/nowhere/a, 10.0.0.1:2223={socket}"}),
        (content("HSM.example"), {"HSM_CLUSTERS": f"hsm.example={socket}"}),
        (content("10.0.0.1", hsmbridge={"sockets": {"10.0.0.1": socket}}), {}),
    ):
        done = run(open_desk, configuration, **variables)
        assert done.stdout == "RAW 44\nnot there\nrefused\n", done.stderr


def test_the_client_can_only_narrow_clear_extraction(open_desk: Desk, desk: Desk) -> None:
    option = "enable_clear_key_extraction_in_software"
    for one, allowed, said in ((open_desk, False, "opaque"), (open_desk, True, "RAW"), (desk, True, "opaque")):
        target = Desk(one.site, open_desk.folder)
        done = run(target, content(str(socket_path(one.site.home)), {option: allowed}))
        assert done.stdout.startswith(said), done.stderr


@pytest.mark.parametrize(("configuration", "said"), [
    ("", "is not JSON: line 1, column 1: expected a value"),
    ('{"clusters": [],}', "column 17: expected a name in quotes"),
    ('{"a": 1, "a": 2}', 'expected another name than "a"'),
    ('{"a": "\\x"}', "expected an escape"),
    ('{"a": 01}', "expected a value"),
    ("[" * 70, "expected less nesting"),
    ('{"a": 1} {', "expected nothing more"),
    ({}, "names no cluster"),
    ([], "is not an object"),
    ({"clusters": [{"cluster": {}}]}, "clusters[0].cluster has no server that is enabled"),
    (content(17), "clusters[0].cluster.servers[1].hostname is not a text"),
    ({"clusters": [{"cluster": {"servers": [{"hostname": "h", "port": "2223"}]}}]}, "port is not a whole number"),
    (content("h", {"disable_validate_key_at_init": "yes"}), "is not true or false"),
    (content("h", {"default_retry_mode": "often"}), "it is off or standard"),
    (content("h", logging={"log_level": "loud"}), "Unknown log level loud; known: [error, warn, info, debug"),
])  # fmt: skip
def test_a_wrong_file_is_an_io_exception_that_says_where(open_desk: Desk, configuration: object, said: str) -> None:
    done = run(open_desk, configuration)
    assert done.returncode == 1
    assert "java.io.IOException" in done.stderr
    assert said in done.stderr


def test_a_file_that_is_named_and_not_there(open_desk: Desk) -> None:
    command = ["java", "-cp", programs(), "Configured"]
    done = open_desk.run(*command, HSM_CONFIG="/nowhere/cloudhsm-jce.cfg")
    assert done.returncode == 1
    assert "java.nio.file.NoSuchFileException: /nowhere/cloudhsm-jce.cfg" in done.stderr


def test_wrong_mappings(open_desk: Desk) -> None:
    for mapping in ("10.0.0.1", "=/a", "10.0.0.1=relative"):
        done = run(open_desk, content("10.0.0.1"), HSM_CLUSTERS=mapping)
        assert done.returncode == 1
        assert "In HSM_CLUSTERS there is no host[:port]=/path/of/a/socket" in done.stderr


def test_the_log_tells_logins_and_refusals_and_no_secret(open_desk: Desk, tmp_path: Path) -> None:
    log = tmp_path / "run" / "cloudhsm-jce.log"
    settings = {"log_type": "file", "log_file": str(log), "log_level": "trace", "log_interval": "daily"}
    configuration = content(str(socket_path(open_desk.site.home)), logging=settings)
    unset = {
        name: value for name, value in open_desk.site.environment.items() if name not in ("HSM_USER", "HSM_PASSWORD")
    }
    stranger = Desk(Site(open_desk.site.home, unset), open_desk.folder)
    assert run(stranger, configuration, f"cu1:{PASSWORD}").returncode == 0
    wrong = "not-the-password"
    assert run(open_desk, configuration, HSM_PASSWORD=wrong).returncode == 1
    assert run(open_desk, configuration).returncode == 0
    lines = log.read_text().splitlines()
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z (ERROR|WARN|INFO|DEBUG|TRACE) \[[^\]]+\] .+", line) for line in lines
    )
    text = "\n".join(lines)
    for said in (
        "user cu1 has logged in", "the user has logged out", "with the credentials of the environment",
        "operation 2 refused with code 11", "operation 10 refused with code 30",
    ):  # fmt: skip
        assert said in text
    assert PASSWORD not in text
    assert wrong not in text


@pytest.mark.parametrize(("interval", "kept"), [
    ("hourly", "2026-01-02-03"), ("daily", "2026-01-02"), ("weekly", "2026-W01"), ("never", None),
])  # fmt: skip
def test_a_log_of_an_earlier_interval_is_kept_under_its_name(
    open_desk: Desk, tmp_path: Path, interval: str, kept: str | None
) -> None:
    log = tmp_path / "c.log"
    log.write_text("earlier\n")
    old = 1767323045  # 2026-01-02T03:04:05Z, a Friday
    os.utime(log, (old, old))
    settings = {"log_file": str(log), "log_interval": interval}
    assert run(open_desk, content(str(socket_path(open_desk.site.home)), logging=settings)).returncode == 0
    assert "has logged in" in log.read_text()
    if kept is None:
        assert log.read_text().startswith("earlier\n")
        assert [path.name for path in tmp_path.iterdir()] == ["c.log"]
    else:
        assert (tmp_path / f"c.log.{kept}").read_text() == "earlier\n"


def test_a_log_on_the_terminal_and_one_that_cannot_be_written(open_desk: Desk) -> None:
    socket = str(socket_path(open_desk.site.home))
    done = run(open_desk, content(socket, logging={"log_type": "TERM", "log_level": "INFO"}))
    assert done.returncode == 0
    assert "INFO [main] user cu1 has logged in" in done.stderr
    done = run(open_desk, content(socket, logging={"log_file": "/proc/nobody/c.log"}))
    assert done.returncode == 0
    assert "Nothing is logged" in done.stderr
