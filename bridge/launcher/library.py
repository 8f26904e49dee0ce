"""The PKCS #11 library, and the files by which programs find it."""

from __future__ import annotations

from pathlib import Path

from hsmcore.errors import StateError


def library_path() -> Path:
    """Return the path of the PKCS #11 library.

    Raises:
        StateError: The library was not built.
    """
    library = Path(__file__).parent.with_name("libcloudhsm_pkcs11.so")
    if not library.is_file():
        raise StateError(
            f"{library} is missing: no C compiler was found when hsmbridge was installed; install one"
            " (Debian: apt install gcc libc6-dev) and install hsmbridge again"
        )
    return library


def module_file(library: Path) -> str:
    """Return a module file of p11-kit (pkcs11.conf(5)), by which its programs load the library."""
    return f"module: {library}\ncritical: no\n"
