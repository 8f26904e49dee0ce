"""The HSM: users, sessions, keys, policy, mechanisms, sealing and store. ``Hsm`` is its only public API.

Importing the package loads nothing but the standard library, so that the mechanism table can be printed where nothing
is installed yet; ``Hsm`` and ``Settings`` are loaded when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.settings import Settings

__all__ = ["Hsm", "Settings", "__version__"]

__version__ = "0.1.0"

_HOMES = {"Hsm": "hsmcore.hsm", "Settings": "hsmcore.settings"}


def __getattr__(name: str) -> object:
    """Load a public name at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
