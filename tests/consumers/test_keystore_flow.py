"""A program that makes its key pair, certificate and key store file when it finds none, and uses them when it does."""

from __future__ import annotations

from pathlib import Path

from tests.consumers.application import Application


def test_what_the_first_run_creates_the_second_finds(library_user: Application, tmp_path: Path) -> None:
    arguments = (tmp_path / "flow.store", "flow")
    assert library_user.run("KeyStoreFlow", *arguments) == "created\n"
    # The pair was made for the session; storing it made the private half persistent.
    assert library_user.run("KeyStoreFlow", *arguments) == "found\n"
    (tmp_path / "flow.store").unlink()
    # The key alone is found by its label, but its certificate was in the file.
    done = library_user.attempt("KeyStoreFlow", *arguments)
    assert done.returncode == 1
