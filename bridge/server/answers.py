"""Answers as of a cluster in which an HSM does not respond, or in which the HSMs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MEMBERS = frozenset({"HSM_INFO", "CLUSTER_MEMBERS"})
"""Operations that tell the HSMs of the cluster."""
UNSYNCHRONISED = {
    "MASKED_USER_EXTRACT": "Specified user is inconsistent across the cluster",
    "MASKED_KEY_EXTRACT": "The selected key is not synchronized throughout the cluster",
}
"""Errors of the operations that copy a user or a key."""
COPIES = frozenset({"USER_LIST", "LIST_KEYS"}) | UNSYNCHRONISED.keys()
"""Operations that show that HSMs differ."""
FIELDS = ("cluster-coverage", "role", "locked", "mfa")
"""Fields that can differ."""


def without_member(operation: str, result: object, number: int) -> object:
    """Return the answer of an operation while the HSM with this number does not respond."""
    if operation == "CLUSTER_MEMBERS" and isinstance(result, Sequence):
        return [row for row in result if isinstance(row, Mapping) and row.get("own", True)]
    if operation != "HSM_INFO" or not isinstance(result, Mapping):
        return result
    own = {"hsm-id": f"hsm-{str(result['serial-number'])[:11]}", "number": "1", "address": "", "state": "ACTIVE"}
    members = [dict(row) for row in result.get("members", [own])]
    if all(row["number"] != str(number) for row in members):
        members.append({"hsm-id": "hsm-simulated", "number": str(number), "address": ""})
    for row in members:
        if row["number"] == str(number):
            row["state"] = "NOT RESPONDING"
    return {**result, "members": members}


def inconsistent(operation: str, result: object, fields: Sequence[str], user: str) -> object:
    """Return the list of an operation, whose rows name their fields that differ between HSMs.

    Args:
        operation: The operation.
        result: Its answer.
        fields: The fields that differ.
        user: The name of the only user with such fields; empty for all users and keys.
    """
    if operation == "USER_LIST" and isinstance(result, Sequence):
        return [_marked(row, fields) if user in {"", row["username"]} else row for row in result]
    if operation == "LIST_KEYS" and isinstance(result, tuple) and not user:
        rows, *rest = result
        return ([_marked(row, fields) for row in rows], *rest)
    return result


def _marked(row: Mapping[str, object], fields: Sequence[str]) -> dict[str, object]:
    return {**row, "inconsistent": list(fields)}
