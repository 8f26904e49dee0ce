"""Certificates, which are stored as keys are: the bytes sealed, the attributes bound to the newest audit entry.

A certificate is no key: no search for keys finds it, and no mechanism takes it.
"""

from __future__ import annotations

from collections.abc import Mapping

from hsmcore.errors import KeyMaterialInvalid
from hsmcore.keys.generation import NewKey
from hsmcore.primitives.certificates import facts
from hsmcore.tables.attributes import ROWS, Value, checked

CERTIFICATE, X_509 = "CERTIFICATE", "X_509"
"""OBJECT_CLASS and KEY_TYPE of a certificate."""
MAX_BYTES = 65536
"""Maximum length of a certificate in DER."""


def new_certificate(template: Mapping[str, Value], category: int, certificate: bytes) -> NewKey:
    """Return a certificate that is not yet stored; it has the names and the number in it as attributes.

    Args:
        template: LABEL, ID, MODIFIABLE and DESTROYABLE, each optional.
        category: The CERTIFICATE_CATEGORY of PKCS #11.
        certificate: The certificate (DER).

    Raises:
        KeyMaterialInvalid: The bytes are no certificate, or too long.
        AttributeInvalid: An attribute is of the wrong type.
    """
    if len(certificate) > MAX_BYTES:
        raise KeyMaterialInvalid(f"a certificate has at most {MAX_BYTES} bytes, not {len(certificate)}")
    attributes: dict[str, Value] = {row.name: False for row in ROWS if row.type is bool}
    attributes |= {"LABEL": "", "ID": b"", "MODIFIABLE": True, "DESTROYABLE": True, **checked(template)}
    attributes |= {"OBJECT_CLASS": CERTIFICATE, "KEY_TYPE": X_509, "TOKEN": True, "CERTIFICATE_CATEGORY": category}
    return NewKey({**attributes, **facts(certificate)}, certificate)
