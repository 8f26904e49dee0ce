"""Many clients at once: some JVMs of sixteen threads each, and nobody is left waiting."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests import jdk
from tests.conftest import repeated

from .conftest import Desk, programs

_HERE = Path(__file__).parent
JVMS, THREADS, OPERATIONS = repeated(2, 4), 16, repeated(10, 40)


def test_nobody_starves(desk: Desk) -> None:
    command = [*jdk.command("java"), "-cp", programs(), "Crowd", str(THREADS), str(OPERATIONS)]
    crowd = [
        subprocess.Popen(command, cwd=desk.folder, env=desk.site.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(JVMS)
    ]
    for program in crowd:
        said, _ = program.communicate(timeout=300)
        assert program.returncode == 0
        assert int(said) >= OPERATIONS
    assert desk.site.must_here("status", "--json")


def test_large_data_of_many_threads(desk: Desk) -> None:
    """There are fewer large buffers than threads; whoever finds none has one made."""
    right = f"{8 * 24} of {8 * 24}"
    arguments = (*jdk.QUICK, "-cp", programs(), "LargeData", "8")
    over_the_socket = subprocess.run(
        [jdk.java_tool("java"), *arguments], env=desk.site.environment, capture_output=True, text=True, timeout=300
    )
    assert over_the_socket.stdout.strip() == right, over_the_socket
    desk.site.must_here("stop")
    assert desk.site.must("java", *arguments).strip() == right
    desk.site.must("start")
