"""Checks of what was installed: Python, its packages, the provider's jar and the native libraries."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from bridge.doctor.finding import Finding, fail, ok, warn
from bridge.process.paths import provider_jar
from hsmcore import __version__
from hsmcore.errors import StateError

_PACKAGES = {
    "JPype1": "jpype",
    "SQLAlchemy": "sqlalchemy",
    "alembic": "alembic",
    "cryptography": "cryptography.hazmat.bindings._rust",
    "prometheus-client": "prometheus_client",
    "prompt_toolkit": "prompt_toolkit",
}
"""Packages that a command needs, with a module of each. click has been loaded by now."""
_AGAIN = "install hsmbridge again: pip install --force-reinstall, or make install"
_COMPILER = "install a C compiler (Debian: apt install gcc libc6-dev) and then hsmbridge again, if programs need it"
_HEADERS = "install OpenSSL's headers (Debian: apt install libssl-dev) and then hsmbridge again, if programs need it"
_FOLDER = Path(__file__).parents[1]
_LIBRARY, _ENGINE = "libcloudhsm_pkcs11.so", "libcloudhsm_openssl_engine.so"
_MODULES = (
    Path("/usr/share/p11-kit/modules"),
    Path("/usr/local/share/p11-kit/modules"),
    Path("/etc/pkcs11/modules"),
    Path("~/.config/pkcs11/modules"),
)
"""Folders of p11-kit's module files (pkcs11.conf(5))."""


def checks() -> Iterator[Finding]:
    """Check the installation of hsmbridge."""
    yield ok("Python", f"{sys.version.split()[0]}, {sys.executable}; hsmbridge {__version__} in {_FOLDER}")
    yield _packages()
    yield _jar()
    yield _native("PKCS #11 library", _LIBRARY, _COMPILER)
    yield _native("OpenSSL engine", _ENGINE, _HEADERS)
    yield _p11_kit()


def _packages() -> Finding:
    for package, module in _PACKAGES.items():
        try:
            import_module(module)
        except Exception as error:
            return fail("Packages", f"{package} does not load: {type(error).__name__}: {error}", _AGAIN)
    return ok("Packages", ", ".join(_PACKAGES))


def _jar() -> Finding:
    check = "Provider's jar"
    try:
        jar = provider_jar()
        with ZipFile(jar) as archive:
            manifest = archive.read("META-INF/MANIFEST.MF").decode()
    except (StateError, OSError, BadZipFile, KeyError) as error:
        return fail(check, str(error).partition(";")[0], _AGAIN)
    named = [line.split()[-1] for line in manifest.splitlines() if line.startswith("Implementation-Version:")]
    version = named[0] if named else "unknown"
    if version != __version__:
        return fail(check, f"{jar} is of version {version}, and hsmbridge of {__version__}", _AGAIN)
    return ok(check, str(jar))


def _native(check: str, name: str, cure: str) -> Finding:
    path = _FOLDER / name
    if not path.is_file():
        return warn(check, f"{path} was not built", cure)
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return fail(check, f"{path} does not load: {error}", _AGAIN)
    return ok(check, str(path))


def _p11_kit() -> Finding:
    """Check the module files by which programs of p11-kit find the PKCS #11 library."""
    check, own = "p11-kit", _FOLDER / _LIBRARY
    found = []
    for file in (file for folder in _MODULES for file in sorted(folder.expanduser().glob("*.module"))):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        named = [Path(line.partition(":")[2].strip()) for line in lines if line.strip().startswith("module:")]
        found += [(file, library) for library in named if library.name == _LIBRARY]
    for file, library in found:
        again = f"hsm pkcs11 --p11-kit > {file}"
        if not library.is_file():
            return fail(check, f"{file} names {library}, which is missing", again)
        if own.is_file() and library.read_bytes() != own.read_bytes():
            return warn(check, f"{file} names {library}, which is of another version than {own}", again)
    if not found:
        return ok(check, "no module file; `hsm pkcs11 --p11-kit` prints one for programs that need it")
    return ok(check, f"registered by {', '.join(str(file) for file, _ in found)}")
