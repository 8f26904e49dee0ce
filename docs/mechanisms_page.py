"""The page ``docs/mechanisms.md``: the services of the CloudHSM provider, and those that this HSM has.

::

    python docs/mechanisms_page.py > docs/mechanisms.md

The page combines the mechanism table with the list below, the services of the original (Client SDK 5). A service that
the table lacks is on the page with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.cryptoki.mechanisms import ROWS as CRYPTOKI
from bridge.cryptoki.mechanisms import Use
from hsmcore.tables.mechanisms import (
    CURVES,
    HASHES,
    KEY_SIZES,
    MECHANISMS,
    ML_DSA_SETS,
    KeyType,
    Mechanism,
    Service,
)

_MODES = {"ENCRYPT": "encrypt", "DECRYPT": "decrypt", "WRAP": "wrap", "UNWRAP": "unwrap"}
_LETTERS = {"E": "encrypt", "D": "decrypt", "W": "wrap", "U": "unwrap"}
_OAEP = ("OAEPPadding", *(f"OAEPWith{digest}ANDMGF1Padding" for digest in HASHES.values()))

CIPHERS: dict[str, str] = {
    "AES/CBC/NoPadding": "EDU",
    "AES/CBC/PKCS5Padding": "ED",
    "AES/ECB/NoPadding": "ED",
    "AES/ECB/PKCS5Padding": "ED",
    "AES/CTR/NoPadding": "ED",
    "AES/GCM/NoPadding": "EDWU",
    "AESWrap/ECB/NoPadding": "WU",
    "AESWrap/ECB/PKCS5Padding": "WU",
    "AESWrap/ECB/ZeroPadding": "WU",
    "DESede/CBC/NoPadding": "ED",
    "DESede/CBC/PKCS5Padding": "ED",
    "DESede/ECB/NoPadding": "ED",
    "DESede/ECB/PKCS5Padding": "ED",
    "RSA/ECB/PKCS1Padding": "EDWU",
    "RSA/ECB/NoPadding": "ED",
    **{f"RSA/ECB/{padding}": "EDWU" for padding in _OAEP},
    **{f"RSAAESWrap/ECB/{padding}": "WU" for padding in _OAEP},
}
"""The original's transformations, with the modes of each: encrypt, decrypt, wrap, unwrap."""

_SECRETS = ("AES", "DESede", "GenericSecret", *(f"Hmac{name}" for name in HASHES))

ORIGINAL: dict[str, tuple[str, ...]] = {
    "Cipher": tuple(CIPHERS),
    "Signature": (
        *(f"{name}withRSA" for name in ("NONE", *HASHES)),
        *(f"{name}withRSA/PSS" for name in HASHES),
        *(f"{name}withRSAandMGF1" for name in HASHES),
        "RSASSA-PSS",
        *(f"{name}withECDSA" for name in ("NONE", *HASHES)),
        "Ed25519",
        "Ed25519ph",
        "ML-DSA",
        *ML_DSA_SETS,
        "ML-DSA-EXTERNAL-MU",
    ),
    "MessageDigest": tuple(HASHES.values()),
    "Mac": (*(f"Hmac{name}" for name in HASHES), "AESCMAC"),
    "KeyGenerator": _SECRETS,
    "KeyPairGenerator": ("RSA", "EC", "Ed25519", "ML-DSA", *ML_DSA_SETS),
    "SecretKeyFactory": _SECRETS,
    "KeyFactory": ("RSA", "EC", "Ed25519", "ML-DSA", *ML_DSA_SETS),
    "KeyAgreement": (*(f"ECDHwithX963{name}KDF" for name in HASHES), "ECDH"),
    "SecureRandom": ("AES-CTR-DRBG",),
}
"""The original's services by engine; names are compared without regard to case, and aliases count."""

ABSENT: dict[str, str] = {
    "Ed25519ph": "the cryptography library has no prehashed Ed25519 (RFC 8032 5.1), and hsmbridge writes none",
}
"""Reasons for services of the original that this HSM lacks."""


_HEAD = """# Mechanisms

`python docs/mechanisms_page.py` writes this page from the mechanism table; a test fails if it is out of date. Each row
has a JCA name, in any letter case, the HSM's mechanism for it, and the PKCS #11 mechanisms of the same algorithm.

The last table has the mechanisms of the [PKCS #11 library](pkcs11.md).

AWS CloudHSM's provider ("the original") has {} services: hsmbridge has {} of them in full, {} in part, and {} not.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the page; ``status`` begins with ``yes``, ``partly`` or ``no``."""

    engine: str
    name: str
    service: Service | None
    row: Mechanism | None
    status: str


def lines() -> Iterator[Line]:
    """Yield the services of the original by engine, each engine followed by services that only hsmbridge has."""
    offered = [(service, row) for row in MECHANISMS.values() for service in row.services]
    for engine, names in ORIGINAL.items():
        of_engine = {
            name.lower(): (service, row)
            for service, row in offered
            if service.engine == engine
            for name in (service.algorithm, *service.aliases)
        }
        for name in names:
            service, row = of_engine.get(name.lower(), (None, None))
            yield Line(engine, name, service, row, _status(name, row))
        known = {name.lower() for name in names}
        for name, (service, row) in of_engine.items():
            if name not in known:
                spelled = next(n for n in (service.algorithm, *service.aliases) if n.lower() == name)
                yield Line(engine, spelled, service, row, "yes, not in the original")


