"""The HTTP server of the page, on the loopback interface.

A request for data has the login's token in a header, which only the page itself can set: no cookie, so another page in
the same browser can do nothing. The address that ``hsm console`` prints has a further secret, the access key, which a
login needs: another user of the machine cannot even try passwords.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import BoundedSemaphore
from urllib.parse import parse_qsl, urlsplit

from bridge.carriers.client import DaemonUnreachable
from bridge.console.logins import ConsoleFull, Login, Logins
from bridge.console.views import READS
from hsmcore.errors import HsmError, PermissionDenied, StateError, Unauthenticated

LOOPBACK = "127.0.0.1"
_LARGEST = 64 * 1024
"""Longest body of a request, in bytes."""
_CONNECTIONS = 32
"""Connections at a time; a further one is closed."""
_SECONDS = 10
"""Time limit for a peer to send its request, in seconds."""
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/console.css": ("console.css", "text/css; charset=utf-8"),
    "/console.js": ("console.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Connection": "close",
}
"""Headers of every answer."""
_log = logging.getLogger("hsmbridge.console")


class Refused(Exception):
    """A request that is not answered; ``status`` is that of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Console(ThreadingHTTPServer):
    """Serves the page and its data. Use it as a context manager, which ends the logins."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, home: Path, port: int) -> None:
        """Listen on a port of the loopback interface; 0 is any free one.

        Raises:
            StateError: The port cannot be used.
        """
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise StateError(
                f"the console cannot have port {port} of {LOOPBACK}: {error.strerror}; choose another --port"
            ) from error
        self.logins = Logins(home)
        self.access_key = secrets.token_urlsafe(16)
        self._places = BoundedSemaphore(_CONNECTIONS)

    @property
    def address(self) -> str:
        """The address to open, with the access key, which the browser does not send."""
        return f"http://{LOOPBACK}:{self.server_port}/#{self.access_key}"

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Answer a connection in its own thread, or close it if there are too many."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Answer a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def service_actions(self) -> None:
        """End logins that are over; the server calls this twice a second."""
        self.logins.end_expired()

    def server_close(self) -> None:
        """End the logins and close the socket."""
        super().server_close()
        if hasattr(self, "logins"):
            self.logins.end_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a peer that was too slow or has disconnected."""
        _log.debug("a request was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Console
    timeout = _SECONDS

    def do_GET(self) -> None:  # the name is http.server's
        """Answer with the page, or with data."""
        self._attempt("GET")

    def do_POST(self) -> None:
        """Answer a login, a logout or a verification."""
        self._attempt("POST")

    def _attempt(self, method: str) -> None:
        try:
            self._require_own_page()
            path = urlsplit(self.path).path
            if method == "GET" and path in _PAGE:
                name, kind = _PAGE[path]
                self._send(200, files("bridge.console").joinpath("page", name).read_bytes(), kind)
                return
            self._send_json(200, self._answer(method, path.removeprefix("/api/")))
        except Refused as error:
            self._send_json(error.status, {"error": str(error)})
        except (Unauthenticated, DaemonUnreachable) as error:
            self._send_json(401, {"error": str(error)})
        except PermissionDenied as error:
            self._send_json(403, {"error": str(error)})
        except ConsoleFull as error:
            self._send_json(503, {"error": str(error)})
        except HsmError as error:
            self._send_json(400, {"error": str(error)})

    def _require_own_page(self) -> None:
        """Refuse names of other hosts (DNS rebinding) and requests of other pages.

        Raises:
            Refused: The request is not of the console's own page.
        """
        own = {f"{host}:{self.server.server_port}" for host in (LOOPBACK, "localhost")}
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if host not in own:
            raise Refused(421, "the console answers at its own address only")
        if origin not in (None, f"http://{host}") or site not in ("none", "same-origin"):
            raise Refused(403, "the request is of another page")

    def _answer(self, method: str, name: str) -> object:
        posted = self._body() if method == "POST" else {}
        if (method, name) == ("POST", "login"):
            return self._login(posted)
        by_user = self.headers.get("X-Console-Refresh") is None
        login = self.server.logins.find(self.headers.get("X-Console-Login", ""), by_user=by_user)
        if (method, name) == ("POST", "logout"):
            self.server.logins.log_out(login)
            return {}
        view = READS.get(name)
        if view is None or (name == "verify") != (method == "POST"):
            raise Refused(404, "there is nothing at this address")
        parameters = posted or dict(parse_qsl(urlsplit(self.path).query))
        return self._read(login, lambda: view(login, parameters))

    def _read(self, login: Login, read: Callable[[], object]) -> object:
        """Run a view in a login, which ends if the HSM has ended its session or connection.

        Raises:
            Unauthenticated: The HSM has ended the session.
            DaemonUnreachable: The HSM does not answer.
        """
        try:
            with login.lock:
                return read()
        except (Unauthenticated, DaemonUnreachable):
            self.server.logins.end(login)
            raise

    def _login(self, posted: Mapping[str, str]) -> object:
        if not hmac.compare_digest(posted.get("key", "").encode(), self.server.access_key.encode()):
            raise Refused(403, "open the address that `hsm console` printed, with all that follows the #")
        login = self.server.logins.begin(posted.get("username", ""), posted.get("role", ""), posted.get("password", ""))
        return {"token": login.token}

    def _body(self) -> dict[str, str]:
        """Return the JSON object of texts in the request.

        Raises:
            Refused: The body has no length, is too long or is something else.
        """
        if self.headers.get_content_type() != "application/json":
            raise Refused(415, "a request has the content type application/json")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(411, "a request says its length")
        if len(length) > 9 or int(length) > _LARGEST:
            raise Refused(413, f"a request has at most {_LARGEST} bytes")
        try:
            read = json.loads(self.rfile.read(int(length)))
            texts = {str(name): value for name, value in read.items() if isinstance(value, str)}
            "".join(texts.values()).encode()
        except (ValueError, AttributeError, RecursionError) as error:
            raise Refused(400, "a request is a JSON object of texts in UTF-8") from error
        return texts

    def _send_json(self, status: int, value: object) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        """Add the headers of every answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """Return the name of the server, without versions."""
        return "hsmbridge"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """Log the request, without its headers and body."""
        _log.debug(format, *args)
