"""Key stores of other programs: JKS, JCEKS, BKS, UBER and PKCS #12, read and written as bytes.

``read`` recognises a file by its content. ``judge`` converts a key to a new key of the HSM, or refuses it with a
reason. The caller provides functions that read and write with Java's own key stores.
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
