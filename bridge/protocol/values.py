"""Conversions between the protocol's fields and the records of the HSM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from bridge.protocol.codec import Value
from hsmcore.errors import MalformedRequest
from hsmcore.keys.records import Sharing
from hsmcore.tables.attributes import Plain
from hsmcore.tables.attributes import Value as AttributeValue

if TYPE_CHECKING:
    from hsmcore.audit.verification import Verification
    from hsmcore.backup.making import Verified
    from hsmcore.keys.description import KeyDescription
    from hsmcore.primitives.tls_certificates import CertificateFacts
    from hsmcore.quorum.approvals import TokenInfo
    from hsmcore.users.accounts import UserInfo

Fields = Mapping[str, Value]
"""A map of the protocol."""


def template(attributes: Fields) -> dict[str, AttributeValue]:
    """Return the attributes that are not null.

    Raises:
        MalformedRequest: An attribute is a list, or a value inside a map is a list or a map.
    """
    nested = {name: _plain(value) for name, value in attributes.items() if isinstance(value, dict)}
    return {**_plain({name: value for name, value in attributes.items() if name not in nested}), **nested}


def _plain(attributes: Fields) -> dict[str, Plain]:
    checked: dict[str, Plain] = {}
    for name, value in attributes.items():
        if isinstance(value, (bool, int, str, bytes)):
            checked[name] = value
        elif value is not None:
            raise MalformedRequest(f"attribute {name[:64]!r} is a {type(value).__name__}")
    return checked


def search_template(attributes: Fields) -> dict[str, AttributeValue | list[AttributeValue]]:
    """Return the attributes of a search that are not null; a list matches any of its values.

    Raises:
        MalformedRequest: A value has a type that no attribute has.
    """
    choices = {name: value for name, value in attributes.items() if isinstance(value, list)}
    lists: dict[str, AttributeValue | list[AttributeValue]] = {
        name: [_plain({name: one})[name] for one in values if one is not None] for name, values in choices.items()
    }
    return {**template({name: value for name, value in attributes.items() if name not in choices}), **lists}


def new_key(attributes: Fields) -> tuple[dict[str, AttributeValue], Sharing]:
    """Return the template of a new key, and the users in ``SHARED_USERS``, who may use it.

    Raises:
        MalformedRequest: ``SHARED_USERS`` is no list of texts, or an attribute has a wrong type.
    """
    attributes = dict(attributes)
    users = attributes.pop("SHARED_USERS", None) or []
    return template(attributes), Sharing(tuple(texts(users, "SHARED_USERS")))


def texts(value: Value, name: str) -> list[str]:
    """Return a list of texts.

    Args:
        value: The field.
        name: Its name for the message.

    Raises:
        MalformedRequest: It is no list, or has something else.
    """
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return [str(one) for one in value]
    raise MalformedRequest(f"{name} is a list of texts")


def key_description(key: KeyDescription) -> Fields:
    """Return the fields of a key description."""
    fields: dict[str, Value] = {**key.record.fields(), **key.derived}
    if key.owner is not None:
        fields |= {"OWNER": key.owner, "SHARED_USERS": list(key.sharing.users)}
    return fields


def user(info: UserInfo) -> Fields:
    """Return the fields of a user."""
    return {
        "id": info.number, "username": info.username, "role": info.role, "locked": info.locked,
        "mfa": info.mfa, "quorum": info.quorum,
    }  # fmt: skip


def quorum_tokens(tokens: Iterable[TokenInfo]) -> list[Fields]:
    """Return a row for each quorum token of an admin service, then one for all tokens of a user for a key."""
    rows: list[Fields] = []
    for_keys: Counter[tuple[str, str, int]] = Counter()
    for token in tokens:
        if token.key is not None:
            for_keys[token.username, token.service, token.key] += 1
            continue
        rows.append({
            "username": token.username, "service": token.service, "approvals-required": token.required,
            "number-of-approvals": token.approvals, "token-timeout-seconds": token.seconds,
        })  # fmt: skip
    for (username, service, key), count in for_keys.items():
        rows.append({"username": username, "service": service, "key-reference": key, "minimum-token-count": count})
    return rows


def backup(verified: Verified) -> Fields:
    """Return the fields of a backup that was read from beginning to end."""
    totals = asdict(verified.totals)
    return {**asdict(verified.info), **totals, "anchor": verified.anchor}


def verification(result: Verification) -> Fields:
    """Return the fields of a verification of the audit log."""
    findings: list[Value] = [{"sequence": found.sequence, "text": found.text} for found in result.findings]
    head = result.head
    return {"entries": head.count, "reboot": head.reboot, "anchor": head.anchor(), "findings": findings}


def anchor(reference: str, certificate: str) -> Fields:
    """Return the fields of a trust anchor."""
    return {"certificate-reference": reference, "certificate": certificate}


def certificate(facts: CertificateFacts) -> Fields:
    """Return the fields of a certificate; the times are in seconds since 1970."""
    return {
        "subject": facts.subject, "names": list(facts.names),
        "not-before": facts.not_before, "not-after": facts.not_after,
    }  # fmt: skip
