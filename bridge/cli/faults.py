"""``hsm fault`` and ``hsm reset``, for HSMs that were made for tests."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.carriers.client import Client, connected
from bridge.cli import tables
from bridge.protocol.codec import Value

_COLUMNS = {"number": "number", "kind": "kind", "hits": "hits", "left": "left", "operations": "operations"}


@click.group()
def fault() -> None:
    """Make requests slow or fail, in an HSM that was made with --allow-faults and that a daemon serves.

    docs/faults.md lists the kinds, and the exception that a Java program gets.
    """


@fault.command("add", context_settings={"ignore_unknown_options": False})
@click.argument("kind", required=False)
@click.option("--file", "file", type=click.Path(path_type=Path), help="Add the faults of a TOML file.")
@click.option("--operation", metavar="NAMES", help="Operations of the protocol, such as SIGN,VERIFY.")
@click.option("--milliseconds", metavar="N[-N]", help="The delay of latency: fixed, or random between two numbers.")
@click.option("--error", metavar="NAME", help="The error of kind error, such as StoreFull.")
@click.option("--member", type=click.IntRange(1), help="Number of the HSM of the cluster of hsm-down; default: 2.")
@click.option("--field", metavar="NAMES", help="Fields of inconsistent, such as locked; default: cluster-coverage.")
@click.option("--name", metavar="USER", help="The only user of inconsistent; default: all users and keys.")
@click.option("--ahead", type=click.FloatRange(0), help="Seconds by which the clock of clock-skew is ahead.")
@click.option("--rate", type=click.FloatRange(0, 1), help="Share of the requests that it applies to.")
@click.option("--count", type=click.IntRange(1), help="Number of requests that it applies to.")
@click.option("--after", type=click.IntRange(0), help="Number of requests that it leaves alone before.")
@click.option("--seconds", type=click.FloatRange(0), help="Time until it ends.")
@click.option("--seed", help="Beginning of the random choices, which are the same for the same seed.")
@click.pass_obj
def add(home: Path, /, kind: str | None, file: Path | None, **options: str | float | None) -> None:
    """Add a fault of a KIND, and print its number.

    Kinds: latency, error, throttling, session-pool, key-availability, disconnect-before, disconnect-after, hsm-down,
    inconsistent, clock-skew.

    \b
    Example:
      hsm fault add latency --milliseconds 20-80 --operation SIGN --seed 7
      hsm fault add error --error StoreFull --operation GENERATE_KEY --count 2
      hsm fault add --file faults.toml
    """
    given = {name: str(value) for name, value in options.items() if value is not None}
    if (kind is None) == (file is None) or (file is not None and given):
        raise click.UsageError("give a KIND with its options, or --file")
    wanted: list[dict[str, Value]] = [{"kind": kind, **given}] if kind else []
    if file is not None:
        from bridge.server.fault_kinds import read

        wanted = [{"kind": name, **{key: _text(value) for key, value in chosen.items()}} for name, chosen in read(file)]
    with Client.connect(home) as client:
        (numbers,) = client.call("FAULT_ADD", wanted)
    for number in numbers if isinstance(numbers, list) else ():
        click.echo(number)


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


@fault.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_obj
def list_faults(home: Path, as_json: bool) -> None:
    """List the faults with the number of requests that each has applied to.

    \b
    Example:
      hsm fault list
    """
    with Client.connect(home) as client:
        (rows,) = client.call("FAULT_LIST")
    faults = [dict(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not as_json:
        for row in faults:
            row["operations"] = _text(row["operations"])
            row["left"] = "all" if row["left"] == -1 else row["left"]
    tables.show(faults, _COLUMNS, as_json=as_json, empty="No faults")


@fault.command("clear")
@click.argument("number", type=int, required=False)
@click.pass_obj
def clear(home: Path, number: int | None) -> None:
    """Remove a fault by its NUMBER, or all faults.

    \b
    Example:
      hsm fault clear
    """
    with Client.connect(home) as client:
        client.call("FAULT_CLEAR", number)


@click.command()
@click.pass_obj
def reset(home: Path) -> None:
    """Destroy all keys and users of an HSM for tests, except the users that it was made with.

    Ends all sessions and faults, and restores the passwords and the quorum values. The audit log stays and has an
    entry. Only an HSM that was made with --allow-reset does this; it asks for no login.

    \b
    Example:
      eval "$(hsm start --ephemeral --allow-reset)"
      hsm reset
    """
    with connected(home) as client:
        client.call("RESET")
    click.echo("Reset")
