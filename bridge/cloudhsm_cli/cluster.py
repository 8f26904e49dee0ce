"""The ``cluster`` commands."""

from __future__ import annotations

from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.table import Data, Values


def hsm_info(context: Context, values: Values) -> Data:
    """Describe the HSM."""
    (info,) = context.call("HSM_INFO")
    return {"hsms": [info]}
