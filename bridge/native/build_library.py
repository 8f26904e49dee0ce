"""Builds the PKCS #11 library and the OpenSSL engine with nothing but Python and a C compiler.

The engine, ``bridge/libcloudhsm_openssl_engine.so``, also takes OpenSSL's headers; without them it is left out.

::

    python bridge/native/build_library.py            compile and write both
    python bridge/native/build_library.py --check    compile and write nothing

``CC`` names another compiler.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARY = Path("bridge", "libcloudhsm_pkcs11.so")
ENGINE = Path("bridge", "libcloudhsm_openssl_engine.so")
ENGINE_MISSING = "the OpenSSL engine is left out: OpenSSL's headers were not found (Debian: apt install libssl-dev)"
_SOURCES = Path("bridge", "native")
_WARNINGS = ("-Wall", "-Wextra", "-Werror")
_FLAGS = (
    "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-pthread",
    "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong", "-fno-strict-aliasing",
    "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack", "-Wl,-z,defs",
)  # fmt: skip

_LIBRARIES = ("-Wl,--as-needed", "-ldl")
"""Before glibc 2.34 ``dlopen`` is in a library of its own."""


class BuildError(Exception):
    """The library cannot be built; the message quotes the compiler."""


class CompilerMissing(BuildError):
    """There is no C compiler."""


def build(root: Path, target: Path | None = None, extra: tuple[str, ...] = ()) -> Path:
    """Build the library of the source tree ``root`` and return its path.

    Args:
        root: The source tree.
        target: Where to write it; ``None`` for its place in the tree.
        extra: Further options of the compiler.

    Raises:
        BuildError: A file does not compile.
        CompilerMissing: There is no C compiler.
    """
    return _compile(root, root / LIBRARY if target is None else target, "pkcs11.map", (), extra)


def build_engine(root: Path, target: Path | None = None) -> Path | None:
    """Build the OpenSSL engine and return its path; ``None`` where OpenSSL's headers are missing.

    Args:
        root: The source tree.
        target: Where to write it; ``None`` for its place in the tree.

    Raises:
        BuildError: A file does not compile.
        CompilerMissing: There is no C compiler.
    """
    if not _has_openssl():
        return None
    engine = root / ENGINE if target is None else target
    return _compile(root, engine, "engine/engine.map", ("engine",), ("-DHSMBRIDGE_ENGINE", "-lcrypto"))


def _has_openssl() -> bool:
    command = [*find_compiler(), "-E", "-include", "openssl/engine.h", "-x", "c", "/dev/null"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _compile(root: Path, target: Path, exports: str, folders: tuple[str, ...], extra: tuple[str, ...]) -> Path:
    native = root / _SOURCES
    sources = sorted(str(path) for folder in (".", *folders) for path in (native / folder).glob("*.c"))
    # Written beside the target and renamed: a program that has the old library loaded keeps a whole one.
    unfinished = target.with_suffix(".so.new")
    with tempfile.TemporaryDirectory(prefix="hsmbridge-native-") as folder:
        (Path(folder) / "tables.h").write_text(_run([sys.executable, "-m", "bridge.cryptoki.header"], root))
        options = (f"-Wl,--version-script={native / exports}", "-I", folder, "-I", str(native), "-o", str(unfinished))
        _run([*find_compiler(), *_FLAGS, *_WARNINGS, *options, *sources, *extra, *_LIBRARIES], root)
    unfinished.replace(target)
    return target


def find_compiler() -> list[str]:
    """Return the command of the C compiler: ``$CC``, else ``cc``, ``gcc`` or ``clang`` on ``PATH``.

    Raises:
        CompilerMissing: There is none.
    """
    named = shlex.split(os.environ.get("CC", ""))
    for command in ([named] if named else []) + [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    raise CompilerMissing(
        "the PKCS #11 library is left out: no C compiler was found (Debian: apt install gcc libc6-dev)"
    )


def _run(command: list[str], root: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Build the hsmbridge PKCS #11 library.")
    parser.add_argument("--check", action="store_true", help="compile and write nothing")
    options = parser.parse_args()
    root = Path(__file__).resolve().parent.parent.parent
    try:
        if options.check:
            with tempfile.TemporaryDirectory(prefix="hsmbridge-native-") as folder:
                build(root, Path(folder) / LIBRARY.name)
                build_engine(root, Path(folder) / ENGINE.name)
        else:
            print(build(root).relative_to(root))
            engine = build_engine(root)
            print(engine.relative_to(root) if engine else f"note: {ENGINE_MISSING}")
    except CompilerMissing as missing:
        print(f"note: {missing}")
    except BuildError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
