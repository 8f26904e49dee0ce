"""The command lines of ``java``, ``keytool`` and ``jarsigner``, parsed as their own launchers do (java(1))."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile, ZipFile


class UsageError(ValueError):
    """The command line cannot be run; the message has the reason."""


@dataclass(slots=True)
class CommandLine:
    """A parsed command line: JVM options, class path, main class and its arguments."""

    options: list[str] = field(default_factory=list)
    class_path: list[str] = field(default_factory=list)
    main_class: str = ""
    arguments: list[str] = field(default_factory=list)


_CLASS_PATH = ("-cp", "-classpath", "--class-path")
_WITH_VALUE = (
    "--add-modules",
    "--add-exports",
    "--add-opens",
    "--add-reads",
    "--limit-modules",
    "--patch-module",
    "--upgrade-module-path",
    "--enable-native-access",
    "--module-path",
)
_REFUSED = (
    "-m",
    "--module",
    "--source",
    "--describe-module",
    "-d",
    "--list-modules",
    "--dry-run",
    "--validate-modules",
)
# The launcher's own short forms, which a JVM started through JNI does not know.
_SHORT = {
    "-ea": "-enableassertions",
    "-da": "-disableassertions",
    "-esa": "-enablesystemassertions",
    "-dsa": "-disablesystemassertions",
}


def parse_java(words: Sequence[str]) -> CommandLine:
    """Parse the words after ``java``: options, then ``-jar file`` or a main class, then its arguments.

    As in java, ``@file`` inserts the words of a file, ``dir/*`` in the class path stands for all jars in it, and
    ``$CLASSPATH`` is the default class path.

    Raises:
        UsageError: The main class is missing, an option has no value or is unsupported, or a file cannot be read.
    """
    line = CommandLine()
    rest = _expanded(words, line)
    for word in rest:
        if word in _CLASS_PATH:
            line.class_path = split_class_path(_value(word, rest))
        elif word.startswith("--class-path="):
            line.class_path = split_class_path(word.partition("=")[2])
        elif word == "-jar":
            jar = _value(word, rest)
            line.class_path, line.main_class = [jar], main_class_of(jar)
        elif word.endswith(".java"):
            raise UsageError(
                f"hsm java runs compiled classes: `javac {word}` first, or run it with java and `hsm start`"
            )
        elif not word.startswith("-"):
            line.main_class = word.replace("/", ".")
        else:
            line.options += _option(word, rest)
        if line.main_class:
            line.arguments = list(rest)
            break
    else:
        raise UsageError("there is no main class: give one, or -jar and a file, after the options")
    line.class_path = line.class_path or split_class_path(os.environ.get("CLASSPATH") or ".")
    return line


def parse_tool(words: Sequence[str]) -> CommandLine:
    """Parse the words after ``keytool`` or ``jarsigner``: words with ``-J`` are for the JVM, the others for the tool.

    Raises:
        UsageError: A JVM option has no value or is unsupported.
    """
    line = CommandLine(arguments=[word for word in words if not word.startswith("-J")])
    rest = iter([word[2:] for word in words if word.startswith("-J")])
    for word in rest:
        if word in _CLASS_PATH:
            line.class_path = split_class_path(_value(word, rest))
        else:
            line.options += _option(word, rest)
    return line


def split_class_path(text: str) -> list[str]:
    """Return the entries; ``dir/*`` becomes the jars in it, and an empty entry the current folder."""
    entries: list[str] = []
    for entry in text.split(os.pathsep):
        if entry == "*" or entry.endswith("/*"):
            folder = Path(entry[:-1])
            entries += sorted(str(path) for path in folder.glob("*") if path.suffix.lower() == ".jar")
        else:
            entries.append(entry or ".")
    return entries


def main_class_of(jar: str) -> str:
    """Return ``Main-Class`` of a jar's manifest.

    Raises:
        UsageError: The jar is unreadable or has no main class.
    """
    try:
        with ZipFile(jar) as archive:
            manifest = archive.read("META-INF/MANIFEST.MF").decode()
    except (OSError, BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise UsageError(f"{jar} is not a jar that can be run: {error}") from error
    # A line that begins with a space continues the one before (JAR file specification).
    for line in manifest.replace("\r\n", "\n").replace("\n ", "").split("\n"):
        name, _, value = line.partition(":")
        if name.lower() == "main-class":
            return value.strip()
    raise UsageError(f"{jar} has no Main-Class in its manifest")


def _option(word: str, rest: Iterator[str]) -> list[str]:
    """Return a JVM option in the form of JNI: one word.

    Raises:
        UsageError: The option is unsupported or has no value.
    """
    if word in _REFUSED or word.partition("=")[0] in _REFUSED:
        raise UsageError(f"{word} cannot be used in-process; run it with the JDK's own java and a daemon (`hsm start`)")
    if word in _WITH_VALUE:
        return [f"{word}={_value(word, rest)}"]
    if word == "-p":
        return [f"--module-path={_value(word, rest)}"]
    head, colon, tail = word.partition(":")
    return [_SHORT.get(head, head) + colon + tail]


def _value(word: str, rest: Iterator[str]) -> str:
    try:
        return next(rest)
    except StopIteration:
        raise UsageError(f"{word} needs a value") from None


def _expanded(words: Sequence[str], line: CommandLine) -> Iterator[str]:
    """Yield the words, with each ``@file`` before the main class replaced by the words in it; ``@@`` is ``@``.

    Raises:
        UsageError: The file cannot be read.
    """
    for word in words:
        if line.main_class or not word.startswith("@"):
            yield word
        elif word.startswith("@@"):
            yield word[1:]
        else:
            try:
                yield from shlex.split(Path(word[1:]).read_text(encoding="utf-8"), comments=True)
            except (OSError, ValueError) as error:
                raise UsageError(f"{word}: {error}") from error
