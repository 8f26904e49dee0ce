"""The pytest plugin as a project of somebody else uses it: a folder with a few lines of test, run by pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.carriers.jvm import provider_jar
from tests.conftest import alike

TESTS = """
from jpype import JClass

LABELS = []


def test_signs(hsm):
    generator = JClass("java.security.KeyPairGenerator").getInstance("EC", "CloudHSM")
    generator.initialize(256)
    pair = generator.generateKeyPair()
    assert pair.getPrivate().getEncoded() is None
    assert hsm.provider.getName() == "CloudHSM"


def test_makes_a_key_in_python_and_finds_it_in_java(hsm):
    hsm.hsm.keys.generate(hsm.session, "AES_KEY_GEN", {"LABEL": "shared", "TOKEN": True})
    store = JClass("java.security.KeyStore").getInstance("CloudHSM")
    store.load(None, None)
    assert store.getKey("shared", None).getAlgorithm() == "AES"


def test_begins_with_an_empty_hsm(hsm):
    assert hsm.hsm.keys.find(hsm.session, {}) == []
    assert JClass("com.example.Answer").number() == 42
    assert JClass("java.lang.System").getProperty("set.by.test") == "yes"


def test_needs_no_hsm():
    assert True
"""

ANSWER = """
package com.example;
public class Answer {
    public static int number() {
        return 42;
    }
}
"""


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HSM_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def _project(folder: Path) -> None:
    (folder / "test_it.py").write_text(TESTS)
    (folder / "Answer.java").write_text(ANSWER)
    subprocess.run(["javac", "-d", "classes", "Answer.java"], cwd=folder, check=True)
    (folder / "pytest.ini").write_text(
        "[pytest]\nhsmbridge_classpath = classes\nhsmbridge_jvm_args =\n    -Dset.by.test=yes\n"
    )


def test_a_project(tmp_path: Path) -> None:
    _project(tmp_path)
    done = _run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_a_failing_test_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_fails(hsm):\n    assert hsm.user == 'nobody'\n")
    done = _run(tmp_path)
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert "AssertionError: assert 'cu1' == 'nobody'" in done.stdout


NESTED = """
from jpype import JClass


def label():
    store = JClass("java.security.KeyStore").getInstance("CloudHSM")
    store.load(None, None)
    return sorted(str(alias) for alias in store.aliases())


def add(where, label):
    where.hsm.keys.generate(where.session, "AES_KEY_GEN", {"LABEL": label, "TOKEN": True})


def test_of_the_run(hsm_session):
    add(hsm_session, "run")
    assert label() == ["run"]


def test_of_the_module(hsm_session, hsm_module):
    add(hsm_module, "module")
    assert label() == ["module"]


def test_of_one_test(hsm_module, hsm):
    assert label() == []
    add(hsm, "test")
    assert label() == ["test"]


def test_the_module_has_its_own_again(hsm_module):
    assert label() == ["module"]
    assert JClass("java.security.Security").getProvider("CloudHSM") == hsm_module.provider
    JClass("javax.crypto.KeyGenerator").getInstance("AES", "CloudHSM").generateKey()
"""


def test_fixtures_of_a_module_and_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_first.py").write_text(NESTED)
    after = "def test_the_run_has_its_own_again(hsm_session):\n    assert label() == ['run']\n"
    (tmp_path / "test_second.py").write_text("from test_first import label\n\n\n" + after)
    done = _run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


@pytest.mark.parametrize("class_path", alike([(), ("jar",)]))
def test_a_jvm_that_runs_already_is_used(tmp_path: Path, class_path: tuple[str, ...]) -> None:
    _project(tmp_path)
    entries = [str(provider_jar()) for _ in class_path]
    start = f"import jpype\njpype.startJVM('-Dset.by.test=yes', classpath={entries!r})\n"
    (tmp_path / "conftest.py").write_text(start)
    done = _run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    assert "hsmbridge_jvm_args has no effect" in done.stdout


def test_a_wrong_entry_of_the_class_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(hsm):\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nhsmbridge_classpath = lib/missing.jar\n")
    done = _run(tmp_path)
    assert done.returncode == 1
    assert f"hsmbridge_classpath names {tmp_path / 'lib' / 'missing.jar'}, which does not exist" in done.stdout
