"""The files that the wheel installs for the system: the completion of three shells, and a unit file as an example.

::

    python docs/installed_files.py packaging/share
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from click.shell_completion import BashComplete, FishComplete, ZshComplete

from bridge.cli.commands import hsm
from bridge.cloudhsm_cli.completion import INSTALLED
from bridge.launcher.service import NAME, SYSTEM_HOME, SYSTEM_PASSPHRASE, Service

_OF_HSM = {
    "bash-completion/completions/hsm": BashComplete,
    "zsh/site-functions/_hsm": ZshComplete,
    "fish/vendor_completions.d/hsm.fish": FishComplete,
}


def files() -> dict[str, str]:
    """Return the files by their paths below ``share``.

    Raises:
        ValueError: click has another script for zsh than expected.
    """
    own = {path: kind(hsm, {}, "hsm", "_HSM_COMPLETE") for path, kind in _OF_HSM.items()}
    scripts = {path: complete.source_template % complete.source_vars() for path, complete in own.items()}
    # click's script completes in the first call that zsh makes of a file, and registers itself in the second.
    zsh = "zsh/site-functions/_hsm"
    scripts[zsh], replaced = re.subn(r"\nif \[\[ \$zsh_eval.*", '\n_hsm_completion "$@"', scripts[zsh], flags=re.DOTALL)
    if replaced != 1:
        raise ValueError("click has another script for zsh; look at its end")
    example = Service(SYSTEM_HOME, user="hsmbridge", passphrase=SYSTEM_PASSPHRASE, program=("/usr/bin/hsm",))
    installed = {path.removeprefix("share/"): text for path, text in INSTALLED.items()}
    texts = scripts | installed | {f"hsmbridge/{NAME}": example.unit()}
    return {path: re.sub(r"[ \t]+$", "", text.strip("\n"), flags=re.MULTILINE) + "\n" for path, text in texts.items()}


def main() -> None:
    """Write the files below the folder that the command line names."""
    for name, text in files().items():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
