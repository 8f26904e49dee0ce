"""Command lines of java, keytool and jarsigner, parsed as their own launchers do."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from bridge.launcher.commandline import UsageError, main_class_of, parse_java, parse_tool, split_class_path


def test_a_java_command_line() -> None:
    line = parse_java(
        ["-cp", "a.jar:b", "-Dx=y", "-Xmx64m", "--add-opens", "m/p=ALL-UNNAMED", "-ea:org...", "org.Main", "-cp", "z"]
    )
    assert line.class_path == ["a.jar", "b"]
    assert line.options == ["-Dx=y", "-Xmx64m", "--add-opens=m/p=ALL-UNNAMED", "-enableassertions:org..."]
    assert line.main_class == "org.Main"
    assert line.arguments == ["-cp", "z"]


@pytest.mark.parametrize("words", [["-classpath", "x"], ["--class-path", "x"], ["--class-path=x"]])
def test_other_spellings_of_the_class_path(words: list[str]) -> None:
    assert parse_java([*words, "Main"]).class_path == ["x"]


def test_the_class_path_without_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLASSPATH", raising=False)
    assert parse_java(["Main"]).class_path == ["."]
    monkeypatch.setenv("CLASSPATH", "env.jar")
    assert parse_java(["Main"]).class_path == ["env.jar"]


def test_a_jar(tmp_path: Path) -> None:
    jar = tmp_path / "program.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr(
            "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nMain-Class: org.example.Ve\r\n ryLong\r\n\r\n"
        )
    line = parse_java(["-Dx=y", "-jar", str(jar), "one"])
    assert (line.class_path, line.main_class, line.arguments) == ([str(jar)], "org.example.VeryLong", ["one"])


def test_jars_that_cannot_be_run(tmp_path: Path) -> None:
    plain = tmp_path / "plain.jar"
    plain.write_bytes(b"no zip")
    empty = tmp_path / "empty.jar"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    for jar in (plain, empty, tmp_path / "missing.jar"):
        with pytest.raises(UsageError, match=jar.name):
            main_class_of(str(jar))


def test_wildcards_stand_for_jars(tmp_path: Path) -> None:
    for name in ("b.jar", "a.JAR", "c.txt"):
        (tmp_path / name).touch()
    assert split_class_path(f"{tmp_path}/*:x:") == [f"{tmp_path}/a.JAR", f"{tmp_path}/b.jar", "x", "."]


def test_argument_files(tmp_path: Path) -> None:
    file = tmp_path / "options"
    file.write_text('-Dgreeting="good morning" # a comment\n-cp x\n')
    line = parse_java([f"@{file}", "Main", "@@literal", "@unread"])
    assert line.options == ["-Dgreeting=good morning"]
    assert line.class_path == ["x"]
    assert line.arguments == ["@@literal", "@unread"]


@pytest.mark.parametrize(
    "words", [[], ["-cp"], ["-cp", "x"], ["-jar"], ["-m", "a/b"], ["--module=a/b"], ["@/nowhere", "M"]]
)
def test_what_cannot_be_run(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_java(words)


def test_a_keytool_command_line() -> None:
    line = parse_tool(["-list", "-J-cp", "-Jours.jar", "-J-Dx=y", "-keystore", "k"])
    assert line.arguments == ["-list", "-keystore", "k"]
    assert line.class_path == ["ours.jar"]
    assert line.options == ["-Dx=y"]
