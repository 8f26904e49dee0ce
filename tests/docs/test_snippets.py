"""Commands and code of the pages, run as they stand there. Longer ones have their tests beside what they show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.carriers.client import Client
from bridge.carriers.jvm import provider_jar
from hsmcore import Hsm
from tests.docs.pages import ROOT, commands
from tests.requirements import tool
from tests.site import Site, fresh_site

_DOCS = ROOT / "docs"
_ADMIN = b"admin-pass-1"


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def _run(script: str, folder: Path, environment: dict[str, str]) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment | {"PATH": path}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _without_fish(script: list[str]) -> list[str]:
    return [command for command in script if "fish" not in command]


def test_the_command_line_and_the_audit_log(tmp_path: Path) -> None:
    with fresh_site(tmp_path / "hsm") as site:
        _command_line(site, tmp_path)


def _command_line(site: Site, folder: Path) -> None:
    site.must("start")
    script = _without_fish(list(commands((_DOCS / "cli.md").read_text(encoding="utf-8"))))
    # The page's password is another one.
    script = [command.replace("cu1:a-good-password", f"cu1:{site.environment['HSM_PASSWORD']}") for command in script]
    assert len(script) == 6
    said = _run("\n".join(script), folder, site.environment)
    assert said.count('"error_code": 0') == 4
    (block,) = (block for block in _blocks(_DOCS / "audit.md", "console") if "audit list" in block)
    command, _, expected = block.partition("\n")
    listed = _run(command.removeprefix("$ "), folder, site.environment).strip().splitlines()
    shown = expected.strip().splitlines()
    assert [line.split(" : ")[0].split(":")[0] for line in listed] == [
        line.split(" : ")[0].split(":")[0] for line in shown
    ]
    assert listed[3:5] == shown[3:5]


def test_the_life_of_a_user(tmp_path: Path) -> None:
    block = _blocks(_DOCS / "users.md", "console")[0]
    with fresh_site(tmp_path / "hsm") as site:
        said = _run("\n".join(commands(f"```console\n{block}```")), tmp_path, site.environment)
    assert "Changed the password of crypto-user cu2" in said
    assert said.rstrip().endswith("Deleted crypto-user cu2")


def test_openssl_signs_tokens_as_the_page_says(tmp_path: Path) -> None:
    tool("jq")
    keys, factor, approval = _blocks(_DOCS / "users.md", "console")[1:4]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HSM_")}

    def run(block: str, key: str = "mfa.pem") -> None:
        _run("\n".join(commands(f"```console\n{block}```")).replace("key.pem", key), tmp_path, environment)

    with Hsm.initialize(tmp_path / "hsm", admin_password=_ADMIN) as hsm, Client.local(hsm) as client:
        client.call("LOGIN", "admin", _ADMIN, "admin")
        run(keys)
        (file,) = client.call("MFA_TOKEN", "admin", "admin")
        (tmp_path / "token.json").write_bytes(_bytes(file))
        run(factor)
        signed, public = (tmp_path / "signed.json").read_bytes(), (tmp_path / "mfa-public.pem").read_bytes()
        client.call("MFA_REGISTER", "admin", "admin", signed, public, None, False)

        # An approver of the page's name, who has a key of the same kind.
        client.call("USER_CREATE", "ad2", "admin", b"another-pass-1")
        with Client.local(hsm) as other:
            other.call("LOGIN", "ad2", b"another-pass-1", "admin")
            run(keys.replace("mfa", "ad2"))
            (file,) = other.call("QUORUM_TOKEN", "registration", None)
            (tmp_path / "token.json").write_bytes(_bytes(file))
            run(factor.replace("mfa.pem", "ad2.pem"))
            public = (tmp_path / "ad2-public.pem").read_bytes()
            other.call("QUORUM_REGISTER", public, (tmp_path / "signed.json").read_bytes())
        client.call("QUORUM_SET_VALUE", "quorum", 2)
        (file,) = client.call("QUORUM_TOKEN", "quorum", None)
        (tmp_path / "approval.json").write_bytes(_bytes(file))
        run(approval, "ad2.pem")
        (answer,) = client.call("QUORUM_APPROVE", (tmp_path / "approved.json").read_bytes())
        assert answer == {"approvals-required": 2, "number-of-approvals": 1}


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def test_the_readmes_java_compiles(tmp_path: Path) -> None:
    (code,) = _blocks(ROOT / "README.md", "java")
    source = tmp_path / "Example.java"
    source.write_text(
        "import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;\nimport java.security.*;\n"
        f"class Example {{ static void run() throws Exception {{\n{code}}} }}\n"
    )
    done = subprocess.run(
        [tool("javac"), "-Xlint:all", "-Werror", "-cp", str(provider_jar()), "-d", str(tmp_path), str(source)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.long  # tests/bridge/plugin has the fixture's tests
def test_the_readmes_pytest_passes(tmp_path: Path) -> None:
    (code,) = _blocks(ROOT / "README.md", "python")
    (tmp_path / "test_example.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
