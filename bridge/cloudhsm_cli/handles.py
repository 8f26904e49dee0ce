"""Key references, as commands show handles."""

from __future__ import annotations

from bridge.protocol.codec import Value


def reference(handle: Value) -> str:
    """Return the key reference of a handle: 0x and 16 hexadecimal digits."""
    return f"{handle:#018x}" if isinstance(handle, int) else str(handle)
