"""The HSM. ``Hsm`` is its public API.

Importing the package only loads the standard library, so that a build can print the mechanism table before anything is
installed. ``Hsm`` and ``Settings`` are loaded on first access.
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
    """Load a public name on first access (PEP 562).

    Raises:
        AttributeError: The package has no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
