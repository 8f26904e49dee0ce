"""Standard input, output and error of this process."""

from __future__ import annotations

import os
import sys


def fill_standard_descriptors() -> None:
    """Open ``/dev/null`` in place of each closed standard stream.

    Otherwise the next file that this process opens, such as the audit log's anchor, takes the stream's number, and a
    library that prints writes to the file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one, because those below it are in use.
            os.open(os.devnull, os.O_RDWR)


def discard_output() -> None:
    """Send the output that Python still buffers to ``/dev/null``, because its reader is gone or its disk is full."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def drop_unwritable_output() -> None:
    """Discard the output that Python still buffers if standard output does not take it.

    Otherwise the interpreter tries to write it at the exit, and reports a second error.
    """
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError:
            discard_output()
