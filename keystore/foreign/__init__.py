"""Key stores of other programs: JKS, JCEKS, BKS, UBER and PKCS #12, read and written as bytes.

``read`` tells what a file is by its content. ``judge`` tells what a key becomes in the HSM, or why it cannot. The
caller hands in functions that read and write with Java's own key stores.
"""

from __future__ import annotations

from keystore.foreign.formats import Store, format_of, read
from keystore.foreign.judging import Candidate, check_chain, judge
from keystore.foreign.model import Found, Reason, Refused
from keystore.foreign.writing import OwnKey, write_pem, write_pkcs12

__all__ = [
    "Candidate",
    "Found",
    "OwnKey",
    "Reason",
    "Refused",
    "Store",
    "check_chain",
    "format_of",
    "judge",
    "read",
    "write_pem",
    "write_pkcs12",
]
