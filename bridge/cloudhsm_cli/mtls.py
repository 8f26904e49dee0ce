"""The ``cluster mtls`` commands."""

from __future__ import annotations

from bridge.cloudhsm_cli import files
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.quorum import approve
from bridge.cloudhsm_cli.table import Data, Values
from bridge.protocol.codec import Value


def register(context: Context, values: Values) -> Data:
    """Register a trust anchor."""
    certificate = files.read(values.text("path"))
    approve(context, values)
    (anchor,) = context.call("MTLS_REGISTER", certificate)
    return {"trust_anchor": _anchor(anchor)}


def deregister(context: Context, values: Values) -> Data:
    """Deregister trust anchors."""
    approve(context, values)
    (gone,) = context.call("MTLS_DEREGISTER", list(values.texts("certificate-reference")))
    references = ", ".join(map(str, gone)) if isinstance(gone, list) else ""
    return {"message": f"Trust anchor with reference {references} deregistered successfully"}


def list_anchors(context: Context, values: Values) -> Data:
    """List the trust anchors."""
    (anchors,) = context.call("MTLS_LIST")
    return {"trust_anchors": [_anchor(anchor) for anchor in anchors] if isinstance(anchors, list) else []}


def get_enforcement(context: Context, values: Values) -> Data:
    """Show the level of enforcement."""
    (level,) = context.call("MTLS_GET_ENFORCEMENT")
    return {"mtls-enforcement-level": level}


def set_enforcement(context: Context, values: Values) -> Data:
    """Set the level of enforcement."""
    level = values.text("level")
    approve(context, values)
    context.call("MTLS_SET_ENFORCEMENT", level)
    return {"message": f"Mtls enforcement level set to {level.capitalize()} successfully"}


def _anchor(anchor: Value) -> dict[str, object]:
    return {**anchor, "cluster-coverage": "full"} if isinstance(anchor, dict) else {}
