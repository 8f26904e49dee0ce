"""CloudHSM's command line, ``cloudhsm-cli``: one table of commands, one parser, two modes.

``table`` defines a row, ``commands`` holds the rows, ``parser`` turns words into a call of a row, and ``run`` executes
the call and builds the JSON answer. ``interactive`` reads lines at a prompt, ``entry`` reads one command from the
process's arguments.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the ``cloudhsm-cli`` command line of this process and exit."""
    from bridge.cloudhsm_cli.entry import run_words
    from bridge.process.configuration import chosen
    from bridge.process.paths import default_home
    from bridge.process.streams import fill_standard_descriptors

    fill_standard_descriptors()
    sys.exit(run_words(sys.argv[1:], default_home(), chosen()))
