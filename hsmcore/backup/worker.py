"""A backup in a process of its own, so that it takes the interpreter's lock from no use of a key.

The process gets its job as JSON on standard input: where the database is, the HSM's secret, and the backup to make. It
inherits the file to write, and prints the product as JSON. It has a lower priority and the pace of a backup in this
process, because there may be no processor to spare.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hsmcore import errors
from hsmcore.backup.content import Totals
from hsmcore.backup.directory import BackupDirectory, Unfinished
from hsmcore.backup.pace import Pace
from hsmcore.backup.production import Order, Product, produce
from hsmcore.errors import HsmError, StateError, StoreFull
from hsmcore.storage.database import Store
from hsmcore.storage.sealing import Vault

_NICE = 5
"""By how much the priority is lower. On busy processors the process then gets about a quarter of one."""
_POLL = 0.2
"""Seconds between questions whether to go on."""


def produce_apart(
    command: Sequence[str],
    unfinished: Unfinished,
    store: Store,
    vault: Vault,
    order: Order,
    proceed: Callable[[], None],
) -> Product:  # fmt: skip
    """Write a backup as ``produce`` does, in another process.

    Args:
        command: The command line of a process that runs ``main``.
        unfinished: The file.
        store: The database.
        vault: The vault of its master key.
        order: The backup.
        proceed: Called again and again; its error ends the process.

    Raises:
        StateError: The process ended without a product; other errors of ``produce`` come from it.
    """
    descriptor = unfinished.file.fileno()
    job = {
        "store": store.place, "number": store.number, "secret": vault.secret.hex(), "file": descriptor,
        "name": order.name, "reason": order.reason, "serial": order.serial, "key": order.key.hex(),
        "passphrase": None if order.passphrase is None else order.passphrase.hex(),
        "directory": str(unfinished.path.parent), "identity": dict(order.identity),
    }  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(descriptor,)
    ) as process:  # fmt: skip
        try:
            printed = _printed(process, json.dumps(job).encode(), proceed)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise StateError(f"the process that makes the backup ended with status {process.returncode}")
    answer = json.loads(printed)
    if "error" in answer:
        raise getattr(errors, answer["error"], StateError)(answer["message"])
    return Product(Totals(**answer["totals"]), answer["anchor"])


def _printed(process: subprocess.Popen[bytes], job: bytes, proceed: Callable[[], None]) -> bytes:
    given: bytes | None = job
    while True:
        try:
            return process.communicate(given, timeout=_POLL)[0]
        except subprocess.TimeoutExpired:
            # It has begun to write the job, and goes on with it.
            given = None
            proceed()


def main() -> None:
    """Do the job on standard input. The caller has hardened the process."""
    with suppress(OSError):
        os.nice(_NICE)
    job = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        product = _done(job)
        answer = {"totals": asdict(product.totals), "anchor": product.anchor}
    except HsmError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except OSError as error:
        answer = {"error": StoreFull.__name__, "message": f"the backup cannot be written: {error.strerror}"}
    print(json.dumps(answer))


def _done(job: dict[str, Any]) -> Product:
    number = int(job["number"])
    passphrase = None if job["passphrase"] is None else bytes.fromhex(job["passphrase"])
    key, identity = bytes.fromhex(job["key"]), job["identity"]
    order = Order(job["name"], job["reason"], job["serial"], key, passphrase, identity)
    room, pace = BackupDirectory(Path(job["directory"])).room(), Pace(lambda: None)

    def step() -> None:
        room()
        pace.step()

    store = Store.found(job["store"], number)
    try:
        with os.fdopen(int(job["file"]), "r+b") as file:
            return produce(file, store, Vault(bytes.fromhex(job["secret"]), number), order, step)
    finally:
        store.close()
