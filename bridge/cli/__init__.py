"""The ``hsm`` command: one module for each group of subcommands, all listed in ``bridge.cli.commands``."""

from __future__ import annotations


def main() -> None:
    """Run the ``hsm`` command line of this process and exit."""
    from bridge.cli.commands import hsm
    from bridge.process.streams import fill_standard_descriptors

    fill_standard_descriptors()
    hsm(prog_name="hsm")
