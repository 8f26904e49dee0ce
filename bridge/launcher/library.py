"""The PKCS #11 library, and the files by which programs find it."""

from __future__ import annotations

import json
from pathlib import Path

from hsmcore.errors import StateError
from hsmcore.files import write_whole


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


def native_files() -> dict[str, Path]:
    """Return the library, the header of the vendor's mechanisms and, if it was built, the OpenSSL engine.

    Returns:
        The files by their place below ``/opt/cloudhsm``, or below another prefix.

    Raises:
        StateError: The library was not built.
    """
    header = Path(__file__).parent.parent / "native" / "include" / "cloudhsm_pkcs11_vendor_defs.h"
    library = library_path()
    engine = library.with_name("libcloudhsm_openssl_engine.so")
    files = {f"lib/{library.name}": library, f"include/pkcs11/{header.name}": header}
    return files | ({f"lib/{engine.name}": engine} if engine.is_file() else {})


def install(folder: Path, socket: Path) -> list[Path]:
    """Install these files, and return the installed ones. Each file is complete at every moment.

    ``etc/cloudhsm-pkcs11.cfg``, for the daemon at ``socket``, is written if it is missing.

    Raises:
        StateError: The library was not built.
        OSError: A file cannot be written.
    """
    server = {"hostname": str(socket), "port": 2223, "enable": True}
    options = {"disable_key_availability_check": True, "default_retry_mode": "standard"}
    cluster = {"type": "hsm2m", "cluster": {"servers": [server], "options": options}}
    files = {folder / place: source.read_bytes() for place, source in native_files().items()}
    files[folder / "etc" / "cloudhsm-pkcs11.cfg"] = json.dumps({"clusters": [cluster]}, indent=2).encode() + b"\n"
    for path, content in files.items():
        if path.suffix == ".cfg" and path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content, mode=0o755 if path.suffix == ".so" else 0o644)
    return list(files)


def module_file(library: Path) -> str:
    """Return a module file of p11-kit (pkcs11.conf(5)), by which its programs load the library."""
    return f"module: {library}\ncritical: no\n"
