"""Wrap and unwrap templates: set for a new key and later, shown, enforced, removed."""

from __future__ import annotations

from typing import Any

from .conftest import Site

_AES = ["key", "generate-symmetric", "aes", "--key-length-bytes", "32"]


def _done(site: Site, *words: str) -> Any:
    return site.run(*words, user="cu1").data


def _listed(site: Site) -> Any:
    (key,) = _done(site, "key", "list", "--filter", "attr.label=kek", "--verbose")["matched_keys"]
    return key["attributes"]


def test_templates(site: Site) -> None:
    template = "wrap-template=key-type=aes,id=0x01"
    kek = _done(site, *_AES, "--label", "kek", "--attributes", "wrap=true", "unwrap=true", template)["key"]
    assert kek["attributes"]["wrap-template"] == {"key-type": "aes", "id": "0x01"}
    assert "unwrap-template" not in kek["attributes"]
    _done(site, *_AES, "--label", "payload", "--attributes", "id=0x02")
    by = ["--wrapping-filter", "attr.label=kek"]
    wrap = ["key", "wrap", "aes-zero-pad", "--payload-filter", "attr.label=payload", *by]
    assert "WRAP_TEMPLATE in ID" in site.run(*wrap, user="cu1").error

    change = ["key", "set-attribute", "--filter", "attr.label=kek", "--name"]
    for name, value, shown in (
        ("wrap-template", "id=0x02", {"id": "0x02"}),
        ("unwrap-template", "sign=false,extractable=false", {"extractable": False, "sign": False}),
    ):
        assert _done(site, *change, name, "--value", value) == {"message": "Attribute set successfully"}
        assert _listed(site)[name] == shown
    assert _done(site, "key", "list", "--filter", "attr.wrap-template=id=0x02")["total_key_count"] == 1
    wrapped = _done(site, *wrap)["wrapped_key_data"]
    kind = ["--key-type-class", "aes", "--data", wrapped]
    unwrap = ["key", "unwrap", "aes-zero-pad", "--filter", "attr.label=kek", *kind]
    assert "UNWRAP_TEMPLATE" in site.run(*unwrap, "--label", "x", "--attributes", "extractable=true", user="cu1").error
    made = _done(site, *unwrap, "--label", "unwrapped", "--attributes", "sign=false")["key"]["attributes"]
    assert made["extractable"] is False

    for name in ("wrap-template", "unwrap-template"):
        _done(site, *change, name, "--value", "")
        assert not _listed(site).get(name)


def test_templates_that_are_refused(site: Site) -> None:
    for text in ("nonsense", "id", "nonsense=1", "id=0x1", "wrap-template=id=0x01", "id=0x01,,"):
        refused = site.run(*_AES, "--label", "bad", "--attributes", f"wrap-template={text}", user="cu1")
        assert "for the attribute wrap-template" in refused.error
    assert _done(site, "key", "list", "--filter", "attr.label=bad")["total_key_count"] == 0
