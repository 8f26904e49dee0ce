"""Certificate objects. ``enable_certificate_storage`` in the configuration switches them on, as in the original."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.cryptoki import templates
from bridge.cryptoki.application import Application, CryptokiSession
from bridge.cryptoki.failures import Refused
from bridge.cryptoki.numbers import X_509, ObjectClass, Rv
from hsmcore.keys.certificates import CERTIFICATE
from hsmcore.keys.records import KeyRecord
from hsmcore.tables.attributes import Value as CoreValue

_MARKS = {
    "CLASS": "2", "CERTIFICATE_TYPE": "2", "VALUE": "2", "TOKEN": "+", "PRIVATE": "+", "MODIFIABLE": "+",
    "DESTROYABLE": "+", "LABEL": "+", "ID": "+", "CERTIFICATE_CATEGORY": "+", "TRUSTED": "+", "SUBJECT": "+",
    "ISSUER": "+", "SERIAL_NUMBER": "+",
}  # fmt: skip
"""The attributes of a certificate; ``2`` must be given."""
_DEFAULTS = {"TOKEN": True, "PRIVATE": False, "TRUSTED": False}
"""Values that a template may only repeat."""


def enabled(app: Application) -> bool:
    """Tell whether the application stores certificates."""
    return app.options.get("enable_certificate_storage") is True


def create(app: Application, session: CryptokiSession, template: templates.Template) -> KeyRecord:
    """Store a certificate and return its record.

    Raises:
        Refused: Certificates are off, or the template breaks a rule.
    """
    if not enabled(app):
        raise Refused(Rv.ATTRIBUTE_VALUE_INVALID)
    if not session.read_write:
        raise Refused(Rv.SESSION_READ_ONLY)
    if template.keys() - _MARKS.keys():
        raise Refused(Rv.TEMPLATE_INCONSISTENT)
    if any(mark == "2" and name not in template for name, mark in _MARKS.items()):
        raise Refused(Rv.TEMPLATE_INCOMPLETE)
    if template["CERTIFICATE_TYPE"] != X_509 or any(
        template.get(name, value) is not value for name, value in _DEFAULTS.items()
    ):
        raise Refused(Rv.ATTRIBUTE_VALUE_INVALID)
    category, der = template.get("CERTIFICATE_CATEGORY", 0), template["VALUE"]
    core: dict[str, CoreValue] = {
        name: templates.plain(name, template[name])
        for name in ("LABEL", "ID", "MODIFIABLE", "DESTROYABLE")
        if name in template
    }
    return app.hsm.keys.store_certificate(
        app.user(), core, category if isinstance(category, int) else 0, der if isinstance(der, bytes) else b""
    )


def search(app: Application, template: templates.Template) -> list[int]:
    """Return the handles of the certificates that a search template selects."""
    if not enabled(app):
        return []
    return [record.handle for record in app.hsm.keys.certificates(app.user()) if _fits(app, record, template)]


def _fits(app: Application, record: KeyRecord, template: templates.Template) -> bool:
    return all(value(app, record, name) == wanted for name, wanted in template.items())


def is_certificate(record: KeyRecord) -> bool:
    """Tell whether a record is that of a certificate."""
    return record.attributes["OBJECT_CLASS"] == CERTIFICATE


def value(app: Application, record: KeyRecord, name: str) -> object:
    """Return an attribute of a certificate, ``None`` for one that it does not have."""
    attributes: Mapping[str, CoreValue] = record.attributes
    if name not in _MARKS:
        return None
    if name == "CLASS":
        return int(ObjectClass.CERTIFICATE)
    if name == "CERTIFICATE_TYPE":
        return X_509
    if name == "VALUE":
        return app.hsm.keys.certificate(app.user(), record.handle)
    found = attributes.get(name)
    return found.encode() if isinstance(found, str) else found
