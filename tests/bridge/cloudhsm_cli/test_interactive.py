"""The interactive mode at a terminal: prompts, completion, history, help, interruption."""

from __future__ import annotations

import pexpect
import pytest

from .conftest import BIN, PASSWORDS, Site

PROMPT = "aws-cloudhsm >"
UP, TAB, CTRL_C, CTRL_D = "\x1b[A", "\t", "\x03", "\x04"


def _start(site: Site, *words: str) -> pexpect.spawn:
    environment = site.environment(None) | {"PROMPT_TOOLKIT_NO_CPR": "1", "LINES": "40", "COLUMNS": "200"}
    child = pexpect.spawn(
        str(BIN / "cloudhsm-cli"), ["interactive", *words], env=environment, cwd=str(site.work), encoding="utf-8",
        timeout=60, dimensions=(40, 200),
    )  # fmt: skip
    child.expect_exact(PROMPT)
    return child


def _say(child: pexpect.spawn, line: str, *expected: str) -> None:
    child.send(line + "\r")
    for text in expected:
        child.expect_exact(text)


def _end(child: pexpect.spawn, status: int = 0) -> None:
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == status


def test_a_session(site: Site) -> None:
    child = _start(site, "--cluster-id", "cluster-1")
    _say(child, "key list", '"error_code": 1', "needs a login", PROMPT)
    _say(child, "login --username cu1 --role crypto-user", "Enter password:")
    _say(child, PASSWORDS["cu1"], '"error_code": 0', '"username": "cu1"')
    assert PASSWORDS["cu1"] not in (child.before or "")
    child.expect_exact(PROMPT)
    _say(child, "login --username cu2 --role crypto-user --password x", "is logged in; log out first", PROMPT)
    _say(child, "key generate-symmetric aes --label typed --key-length-bytes 32 --session", '"session"', PROMPT)
    _say(child, "key list --filter attr.label=typed", '"total_key_count": 1', PROMPT)
    # The arrow brings the line back, but no line with a password.
    _say(child, UP, "attr.label=typed", '"total_key_count": 1', PROMPT)
    _say(child, "logout", "Logout successful", PROMPT)
    _say(child, "logout", '"error_code": 1', PROMPT)
    _say(child, "", PROMPT)
    _say(child, "quit")
    _end(child)
    assert site.run("key", "list", user="cu1").data == {
        "matched_keys": [], "total_key_count": 0, "returned_key_count": 0,
    }  # fmt: skip


def test_history_keeps_no_password(site: Site) -> None:
    child = _start(site)
    _say(child, f"login --username cu1 --role crypto-user --password {PASSWORDS['cu1']}", '"error_code": 0', PROMPT)
    child.send(UP + "cluster hsm-info\r")
    child.expect_exact('"hsms"')
    child.expect_exact(PROMPT)
    child.send(CTRL_D)
    _end(child)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("clus" + TAB + " hs" + TAB, '"hsms"'),
        ("cluster hsm-info --clus" + TAB + " x", '"hsms"'),
        ("crypto sign ecdsa --hash-function sha38" + TAB + " --data YQ== --key-filter x=y", "attr.NAME=VALUE"),
        ("crypto sign ecdsa --hash-function sha256 --data-path some-fi" + TAB + " --key-filter x", "some-file"),
    ],
)
def test_completion(site: Site, typed: str, completed: str) -> None:
    (site.work / "some-file").write_bytes(b"")
    child = _start(site)
    _say(child, f"login --username cu1 --role crypto-user --password {PASSWORDS['cu1']}", '"error_code": 0', PROMPT)
    _say(child, typed, completed, PROMPT)
    _say(child, "quit")
    _end(child)


def test_help_and_interruption(site: Site) -> None:
    child = _start(site)
    _say(child, "help", "generate-symmetric", PROMPT)
    _say(child, "help key share", "Usage: key share", "--filter", PROMPT)
    _say(child, "key share --help", "Usage: key share", PROMPT)
    _say(child, "help wrong", '"error_code": 1', PROMPT)
    child.send("key li" + CTRL_C)
    child.expect_exact(PROMPT)
    _say(child, "login --username cu1 --role crypto-user", "Enter password:")
    child.send(CTRL_C)
    child.expect_exact("interrupted")
    child.expect_exact(PROMPT)
    child.send(CTRL_D)
    _end(child)


def test_new_passwords_are_typed_twice(site: Site) -> None:
    child = _start(site)
    _say(child, "login --username admin --role admin", "Enter password:")
    _say(child, PASSWORDS["admin"], '"error_code": 0', PROMPT)
    _say(child, "user create --username typed --role crypto-user", "Enter password:")
    _say(child, "one-password", "Confirm password:")
    _say(child, "two-password", "do not match", PROMPT)
    _say(child, "user create --username typed --role crypto-user", "Enter password:")
    _say(child, "one-password", "Confirm password:")
    _say(child, "one-password", '"username": "typed"', PROMPT)
    _say(child, "user delete --username typed --role crypto-user", '"error_code": 0', PROMPT)
    _say(child, "quit")
    _end(child)


def test_lines_from_a_pipe(site: Site) -> None:
    """Answers to prompts come from the same input; a failed command shows in the exit status."""
    lines = [
        "login --username admin --role admin",
        PASSWORDS["admin"],
        "user change-password --username cu2 --role crypto-user",
    ]
    typed = "\n".join([*lines, PASSWORDS["cu2"], PASSWORDS["cu2"], "logout", "quit", "not reached"])
    done = site.run("interactive", typed=typed)
    assert [answer["error_code"] for answer in done.objects] == [0, 0, 0]
    assert done.status == 0
    assert PASSWORDS["cu2"] not in done.text + done.errors
    failed = site.run("interactive", typed="login --username admin --role admin\n")
    assert "there is no answer" in failed.error
