"""The error of a command."""

from __future__ import annotations


class Failure(Exception):
    """A command cannot be done; the message is what stands under ``data`` in the answer."""