def _status(name: str, row: Mechanism | None) -> str:
    if row is None:
        return f"no: {ABSENT.get(name, 'not yet')}"
    missing = [_LETTERS[letter] for letter in CIPHERS.get(name, "") if _LETTERS[letter] not in _modes(row)]
    return f"partly: does not {' or '.join(missing)}" if missing else "yes"


def _modes(row: Mechanism) -> list[str]:
    operations = {operation.value for operation in row.operations}
    return [mode for operation, mode in _MODES.items() if operation in operations]


def _facts(line: Line) -> str:
    """Return the extra column of a line: modes, sizes, curves or derivations."""
    if line.service is None or line.row is None:
        return ""
    if line.engine == "Cipher":
        return ", ".join(_modes(line.row))
    if line.engine == "SecretKeyFactory":
        return f"import; derivation with {line.service.properties['kdf']}"
    if line.engine not in {"KeyGenerator", "KeyPairGenerator"}:
        return ""
    (key_type,) = line.row.key_types
    if key_type is KeyType.EC:
        return ", ".join(CURVES)
    return line.service.properties.get("named", "").replace(",", ", ") or _sizes(key_type)


def _sizes(key_type: KeyType) -> str:
    sizes = KEY_SIZES[key_type]
    if len(sizes) <= 3:
        return ", ".join(map(str, sizes)) + " bits"
    return f"{sizes[0]} to {sizes[-1]} bits in steps of {sizes.step}"


def _table(heads: Iterable[str], body: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for cells in body:
        yield f"| {' | '.join(cells)} |"


def page() -> str:
    """Return the page in Markdown."""
    everything = list(lines())
    of_original = [line for line in everything if "not in the original" not in line.status]
    counts = {word: sum(line.status.startswith(word) for line in of_original) for word in ("yes", "partly", "no")}
    text = [_HEAD.format(len(of_original), counts["yes"], counts["partly"], counts["no"])]
    for engine in ORIGINAL:
        of_engine = [line for line in everything if line.engine == engine]
        facts = {
            "Cipher": "Modes",
            "KeyGenerator": "Sizes",
            "KeyPairGenerator": "Chosen from",
            "SecretKeyFactory": "Does",
        }
        heads = ["Name", "Mechanism", "PKCS #11", "Keys", *([facts[engine]] if engine in facts else []), "Status"]
        text += [f"## {engine}", "", *_table(heads, (_cells(line, engine in facts) for line in of_engine)), ""]
    text += ["## PKCS #11", "", *_table(("Name", "Number", "Mechanism", "Does", "In parts"), _cryptoki()), ""]
    return "\n".join(text).rstrip() + "\n"


_COMPLETED = {"ECDH", *(row.core for row in CRYPTOKI if row.core.endswith("_"))}
"""Beginnings of mechanisms' names that a parameter completes."""
_USES = {
    Use.GENERATE: "generate", Use.GENERATE_KEY_PAIR: "generate pair", Use.ENCRYPT: "encrypt", Use.DECRYPT: "decrypt",
    Use.SIGN: "sign", Use.VERIFY: "verify", Use.DIGEST: "digest", Use.WRAP: "wrap", Use.UNWRAP: "unwrap",
    Use.DERIVE: "derive",
}  # fmt: skip


def _cryptoki() -> Iterator[tuple[str, ...]]:
    """Yield the cells of each mechanism of the PKCS #11 library. A name that the parameter completes ends in a star."""
    for row in CRYPTOKI:
        cores = {row.core, row.core_signs} - {""}
        names = ", ".join(f"`{core}*`" if core.endswith("_") else f"`{core}`" for core in sorted(cores))
        uses = ", ".join(word for use, word in _USES.items() if row.uses & use)
        in_parts = row.parts and row.uses & (Use.ENCRYPT | Use.SIGN | Use.DIGEST)
        yield f"`{row.name}`", f"`{row.number:#x}`", names, uses, "yes" if in_parts else ""


def _pkcs11_names(row: Mechanism) -> str:
    """Return the PKCS #11 mechanisms of the same algorithm; a signature or derived key may have another form there."""
    name = row.name.replace("ECDH_X963_", "ECDH_")
    names = [
        other.name
        for other in CRYPTOKI
        for core in (other.core.replace("_P1363", ""), other.core_signs.replace("_P1363", ""))
        if core and (name.replace("_P1363", "") == core or (core in _COMPLETED and name.startswith(core)))
    ]
    return ", ".join(f"`{one}`" for one in dict.fromkeys(names))


def _cells(line: Line, with_facts: bool) -> Iterator[str]:
    yield f"`{line.name}`"
    yield f"`{line.row.name}`" if line.row else ""
    yield _pkcs11_names(line.row) if line.row else ""
    yield ", ".join(sorted(line.row.key_types)) if line.row else ""
    if with_facts:
        yield _facts(line)
    yield line.status


if __name__ == "__main__":
    print(page(), end="")
