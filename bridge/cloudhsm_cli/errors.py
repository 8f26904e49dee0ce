"""The error of a command."""

from __future__ import annotations


class Failure(Exception):
    """A command failed; the message becomes ``data`` of the answer."""
