"""``hsm doctor``: checks the installation and prints what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from bridge.cli import tables
from bridge.protocol.codec import Value

_COLUMNS = {"check": "check", "state": "state", "found": "found", "cure": "what to do"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the version and the list of checks.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check the installation, the JDK, the HSM and its daemon, and show what to do.

    Each check is ok, warn or fail. The exit code is 1 if one fails. The command changes nothing, tries no password and
    prints no secret.

    \b
    Example:
      hsm doctor
      hsm doctor --json
    """
    # Imported here: nothing else needs the checks.
    from bridge.doctor.examination import examine
    from bridge.doctor.finding import State
    from hsmcore import __version__

    home: Path = context.obj
    findings = examine(home)
    healthy = all(finding.state is not State.FAIL for finding in findings)
    rows: list[dict[str, Value]] = [asdict(finding) for finding in findings]
    if as_json:
        click.echo(json.dumps({"version": __version__, "home": str(home), "ok": healthy, "checks": rows}, indent=2))
    else:
        tables.show(rows, _COLUMNS, as_json=False)
    context.exit(0 if healthy else 1)
