"""Addresses of servers, as ``host:port``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from hsmcore.errors import StateError

PORT = 2223
"""CloudHSM's port."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or an IP address without brackets, and a TCP port."""

    host: str
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host``, ``host:port``, an IPv6 address or ``[address]:port``.

        Raises:
            StateError: The text is no address.
        """
        host, port = text, ""
        if text.startswith("["):
            host, _, port = text[1:].partition("]")
            port = port.removeprefix(":")
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        if not host or not (port or "0").isdecimal() or int(port or "0") > 65535:
            raise StateError(f"{text!r} is no HOST:PORT; examples: 127.0.0.2:2223, [::1]:2223, hsm1.example.com")
        return cls(host, int(port) if port else PORT)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
