"""A JSSE server whose keys are in the HSM, OpenSSL as its client: each proves that its certificate is its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consumers.application import Application
from tests.consumers.openssl import ALGORITHMS, ECDSA, OFFERS, kind_of_key
from tests.tools.test_first_provider import documented


@pytest.fixture(scope="module", params=["first", "last"])
def ports(
    request: pytest.FixtureRequest, application: Application, peers: Path, store: Path
) -> Iterator[dict[str, str]]:
    """A server whose provider is the first or the last; its ports by kind of key manager."""
    with application.started("Tls", "server", request.param, store, peers) as lines:
        yield dict(line.split() for line in lines[:-1])


@pytest.mark.parametrize("managers", ["PKIX", "SunX509"])
@pytest.mark.parametrize(("protocol", "signature"), OFFERS)
def test_both_ends_are_authenticated(
    application: Application, peers: Path, ports: dict[str, str], store: Path,
    managers: str, protocol: str, signature: str,
) -> None:  # fmt: skip
    said = _greeted(application, peers, store, ports[managers], f"-{protocol}", signature)
    assert f"hello from CN=openssl {kind_of_key(signature)}" in said
    assert f"Peer signature type: {signature}\n" in said
    assert "Verify return code: 0 (ok)" in said


@pytest.mark.parametrize("position", ["last", "first"])
def test_key_exchange_on_a_nist_curve(stock: Application, peers: Path, store: Path, position: str) -> None:
    """As the first provider it makes JSSE's ephemeral pairs too, which ECDH cannot use, without that line."""
    with stock.started("Tls", "server", position, store, peers, JAVA_TOOL_OPTIONS=_documented(stock)) as lines:
        said = _greeted(stock, peers, store, lines[0].split()[1], "-tls1_3", ECDSA, "-groups", "P-256")
    assert "hello from CN=openssl ec" in said
    assert "Server Temp Key: ECDH, prime256v1" in said


@pytest.mark.parametrize("protocol", ["tls1_2", "tls1_3"])
@pytest.mark.parametrize("position", ["last", "first"])
def test_sessions_resume(stock: Application, peers: Path, store: Path, position: str, protocol: str) -> None:
    """As the first provider it also makes JSSE's key of tickets, with which it takes no IV, without that line."""
    session = stock.folder / "session.pem"
    with stock.started("Tls", "server", position, store, peers, JAVA_TOOL_OPTIONS=_documented(stock)) as lines:
        port = lines[0].split()[1]
        said = _greeted(stock, peers, store, port, f"-{protocol}", ECDSA, "-sess_out", str(session))
        again = _greeted(stock, peers, store, port, f"-{protocol}", ECDSA, "-sess_in", str(session))
    assert "New, TLSv1" in said
    assert "Reused, TLSv1" in again
    assert "hello from CN=openssl ec" in again


def _documented(stock: Application) -> str:
    """Return the JVM's option for a ``java.security`` file with the line of docs/consumers.md."""
    settings = stock.folder / "preferred.security"
    settings.write_text(f"{documented()}\n")
    return f"-Djava.security.properties={settings}"


def _greeted(
    application: Application, peers: Path, store: Path, port: str, protocol: str, signature: str, *more: str
) -> str:
    """Return what ``s_client`` says of a handshake with this kind of signature."""
    # OpenSSL's -sigalgs rule what it signs too, so its own key is of the same kind.
    own = peers.with_name(kind_of_key(signature))
    return application.openssl(
        "s_client", "-connect", f"localhost:{port}", protocol, "-sigalgs", ALGORITHMS[signature], *more,
        "-CAfile", store.with_name("peers.pem"), "-verify_return_error", "-verify_hostname", "localhost",
        "-cert", own.with_suffix(".pem"), "-key", own.with_suffix(".key"), "-ign_eof",
        stdin="hello\n",
    )  # fmt: skip


@pytest.mark.parametrize("protocol", ["tls1_2", "tls1_3"])
def test_a_client_without_a_certificate_is_refused(
    application: Application, ports: dict[str, str], store: Path, protocol: str
) -> None:
    done = application.attempt_openssl(
        "s_client", "-connect", f"localhost:{ports['PKIX']}", f"-{protocol}", "-CAfile", store.with_name("peers.pem"),
        "-ign_eof",
        stdin="hello\n",
    )  # fmt: skip
    assert "hello from" not in done.stdout
    assert re.search(r"alert (bad certificate|certificate required|handshake failure)", done.stderr), done.stderr
