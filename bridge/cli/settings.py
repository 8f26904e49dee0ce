"""The options that choose the settings of a new HSM, for ``hsm init`` and ``hsm start --ephemeral``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hsmcore.settings import Settings

FLAGS = {
    "non_extractable": "Make new keys non-extractable by default.",
    "enable_clear_key_extraction": "Let the owner of an extractable key read it in the clear (getEncoded).",
    "strict_limits": "Refuse operations on more data than CloudHSM accepts, such as 16,000 bytes for AES-GCM.",
    "strong_hashes": "Refuse ECDSA signatures with a hash weaker than the key, as CloudHSM does from SDK 5.16 on.",
    "allow_reset": "Allow `hsm reset`, which destroys all keys, to everyone who can connect; for tests.",
    "allow_faults": "Allow `hsm fault`, which makes requests slow or fail, to everyone who can connect; for tests.",
}
"""The options by parameter name, with their help."""


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets them as flags."""
    for name, text in reversed(FLAGS.items()):
        command = click.option(option(name), is_flag=True, help=text)(command)
    return command


def option(name: str) -> str:
    """Return the option of a flag."""
    return f"--{name.replace('_', '-')}"


def settings_of(flags: Mapping[str, bool]) -> Settings:
    """Return the settings that the flags choose."""
    from hsmcore.settings import Settings

    return Settings(
        clear_key_extraction=flags["enable_clear_key_extraction"],
        extractable_default=not flags["non_extractable"],
        strict_limits=flags["strict_limits"],
        strong_hashes=flags["strong_hashes"],
        allow_reset=flags["allow_reset"],
        allow_faults=flags["allow_faults"],
    )
