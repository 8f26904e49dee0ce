"""XML signatures whose keys are in the HSM, validated by a JVM that does not know the provider."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.consumers.application import Application

_DSIG = "http://www.w3.org/2001/04/xmldsig-more#"
_DSIG_2007 = "http://www.w3.org/2007/05/xmldsig-more#"
_METHODS = {
    f"{_DSIG}rsa-sha256": "rsa",
    f"{_DSIG}rsa-sha512": "rsa",
    f"{_DSIG}ecdsa-sha256": "ec",
    f"{_DSIG}ecdsa-sha384": "ec",
    f"{_DSIG_2007}sha256-rsa-MGF1": "rsa",
    f"{_DSIG_2007}rsa-pss": "rsa",
}
_NO_PSS = dict(list(_METHODS.items())[:4])


@pytest.mark.parametrize(
    ("position", "naming", "methods"),
    [
        ("first", "unnamed", _METHODS),
        # The JDK sets PSS parameters before the key, and with that takes the first provider that knows PSS.
        ("last", "unnamed", _NO_PSS),
        ("last", "named", _METHODS),
    ],
)
def test_signed_documents_are_valid(
    application: Application, tmp_path: Path, store: Path, position: str, naming: str, methods: dict[str, str]
) -> None:
    words: list[object] = []
    questions: list[object] = []
    documents = []
    for number, (method, alias) in enumerate(methods.items()):
        document = tmp_path / f"{number}.xml"
        document.write_text("<order><item>100</item></order>")
        words += [alias, method, document]
        questions += [document, store.with_name(f"{alias}.pem")]
        documents.append(document)
    application.run("Xml", "sign", position, store, naming, *words)
    for document, method in zip(documents, methods, strict=True):
        assert method in document.read_text()
    judge = dataclasses.replace(application, beside=False, without_provider=True)
    assert judge.run("Xml", "verify", *questions).split() == ["valid"] * len(methods)
    for document in documents:
        document.write_text(document.read_text().replace("100", "900"))
    assert judge.run("Xml", "verify", *questions).split() == ["invalid"] * len(methods)


def test_an_exception_that_ends_a_program_is_told_as_java_tells_it(application: Application, tmp_path: Path) -> None:
    done = application.attempt("Xml", "verify", tmp_path / "missing.xml", tmp_path / "missing.pem")
    assert done.returncode == 1
    assert done.stderr.startswith('Exception in thread "main" java.')
    assert "missing.xml" in done.stderr
    assert "at Xml.main(Xml.java:" in done.stderr
    assert "Traceback" not in done.stderr
