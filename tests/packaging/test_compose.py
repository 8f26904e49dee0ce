"""The compose file of a cluster: it is whole, and its settings make two HSMs of one cluster, as processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bridge.carriers.client import Client
from bridge.process.addresses import Address
from bridge.process.configuration import Certificates, Servers
from tests.clusters import HOSTS, free_port
from tests.docs.pages import ROOT
from tests.postgresql import Server

_ENTRY_POINT = (ROOT / "packaging" / "container" / "entrypoint").read_text()
_COMPOSE = ROOT / "packaging" / "compose.yaml"
_GIVEN = {"HSM_DB_PASSWORD": "dbpassword1", "HSM_PASSPHRASE": "a-good-passphrase", "HSM_USER": "cu1",
          "HSM_PASSWORD": "container-pass-1"}  # fmt: skip
"""The variables that the file's first lines ask for."""
_READ_BY_HSM = {"HSM_STORE", "HSM_PASSPHRASE", "HSM_USER", "HSM_PASSWORD"}


def _parsed(text: str) -> dict[str, Any]:
    """Read the part of YAML that the file has: maps, lists of texts and comments, two spaces a level."""
    root: dict[str, Any] = {}
    levels: list[Any] = [root]
    last = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        assert "\t" not in line, number
        assert indent % 2 == 0, number
        item = re.fullmatch(r"- (.+)", line.strip())
        if item:
            parent = levels[indent // 2 - 1]
            parent.setdefault(last, [])
            if not isinstance(parent[last], list):
                parent[last] = []
            parent[last].append(item[1].strip('"'))
            continue
        pair = re.fullmatch(r"([\w-]+):(?: (.+))?", line.strip())
        assert pair, f"line {number}: {line}"
        del levels[indent // 2 + 1 :]
        name, value = pair.groups()
        assert name not in levels[-1], f"line {number}: {name} twice"
        levels[-1][name] = value.strip('"') if value else {}
        last = name
        if not value:
            levels.append(levels[-1][name])
    return root


def test_the_compose_file_is_whole() -> None:
    read = _parsed(_COMPOSE.read_text())
    services = read["services"]
    assert services.keys() == {"db", "hsm1", "hsm2"}
    for name in ("hsm1", "hsm2"):
        variables = services[name]["environment"]
        for variable in variables.keys() - _READ_BY_HSM:
            assert variable in _ENTRY_POINT, variable
        assert variables["HSM_STORE"] == services["hsm1"]["environment"]["HSM_STORE"]
        assert services[name]["depends_on"].keys() <= services.keys()
    assert "HSM_JOIN" in services["hsm2"]["environment"]
    named = {volume.partition(":")[0] for service in services.values() for volume in service["volumes"]}
    assert named == read["volumes"].keys()


def _variables(service: Mapping[str, Any], folder: Path, database: Server) -> dict[str, str]:
    """Return the variables of a service for a process: the file's, with this machine's places."""
    filled = {
        name: re.sub(r"\$\{(\w+):\?\}", lambda found: _GIVEN[found[1]], value)
        for name, value in service["environment"].items()
    }
    assert "$" not in "".join(filled.values())
    filled["HSM_STORE"] = filled["HSM_STORE"].replace("@db/", f"@127.0.0.1:{database.port}/")
    filled["HSM_CA"] = f"{folder}{filled['HSM_CA']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | filled | {"PATH": path}


@contextmanager
def _served(variables: dict[str, str]) -> Iterator[None]:
    """Run the entry point until the health check of the image succeeds; end it with SIGTERM."""
    script = ROOT / "packaging" / "container" / "entrypoint"
    with subprocess.Popen(
        ["sh", str(script)], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            for _ in range(240):
                if subprocess.run(["hsm", "status"], env=variables, capture_output=True, timeout=60).returncode == 0:
                    break
                assert process.poll() is None, process.communicate()[0]
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said


def test_two_hsms_with_the_settings_of_the_file(tmp_path: Path) -> None:
    services = _parsed(_COMPOSE.read_text())["services"]
    database = Server()
    with ExitStack() as stack:
        stack.callback(database.close)
        with database.connect() as connection:
            owner = services["db"]["environment"]["POSTGRES_USER"]
            connection.execute(f"CREATE ROLE {owner} LOGIN PASSWORD '{_GIVEN['HSM_DB_PASSWORD']}'")
            connection.execute(f"CREATE DATABASE {services['db']['environment']['POSTGRES_DB']} OWNER {owner}")
        clients = []
        for host, name in zip(HOSTS, ("hsm1", "hsm2"), strict=False):
            port = free_port(host)
            own = {"HSM_HOME": str(tmp_path / name), "HSM_LISTEN": f"{host}:{port}"}
            variables = _variables(services[name], tmp_path, database) | own
            # A client compares the address that it uses with the certificate's names: here it is not 127.0.0.1.
            assert "127.0.0.1" in variables["HSM_TLS_NAME"].split()
            variables["HSM_TLS_NAME"] += f" {host}"
            stack.enter_context(_served(variables))
            servers = Servers((Address(host, port),), Certificates(tmp_path / "ca" / "customerCA.crt"))
            clients.append(stack.enter_context(Client.connect_to(servers)))
            clients[-1].call("LOGIN", _GIVEN["HSM_USER"], _GIVEN["HSM_PASSWORD"].encode(), "crypto-user")
        clients[0].call("GENERATE_KEY", "AES_KEY_GEN", {"LABEL": "shared", "SIZE": 256, "TOKEN": True})
        assert [len(client.found_keys({"LABEL": "shared"})) for client in clients] == [1, 1]
