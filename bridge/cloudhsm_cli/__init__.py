"""CloudHSM's command line, ``cloudhsm-cli``: one table of commands, one parser, two modes.

``table`` says what a row is, ``commands`` holds the rows, ``parser`` turns words into a call of one of them, ``run``
does the call and makes the one JSON object that answers it. ``interactive`` reads lines at a prompt, ``entry`` one
command from the process's arguments.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the ``cloudhsm-cli`` command line of this process and exit."""
    from bridge.cloudhsm_cli.entry import run_words
    from bridge.process.paths import default_home

    sys.exit(run_words(sys.argv[1:], default_home()))
