"""A JSSE client that shows certificates whose keys are in the HSM, to OpenSSL servers that insist on one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.consumers.application import Application, served
from tests.consumers.openssl import ALGORITHMS, OFFERS, kind_of_key

_NAMES = {"tls1_2": "TLSv1.2", "tls1_3": "TLSv1.3"}


@pytest.mark.parametrize("position", ["first", "last"])
def test_the_server_accepts_each_signature(application: Application, peers: Path, store: Path, position: str) -> None:
    with ExitStack() as stack:
        ports = [
            stack.enter_context(_server(application, peers, store, protocol, signature))
            for protocol, signature in OFFERS
        ]
        said = application.run("Tls", "client", position, store, peers, *ports)
    pages = said.split("HTTP/1.0 200 ok")[1:]
    # Two kinds of key manager, each at every server.
    assert len(pages) == 2 * len(OFFERS)
    for page, (protocol, signature) in zip(pages, OFFERS * 2, strict=True):
        assert f"New, {_NAMES[protocol]}, " in page
        assert f"Peer signature type: {signature}\n" in page
        assert re.search(f"Client certificate\n(?s:.*)Subject: CN ?= ?{kind_of_key(signature)}\n", page)


@contextmanager
def _server(application: Application, peers: Path, store: Path, protocol: str, signature: str) -> Iterator[str]:
    """Give the port of a server whose page shows the session and the client; without a certificate nobody gets in."""
    command = [
        "openssl", "s_server", "-accept", "0", f"-{protocol}", "-www",
        "-cert", str(peers.with_name("rsa.pem")), "-key", str(peers.with_name("rsa.key")),
        "-Verify", "1", "-verify_return_error", "-CAfile", str(store.with_name("peers.pem")),
        "-client_sigalgs", ALGORITHMS[signature],
    ]  # fmt: skip
    with served(command, application.folder, application.site.environment, until="ACCEPT") as lines:
        yield lines[-1].rpartition(":")[2]
