"""Full TLS handshakes a second with nginx, whose key is in the HSM or in a file: ``python -m tests.bench.handshakes``.

Both servers run at the same time, with two workers each. ``openssl s_time`` makes the handshakes, in two processes.
The servers take turns, one window each, so a change of the machine's load affects both alike. Trust the ratios, not
the rates.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.native.engine import engine_site, make_keys, run
from tests.native.web_servers import WebServer, nginx, nginx_with
from tests.site import Site

_CLIENTS = 2
_AIM = 0.5
_KINDS = {"rsa": ("rsa:2048",), "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")}
_NAMES = {"rsa": "RSA-2048", "ec": "P-256"}


def main() -> None:
    """Measure and print the medians and their ratio."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.handshakes")
    parser.add_argument("--key", choices=_KINDS, default="ec")
    parser.add_argument("--version", choices=("1_2", "1_3"), default="1_3", help="of TLS")
    parser.add_argument("--windows", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="a window")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hsmbridge-handshakes-") as folder, ExitStack() as stack:
        site = stack.enter_context(engine_site(Path(folder)))
        servers = _servers(stack, site, Path(folder), options.key)
        rates: list[list[float]] = [[], []]
        for window in range(-1, options.windows):
            for server, measured in zip(servers, rates, strict=True):
                rate = _rate(server, options.version, options.seconds)
                if window >= 0:
                    measured.append(rate)
    ratio = median(ours / theirs for ours, theirs in zip(*rates, strict=True))
    print(
        f"nginx, 2 workers, TLS {options.version.replace('_', '.')}, {_NAMES[options.key]}, full handshakes a second:"
    )
    for name, measured in zip(("key in the HSM", "key in a file"), rates, strict=True):
        print(f"  {name}: {median(measured):,.0f} ({min(measured):,.0f} to {max(measured):,.0f})")
    print(f"  ratio {ratio:.2f}, aim {_AIM:g}: {'reached' if ratio >= _AIM else 'NOT reached'}")


def _servers(stack: ExitStack, site: Site, folder: Path, key: str) -> list[WebServer]:
    """Start the server with the engine, and the one with a key in a file."""
    make_keys(site, folder, (key,))
    new = ("-newkey", *_KINDS[key], "-nodes", "-subj", "/CN=file", "-keyout", "file.key", "-out", "file.crt")
    run(site, folder, "openssl", "req", "-x509", *new)
    return [
        stack.enter_context(
            nginx(site.environment, folder / name, nginx_with(head, (folder / f"{name}.crt", folder / f"{name}.key")))
        )
        for name, head in ((key, "ssl_engine cloudhsm;"), ("file", ""))
    ]


def _rate(server: WebServer, version: str, seconds: int) -> float:
    address = f"127.0.0.1:{server.port}"
    command = ["openssl", "s_time", "-connect", address, "-new", f"-tls{version}", "-time", str(seconds)]
    begin = time.monotonic()
    clients = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(_CLIENTS)
    ]
    said = [client.communicate(timeout=seconds + 60) for client in clients]
    elapsed = time.monotonic() - begin
    counts = [re.search(r"(\d+) connections in \d+ real seconds", out) for out, _ in said]
    if not all(counts):
        raise RuntimeError(f"openssl s_time said {said}\n{server.log()}")
    return sum(int(count[1]) for count in counts if count) / elapsed


if __name__ == "__main__":
    main()
