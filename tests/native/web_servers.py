"""nginx and Apache as processes of this test, and TLS handshakes with them."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from tests.requirements import missing, tool

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
_LIMIT = 60
_NOBODY = 65534
_APACHE_MODULES = Path("/usr/lib/apache2/modules")

PORT = "PORT"
"""Stands for the port in configurations."""
_NGINX = """
user root; daemon off; pid nginx.pid; error_log error.log info;
env HSM_PKCS11_OPTIONS; env OPENSSL_ENGINES; env OPENSSL_CONF;
"""
_NGINX_HTTP = """http {
    access_log off;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
"""
_APACHE = """
ServerRoot {folder}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule ssl_module {modules}/mod_ssl.so
StartServers 2
ServerLimit 4
ThreadsPerChild 8
MinSpareThreads 8
MaxSpareThreads 32
MaxRequestWorkers 32
DocumentRoot {folder}/htdocs
Listen 127.0.0.1:{port}
"""


def free_port() -> int:
    """Return a port of the loopback interface on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class WebServer:
    """A web server that runs in the foreground, with two processes that serve."""

    command: list[str]
    environment: dict[str, str]
    folder: Path
    port: int
    reload_signal: signal.Signals
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _LIMIT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"{self.command[0]} does not listen:\n{self.log()}")

    def stop(self) -> None:
        """End it, and wait for its end. Has no effect on one that has ended."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(_LIMIT)
            finally:
                self.process.kill()
            self.process = None

    def reload(self) -> None:
        """Let it read its configuration again, and wait until new processes serve and the old ones have ended."""
        assert self.process is not None
        old = set(self.workers())
        self.process.send_signal(self.reload_signal)
        deadline = time.monotonic() + _LIMIT
        while time.monotonic() < deadline:
            now = set(self.workers())
            if len(now) > 1 and not now & old:
                return
            time.sleep(0.02)
        raise AssertionError(f"old processes {old}, now {now}:\n{self.log()}")

    def workers(self) -> list[int]:
        """Return the numbers of the processes that serve."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(number) for number in children.read_text().split()]

    def kill_worker(self) -> None:
        """Kill one of the processes that serve, with SIGKILL."""
        os.kill(self.workers()[-1], signal.SIGKILL)

    def log(self) -> str:
        """Return the log."""
        return (self.folder / "error.log").read_text()


@contextmanager
def _running(server: WebServer) -> Iterator[WebServer]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def nginx(environment: dict[str, str], folder: Path, configuration: str) -> Iterator[WebServer]:
    """Yield nginx, with this configuration and directives by which its files are in a new folder."""
    folder.mkdir()
    port = free_port()
    text = _NGINX + configuration.replace("http {\n", _NGINX_HTTP).replace(PORT, str(port))
    (folder / "nginx.conf").write_text(text)
    command = [tool("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    with _running(WebServer(command, environment, folder, port, signal.SIGHUP)) as server:
        yield server


@contextmanager
def apache(environment: dict[str, str], folder: Path, configuration: str) -> Iterator[WebServer]:
    """Yield Apache of two processes with several threads; the arguments are those of ``nginx``."""
    (folder / "htdocs").mkdir(parents=True)
    (folder / "htdocs" / "index.html").write_text("the key is in the HSM\n")
    port = free_port()
    text = _APACHE.format(folder=folder, modules=_APACHE_MODULES, port=port) + configuration.replace(PORT, str(port))
    (folder / "apache.conf").write_text(text)
    command = [*as_nobody(), tool("apache2"), "-d", str(folder), "-f", str(folder / "apache.conf"), "-DFOREGROUND"]
    with _running(WebServer(command, environment, folder, port, signal.SIGUSR1)) as server:
        yield server


def nginx_with(head: str, *keys: tuple[Path, Path | str]) -> str:
    """Return a configuration for ``nginx`` with two workers.

    Args:
        head: Directives before all others.
        keys: Certificate and key, for each key.
    """
    pairs = "\n".join(f'ssl_certificate {certificate}; ssl_certificate_key "{key}";' for certificate, key in keys)
    server = f'listen 127.0.0.1:{PORT} ssl; ssl_protocols TLSv1.2 TLSv1.3; location / {{ return 200 "ok"; }}\n{pairs}'
    return (
        f"{head}\nenv CLOUDHSM_PIN; env HSM_HOME; worker_processes 2;\nevents {{}}\n"
        f"http {{\nserver {{\n{server}\n}}\n}}\n"
    )


def apache_with(head: str, *keys: tuple[Path, Path | str]) -> str:
    """Return a configuration for ``apache``; the arguments are those of ``nginx_with``."""
    pairs = "\n".join(f'SSLCertificateFile {certificate}\nSSLCertificateKeyFile "{key}"' for certificate, key in keys)
    return (
        f"{head}\n<VirtualHost 127.0.0.1:{PORT}>\nSSLEngine on\n"
        f"SSLProtocol -all +TLSv1.2 +TLSv1.3\n{pairs}\n</VirtualHost>\n"
    )


def as_nobody() -> list[str]:
    """Return the words before a command that must not be root; in a user namespace root has another number.

    To all other processes the program is root's, so that the daemon serves it.
    """
    if os.geteuid() != 0:
        return []
    command = [tool("unshare"), "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}"]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        missing("this system has no user namespaces, and Apache does not serve as root")
    return command


def handshake(port: int, certificate: Path, version: ssl.TLSVersion, ciphers: str = "") -> str:
    """Make one handshake whose server must have the certificate; return the name of the cipher suite."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", port), _LIMIT) as plain,
        context.wrap_socket(plain, server_hostname="any") as secured,
    ):
        cipher = secured.cipher()
        assert cipher is not None
        return cipher[0]


@dataclass
class Storm:
    """Handshakes from several threads while a web server is disturbed.

    A handshake may fail only if it was in flight during an outage.
    """

    make: Callable[[int], object]
    wanted: int
    threads: int = 4
    done: int = 0
    failures: list[tuple[float, float, OSError]] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    _end: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def run(self, *disturbances: Callable[[], None]) -> None:
        """Make as many handshakes as are wanted; the disturbances begin after equal parts of them."""
        self._end = time.monotonic() + 2 * _LIMIT + self.wanted / 20
        with ThreadPoolExecutor(self.threads) as pool:
            workers = [pool.submit(self._work) for _ in range(self.threads)]
            for number, disturb in enumerate(disturbances, 1):
                self._wait(self.wanted * number // (len(disturbances) + 1))
                disturb()
            for worker in workers:
                worker.result()
        lost = [
            failure
            for failure in self.failures
            if not any(begin <= failure[1] and failure[0] <= end for begin, end in self.outages)
        ]
        assert not lost, lost

    def outage(self, disturb: Callable[[], None]) -> Callable[[], None]:
        """Return a disturbance during which handshakes may fail."""

        def disturbed() -> None:
            begin = time.monotonic()
            disturb()
            self.outages.append((begin, time.monotonic()))

        return disturbed

    def _work(self) -> None:
        while self.done < self.wanted:
            begin = time.monotonic()
            assert begin < self._end, self.failures[-3:]
            try:
                self.make(self.done)
            except OSError as error:
                self.failures.append((begin, time.monotonic(), error))
                time.sleep(0.02)
            else:
                with self._lock:
                    self.done += 1

    def _wait(self, number: int) -> None:
        while self.done < number:
            assert time.monotonic() < self._end, self.failures[-3:]
            time.sleep(0.01)
