"""``hsm quickstart``: an HSM, a key pair in it, and a jar that the pair has signed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

import click

from bridge.carriers.client import connected
from bridge.cli.access import CRYPTO_USER, require_hsm
from bridge.cli.ephemeral import Ephemeral
from bridge.cli.initialize import UNREAD, tell
from bridge.cli.settings import FLAGS
from bridge.process.environment import passphrase
from bridge.process.logins import SECRETS, Login, from_environment
from bridge.process.paths import default_home, jdk_program, no_program
from hsmcore.errors import StateError, StateMissing

_NAME = "quickstart"
_STORE_PASSWORD = "changeit"  # noqa: S105 - the file holds certificates only
_SECONDS = 120.0
"""Longest time of one tool, in seconds."""


@dataclass(frozen=True, slots=True)
class _Steps:
    """The HSM and the folder that the steps work on; ``lines`` tell what they did."""

    home: Path
    login: Login
    folder: Path
    lines: list[str]
    new: dict[str, str] = field(default_factory=dict, repr=False)
    """The variables that the next commands need and the environment does not have."""

    def hsm(self, *words: str) -> str:
        """Run an ``hsm`` command with the login, and return its output.

        Raises:
            StateError: The command failed.
        """
        own = {name: value for name, value in os.environ.items() if name not in SECRETS}
        own |= {"HSM_USER": self.login.username, "HSM_PASSWORD": os.fsdecode(self.login.password)}
        return _output([sys.executable, "-m", "bridge", "--home", str(self.home), *words], own, f"hsm {words[0]}")


@click.command()
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=f"hsm-{_NAME}", show_default=True,
    help="The new directory for the jar, the key store's file and a Java program.",
)  # fmt: skip
@click.option("--start", "starts", is_flag=True, help="Start the daemon too; it runs until `hsm stop`.")
@click.pass_obj
def quickstart(home: Path, folder: Path, starts: bool) -> None:
    """Make an HSM, a key pair in it and a signed jar, and show how to use the key from Java.

    The command asks nothing. It generates the passwords that HSM_USER, HSM_PASSWORD and HSM_ADMIN_PASSWORD do not give,
    and prints them once. An HSM that is there already is used with the login of HSM_USER and HSM_PASSWORD. Nothing runs
    afterwards, except a daemon with --start.

    \b
    Example:
      hsm quickstart
      HSM_HOME=$PWD/my-hsm hsm quickstart --folder first --start
    """
    jarsigner = jdk_program("jarsigner")
    if jarsigner is None:
        raise StateError(no_program("jarsigner"))
    if folder.exists() and any(folder.iterdir()):
        raise StateError(f"{folder} is there already; --folder names another directory")
    with _hsm(home, folder, starts=starts) as steps:
        alias = _free_alias(steps)
        _sign(steps, alias, jarsigner)
        if starts:
            steps.hsm("start")


@contextmanager
def _hsm(home: Path, folder: Path, *, starts: bool) -> Iterator[_Steps]:
    """Yield the steps for a new or an existing HSM, then print their lines, also after an error.

    Raises:
        StateError: The HSM exists, and the environment has no login.
        ClickException: Standard output is closed or full.
    """
    try:
        require_hsm(home)
    except StateMissing:
        steps = _new(home, folder)
    else:
        login = from_environment((CRYPTO_USER,))
        if login is None:
            raise StateError(
                f"there is an HSM in {home} already: set HSM_USER and HSM_PASSWORD to sign with a new key in it, "
                "or make another one with `HSM_HOME=$PWD/my-hsm hsm quickstart --folder my-quickstart`"
            )
        steps = _Steps(home, login, folder, [f"Using the HSM in {home} as {login.username}"])
    try:
        yield steps
    except BaseException:
        tell("\n".join([*steps.lines, *_exported(steps)]), home / UNREAD)
        raise
    lines = [*steps.lines, "", "Use it from Java:", *_exported(steps), *_next(steps, starts=starts)]
    if not tell("\n".join(lines), home / UNREAD):
        raise click.ClickException("standard output takes no text; everything was made, as the text above says")


def _new(home: Path, folder: Path) -> _Steps:
    # Imported here: an HSM that is there already may be a daemon's.
    from hsmcore import Hsm, Settings

    made = Ephemeral.from_environment(dict.fromkeys(FLAGS, False))
    given = passphrase()
    Hsm.initialize(
        home, admin_password=made.admin_password.encode(), passphrase=given, settings=Settings(),
        crypto_user=(made.user, made.password.encode()),
    ).close()  # fmt: skip
    variables = {"HSM_USER": made.user, "HSM_PASSWORD": made.password, "HSM_ADMIN_PASSWORD": made.admin_password}
    sealed = "sealed under HSM_PASSPHRASE" if given else "a plain file there, for development"
    return _Steps(
        home, Login(made.user, CRYPTO_USER, made.password.encode()), folder,
        [f"Made an HSM in {home}, with the crypto user {made.user}; its master key is {sealed}"],
        {name: value for name, value in variables.items() if not os.environ.get(name)},
    )  # fmt: skip


def _free_alias(steps: _Steps) -> str:
    """Return a label that no key of the user has."""
    if steps.new:
        return _NAME
    with connected(steps.home) as client:
        client.call("LOGIN", steps.login.username, steps.login.password, steps.login.role)
        alias, number = _NAME, 1
        while client.found_keys({"LABEL": alias}):
            number += 1
            alias = f"{_NAME}-{number}"
        return alias


def _sign(steps: _Steps, alias: str, jarsigner: str) -> None:
    """Generate a key pair, sign a jar with it, and verify the jar with the JDK's own jarsigner.

    Raises:
        StateError: jarsigner does not accept the signature.
    """
    folder, store, jar = steps.folder, steps.folder / "certs.store", steps.folder / "app.jar"
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parent.parent.joinpath("launcher", "First.java").read_text(encoding="utf-8")
    name = str(store).replace("\\", "\\\\").replace('"', '\\"')
    (folder / "First.java").write_text(source.replace("@ALIAS@", alias).replace("@FILE@", name), encoding="utf-8")
    with ZipFile(jar, "w") as archive:
        archive.write(folder / "First.java", "First.java")
    of_store = ["-storetype", "CloudHSM", "-keystore", str(store), "-storepass", _STORE_PASSWORD]
    steps.hsm(
        "keytool", "-genkeypair", "-alias", alias, "-keyalg", "EC", "-groupname", "secp256r1",
        "-dname", f"CN={alias}", "-providerName", "CloudHSM", "-keypass", _STORE_PASSWORD, *of_store,
    )  # fmt: skip
    steps.lines.append(f"Made the key pair {alias} (EC, P-256) in the HSM, and its certificate in {store}")
    steps.hsm("jarsigner", *of_store, str(jar), alias)
    said = _output([jarsigner, "-J-Duser.language=en", "-verify", str(jar)], dict(os.environ), "jarsigner -verify")
    if "jar verified." not in said:
        raise StateError(f"jarsigner does not accept the signature of {jar}: {said}")
    steps.lines.append(f"Signed {jar}; the JDK's jarsigner says: jar verified.")


def _exported(steps: _Steps) -> list[str]:
    variables = dict(steps.new)
    if steps.home != default_home().absolute():
        variables = {"HSM_HOME": str(steps.home)} | variables
    words = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    return [f"  export {words}"] if words else []


def _next(steps: _Steps, *, starts: bool) -> list[str]:
    own = Path(sys.executable).with_name("hsm")
    found = shutil.which("hsm")
    program = "hsm" if (found and Path(found).samefile(own)) or not own.exists() else shlex.quote(str(own))
    return [
        *([] if starts else [f"  {program} start"]),
        f'  java -cp "$({program} jar)" {shlex.quote(str(steps.folder / "First.java"))}',
    ]


def _output(command: list[str], environment: dict[str, str], name: str) -> str:
    """Run a program and return its output.

    Raises:
        StateError: It failed; the message has its last line.
    """
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise StateError(
            f"`{name}` has not ended after {_SECONDS:.0f} seconds; `hsm doctor` looks for the cause"
        ) from error
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise StateError(
            f"`{name}` failed: {lines[-1] if lines else done.returncode}; `hsm doctor` looks for the cause"
        )
    return done.stdout
