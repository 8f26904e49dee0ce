"""``hsm cluster csr`` and ``initialize``: the HSM's TLS certificate. The other commands are CloudHSM's."""

from __future__ import annotations

import datetime as dt
import socket
from pathlib import Path

import click

from bridge.carriers.client import connected
from bridge.cli import cloudhsm
from bridge.protocol.codec import Value
from hsmcore.files import PRIVATE, read_whole, write_whole

_LARGEST = 64 * 1024
"""Maximum bytes of a PEM file."""
_KEY, _CERTIFICATE = "customerCA.key", "customerCA.crt"
_names = click.option(
    "--name", "names", multiple=True, metavar="HOST",
    help="Host name or IP address by which clients reach the HSM; can be repeated.  [default: those of this machine]",
)  # fmt: skip


@click.group(cls=cloudhsm.Group)
def cluster() -> None:
    """Give the HSM a TLS certificate, for clients on other machines; the other commands are CloudHSM's.

    A certificate authority of yours signs the HSM's certificate, and clients accept no other authority. CloudHSM's
    commands answer in JSON; docs/cli.md describes them.
    """


@cluster.command()
@_names
@click.option(
    "--new-key", is_flag=True, help="Make another key. The present certificate stays in use until initialize."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the request to this file.")
@click.pass_obj
def csr(home: Path, names: tuple[str, ...], new_key: bool, out: Path | None) -> None:
    """Print the HSM's certificate signing request. Its key is made in the HSM and stays there.

    \b
    Example:
      hsm cluster csr --name hsm1.example.com --out ClusterCsr.csr
      openssl genrsa -aes256 -out customerCA.key 2048
      openssl req -new -x509 -days 3652 -key customerCA.key -out customerCA.crt
      openssl x509 -req -days 3652 -in ClusterCsr.csr -CA customerCA.crt -CAkey customerCA.key \\
          -CAcreateserial -copy_extensions copy -out CustomerHsmCertificate.crt
      hsm cluster initialize --signed-cert CustomerHsmCertificate.crt --trust-anchor customerCA.crt

    Without -copy_extensions the certificate has no names, and clients do not compare the name of the server.
    """
    request = _request(home, names, new_key=new_key)
    if out is None:
        click.echo(request.decode(), nl=False)
    else:
        write_whole(out.absolute(), request, mode=0o644)
        click.echo(f"Wrote {out}")


@cluster.command()
@click.option(
    "--signed-cert", type=click.Path(path_type=Path, dir_okay=False),
    help="The HSM's signed certificate, and after it any certificates up to the trust anchor (PEM).",
)  # fmt: skip
@click.option(
    "--trust-anchor", type=click.Path(path_type=Path, dir_okay=False), help="The authority's certificate (PEM)."
)
@click.option(
    "--new-ca", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help=f"Sign with an authority of its own, for a laptop: DIR/{_KEY} and DIR/{_CERTIFICATE}, made if missing.",
)  # fmt: skip
@click.option(
    "--valid-seconds", type=click.IntRange(1), metavar="N", help="The end of a certificate of --new-ca, for tests."
)
@_names
@click.pass_obj
def initialize(
    home: Path, signed_cert: Path | None, trust_anchor: Path | None, new_ca: Path | None, valid_seconds: int | None,
    names: tuple[str, ...],
) -> None:  # fmt: skip
    """Store the HSM's signed certificate. A running daemon uses it from the next connection on.

    \b
    Example:
      hsm cluster initialize --signed-cert CustomerHsmCertificate.crt --trust-anchor customerCA.crt
      hsm cluster initialize --new-ca my-ca --name 127.0.0.2
    """
    signed, anchor = _certificates(home, signed_cert, trust_anchor, new_ca, valid_seconds, names)
    with connected(home) as client:
        (certificate,) = client.call("CLUSTER_INITIALIZE", signed, anchor)
    for line in _summary(home, certificate):
        click.echo(line)


def _certificates(
    home: Path, signed_cert: Path | None, trust_anchor: Path | None, new_ca: Path | None, valid_seconds: int | None,
    names: tuple[str, ...],
) -> tuple[bytes, bytes]:  # fmt: skip
    """Return the signed certificate and the trust anchor, PEM.

    Raises:
        UsageError: The options are not those of one of the two ways.
    """
    if new_ca is not None and signed_cert is None and trust_anchor is None:
        return _signed_by(new_ca.absolute(), _request(home, names, new_key=False), valid_seconds)
    if new_ca is None and signed_cert is not None and trust_anchor is not None and not (names or valid_seconds):
        return read_whole(signed_cert, _LARGEST), read_whole(trust_anchor, _LARGEST)
    raise click.UsageError("give --signed-cert and --trust-anchor, or --new-ca with any number of --name")


def _summary(home: Path, certificate: Value) -> list[str]:
    facts = certificate if isinstance(certificate, dict) else {}
    names, end = facts.get("names"), facts.get("not-after")
    listed = ", ".join(map(str, names)) if isinstance(names, list) and names else "none: clients do not compare them"
    return [
        f"Stored the certificate of {facts.get('subject')}",
        f"  names         {listed}",
        f"  valid until   {dt.datetime.fromtimestamp(end if isinstance(end, int) else 0, dt.UTC):%Y-%m-%d}",
        f"  clients need  {home / _CERTIFICATE}",
    ]


def _request(home: Path, names: tuple[str, ...], *, new_key: bool) -> bytes:
    with connected(home) as client:
        (request,) = client.call("CLUSTER_CSR", list(names or _own_names()), new_key)
    return bytes(request) if isinstance(request, bytes) else b""


def _own_names() -> list[str]:
    """Return the names by which programs on this machine, and perhaps on others, reach it."""
    return list(
        dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname().lower(), socket.getfqdn().lower()])
    )


def _signed_by(folder: Path, request: bytes, seconds: int | None) -> tuple[bytes, bytes]:
    """Return the certificate for a request, and that of the authority, whose files are made if they are missing."""
    # Imported here: it loads the cryptography library, which no other command of this module needs.
    from hsmcore.primitives import tls_certificates

    key, certificate = folder / _KEY, folder / _CERTIFICATE
    if not key.exists() and not certificate.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = tls_certificates.new_authority("hsmbridge customer CA")
        write_whole(key, made[0], mode=PRIVATE, replace=False)
        write_whole(certificate, made[1], mode=0o644, replace=False)
    anchor = read_whole(certificate, _LARGEST)
    return tls_certificates.sign_request(request, read_whole(key, _LARGEST), anchor, seconds), anchor
