"""The manual pages ``hsm.1`` and ``cloudhsm-cli.1``, generated from the tables of commands.

::

    python docs/man_pages.py packaging/man
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import click

from bridge.cli import cloudhsm
from bridge.cli.commands import hsm
from bridge.cloudhsm_cli.commands import COMMANDS
from bridge.cloudhsm_cli.manual import explained, usage
from bridge.cloudhsm_cli.table import COMMON, PROGRAM

_ENVIRONMENT = {
    "HSM_HOME": "The state directory.",
    "HSM_SOCKET": "The socket of the daemon for Java programs; by default that in the state directory.",
    "HSM_USER, HSM_PASSWORD": "Name and password of a crypto user.",
    "HSM_ADMIN_PASSWORD": "The password of the user admin.",
    "CLOUDHSM_ROLE, CLOUDHSM_PIN": "Role (admin or crypto-user) and username:password; they take precedence.",
    "HSM_PASSPHRASE": "The passphrase that seals the master key.",
    "HSM_STORE": "The URL of the database of PostgreSQL in which hsm init keeps the HSM.",
    "HSM_FILE_PASSWORD": "The password of another program's key store file.",
    "HSM_KEY_PASSWORD": "The password of keys in such a file that have their own.",
    "HSM_KEYSTORE_PASSWORD": "The password of the CloudHSM key store file.",
    "HSM_CONFIG": "The configuration file of Java programs.",
    "HSM_CLUSTERS": "The sockets that stand for hosts in Java programs.",
    "HSM_TIMEOUT": "Seconds that a Java or PKCS #11 program waits for the HSM.",
    "JAVA_HOME": "The JDK.",
}
"""Variables of both programs, with their meaning."""
_HSM_FILES = {
    "$HSM_HOME": "The state directory; by default hsmbridge in the XDG data directory (~/.local/share).",
    "$HSM_HOME/hsm.sock": "The socket of the daemon.",
    "$HSM_HOME/hsm.log": "The log of the daemon.",
}
_STATUS = {
    "hsm": {"0": "Success.", "1": "The command failed; the message says why.", "2": "The command line is wrong."},
    PROGRAM: {"0": "Success.", "1": "The command failed, or the command line is wrong."},
}


def pages() -> dict[str, str]:
    """Return the pages by their file names."""
    return {"hsm.1": _page(_hsm()), f"{PROGRAM}.1": _page(_cloudhsm_cli())}


def _page(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _hsm() -> Iterator[str]:
    yield from _head("hsm", "a software HSM for Java programs")
    yield from (".SH SYNOPSIS", r"\fBhsm\fR [\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]...")
    yield ".SH DESCRIPTION"
    yield from _prose(hsm)
    yield from (".SH OPTIONS", *_click_options(hsm, "hsm"), *_item("-h, --help", "Print help; also after a command."))
    yield ".SH COMMANDS"
    context = click.Context(hsm)
    for name in hsm.list_commands(context):
        command = hsm.get_command(context, name)
        if command is not None:
            yield from _click_command(command, f"hsm {name}")
    yield ".SH COMMANDS OF CLOUDHSM"
    groups = sorted({command.words[0] for command in COMMANDS})
    yield _plain(f"hsm also runs the commands of {PROGRAM}(1), except those above: {', '.join(groups)}, interactive.")
    yield from _tail("hsm", f"{PROGRAM}(1), keytool(1), jarsigner(1), java(1)")


def _cloudhsm_cli() -> Iterator[str]:
    yield from _head(PROGRAM, "CloudHSM's command line for a software HSM")
    name = _escaped(PROGRAM)
    yield from (".SH SYNOPSIS", rf"\fB{name}\fR \fICOMMAND\fR [\fIOPTIONS\fR]", ".br", rf"\fB{name} interactive\fR")
    yield ".SH DESCRIPTION"
    yield _plain(
        "Every command prints one JSON object: error_code 0 and the data, or error_code 1 and a message. interactive "
        "reads commands at a prompt. A value that begins with a dash needs an equals sign: --label=-x. Without a "
        "password option the program asks at the terminal, or reads one line of standard input."
    )
    yield from (".SH OPTIONS", _plain("Every command accepts these."))
    for option in COMMON:
        yield from _item(option.usage(), explained(option))
    yield from _item("-h, --help", "Print help.")
    yield ".SH COMMANDS"
    for command in COMMANDS:
        yield from (f".SS {_quoted(usage(command))}", _plain(f"{command.help}."))
        roles = " or ".join(command.roles)
        yield _plain(f"Not available: {command.missing}." if command.missing else f"Login: {roles or 'none'}.")
        for option in command.options:
            if option not in COMMON:
                yield from _item(option.usage(), explained(option))
    yield from _tail(PROGRAM, "hsm(1)")


def _head(name: str, purpose: str) -> Iterator[str]:
    yield r".\" Written by docs/man_pages.py from the table of commands; make docs."
    yield f'.TH {name.upper()} 1 "" "hsmbridge {version("hsmbridge")}" "hsmbridge"'
    yield from (".SH NAME", rf"{_escaped(name)} \- {_escaped(purpose)}")


def _tail(name: str, others: str) -> Iterator[str]:
    for title, rows in (("ENVIRONMENT", _ENVIRONMENT), ("FILES", _HSM_FILES), ("EXIT STATUS", _STATUS[name])):
        yield f".SH {title}"
        for term, meaning in rows.items():
            yield from _item(term, meaning)
    yield from (".SH SEE ALSO", _plain(others))


def _click_command(command: click.Command, path: str) -> Iterator[str]:
    if command.hidden or isinstance(command, cloudhsm.Passed):
        return
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _click_command(below, f"{path} {name}")
        return
    pieces = command.collect_usage_pieces(click.Context(command, info_name=path))
    yield f".SS {_quoted(' '.join([path, *pieces]))}"
    yield from _prose(command)
    yield from _click_options(command, path)


def _prose(command: click.Command) -> Iterator[str]:
    for number, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b"):
            yield from (".nf", *map(_plain, paragraph.removeprefix("\b").strip("\n").splitlines()), ".fi")
        else:
            yield _plain(" ".join(paragraph.split()))


def _click_options(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            yield from _item(record[0], " ".join(record[1].split()))


def _item(term: str, meaning: str) -> Iterator[str]:
    yield from (".TP", rf"\fB{_escaped(term)}\fR", _plain(meaning))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")


def _plain(text: str) -> str:
    """Return a line of text; a period at its beginning is no request."""
    escaped = _escaped(text)
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace('"', '""') + '"'


def write(folder: Path) -> None:
    """Write the pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
