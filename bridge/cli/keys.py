"""``hsm key``: the crypto user's keys."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli import cloudhsm, tables
from bridge.cli.access import as_user
from bridge.cloudhsm_cli.handles import reference
from bridge.protocol.codec import Value

_COLUMNS = {
    "HANDLE": "handle",
    "LABEL": "label",
    "OBJECT_CLASS": "class",
    "KEY_TYPE": "type",
    "SIZE": "bits",
    "TOKEN": "token",
    "EXTRACTABLE": "extractable",
    "LOCAL": "local",
}


@click.group(cls=cloudhsm.Group)
def key() -> None:
    """List the keys of the crypto user; the other commands are CloudHSM's.

    The crypto user is that of HSM_USER and HSM_PASSWORD, or of CLOUDHSM_ROLE and CLOUDHSM_PIN. CloudHSM's commands
    answer in JSON; docs/cli.md describes them. CloudHSM's own list is `cloudhsm-cli key list`.
    """


@key.command("list")
@click.option("--label", help="Only keys with this label.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with every attribute.")
@click.pass_obj
def list_keys(home: Path, label: str | None, as_json: bool) -> None:
    """List keys and their attributes, never key material.

    \b
    Example:
      hsm key list
      hsm key list --label release --json
    """
    search_template: dict[str, Value] = {} if label is None else {"LABEL": label}
    with as_user(home) as client:
        rows = client.found_keys(search_template)
    keys = [{**row, "HANDLE": reference(row["HANDLE"])} for row in rows]
    tables.show(keys, _COLUMNS, as_json=as_json, empty="No keys")
