"""How a program in ``hsm java`` ends: as with ``java``, with its shutdown hooks and Java's exit code."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import tool
from tests.site import Site, fresh_site

_PROGRAM = """\
public class Ends {
    public static void main(String[] words) throws Exception {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        System.out.println("begun");
        if (words.length > 0) {
            new Thread(() -> System.exit(7)).start();
        }
        Thread.sleep(60_000);
    }
}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("endings")
    (folder / "Ends.java").write_text(_PROGRAM)
    subprocess.run([tool("javac"), "-d", str(folder), str(folder / "Ends.java")], check=True, timeout=60)
    with fresh_site(folder / "hsm") as site:
        yield site


@pytest.mark.parametrize(
    ("number", "words", "code"), [(signal.SIGINT, [], 130), (signal.SIGTERM, [], 143), (None, ["exit"], 7)]
)
def test_a_program_ends_as_with_java(site: Site, number: signal.Signals | None, words: list[str], code: int) -> None:
    command = [sys.executable, "-m", "bridge", "java", "-cp", str(site.home.parent), "Ends", *words]
    with subprocess.Popen(
        command, env=site.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        try:
            assert program.stdout is not None
            assert select.select([program.stdout], [], [], 60)[0]
            assert program.stdout.readline() == "begun\n"
            if number is not None:
                program.send_signal(number)
            # Both lines may have been read at once; `communicate` would not return the second.
            said = program.stdout.read()
            program.wait(60)
        finally:
            program.kill()
    assert (said, program.returncode) == ("hook\n", code)


def test_a_source_file_is_to_be_compiled(site: Site) -> None:
    refused = site.hsm("java", str(Path(site.home.parent) / "Ends.java"))
    assert refused.returncode == 2
    assert "`javac " in refused.stderr
