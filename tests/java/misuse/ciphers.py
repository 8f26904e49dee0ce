"""The cells of ``Cipher``: keys, parameters, data that is cut or changed, and modes that a transformation has not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from jpype import JClass

from tests import jca

from .cells import (
    BOTH_PUBLIC,
    KEY,
    LENGTH,
    MODES,
    PADDING,
    PARAMETER,
    PROVIDER,
    STATE,
    TAG,
    UNSUPPORTED,
    Cell,
    Subject,
    iv,
    null,
)
from .subjects import Keys, Pair


def modes_of(name: str) -> str:
    """Return the modes of a transformation, as the reference's table has them: encrypt, decrypt, wrap, unwrap."""
    if name == "RSA/ECB/NoPadding":
        return "encrypt decrypt"
    if name == "AES/CBC/NoPadding":
        return "encrypt decrypt unwrap"
    if "Wrap/" in name:
        return "wrap unwrap"
    return " ".join(MODES) if name.startswith("RSA") or "GCM" in name else "encrypt decrypt"


def parameters_of(name: str, vector: bytes | None = None) -> Any:
    """Return what ``init`` needs."""
    if "GCM" in name:
        return jca.gcm_parameters(vector or bytes(12))
    if "CBC" in name or "CTR" in name:
        return iv(8 if name.startswith("DES") else 16)
    return None


def side(mode: str, pair: Pair) -> Any:
    """Return the half that does this."""
    return pair.public if mode in ("encrypt", "wrap") else pair.private


def begin(on: Subject, mode: str, key: Any, parameters: Any) -> Any:
    """Initialise the engine and return it."""
    if parameters is None:
        on.engine.init(MODES[mode], key)
    else:
        on.engine.init(MODES[mode], key, parameters)
    return on.engine


def cipher(on: Subject, secrets: Keys) -> Iterator[Cell]:
    """Cells of one transformation; ``secrets`` are AES keys, to be wrapped."""
    modes, parameters = modes_of(on.name).split(), parameters_of(on.name)
    for mode in MODES:
        if mode not in modes:
            yield Cell(f"init to {mode}", UNSUPPORTED, partial(begin, on, mode, side(mode, on.pair()), parameters))
            continue
        for name, pair in on.keys.wrong.items():
            if mode == "encrypt" and on.name.startswith("RSA") and name in BOTH_PUBLIC:
                continue
            yield Cell(
                f"init to {mode}, key {name}",
                KEY,
                partial(begin, on, mode, side(mode, pair), parameters),
            )
        if on.name.startswith("RSA"):
            other = "decrypt" if mode in ("encrypt", "wrap") else "encrypt"
            yield Cell(
                f"init to {mode}, the other half",
                KEY,
                partial(begin, on, mode, side(other, on.pair()), None),
            )
        for name, wrong in _wrong_parameters(on.name, mode).items():
            yield Cell(
                f"init to {mode}, {name}",
                PARAMETER,
                partial(begin, on, mode, side(mode, on.pair()), wrong),
            )
        if parameters is not None and mode in ("decrypt", "unwrap"):
            yield Cell(f"init to {mode}, no parameters", KEY, partial(begin, on, mode, on.pair().private, None))
    yield Cell(
        "updateAAD",
        STATE if "GCM" in on.name or "Wrap/" in on.name else UNSUPPORTED,
        lambda: _associated(on, parameters),
    )
    if "decrypt" in modes:
        yield from _data(on, parameters)
    if "unwrap" in modes:
        yield from _wrapping(on, secrets, parameters)


def _associated(on: Subject, parameters: Any) -> None:
    mode = modes_of(on.name).split()[0]
    begun = begin(on, mode, side(mode, on.pair()), parameters)
    if mode == "encrypt":
        begun.update(bytes(16))
    begun.updateAAD(bytes(8))


def _wrong_parameters(name: str, mode: str) -> dict[str, Any]:
    if "GCM" in name:
        wrong = {"an IvParameterSpec": iv(12), "a tag of 96 bits": jca.gcm_parameters(bytes(12), 96)}
        lengths = {f"an IV of {n} bytes": jca.gcm_parameters(bytes(n)) for n in (0, 11, 13, 16)}
        return wrong | (lengths if mode in ("decrypt", "unwrap") else {})
    if "CBC" in name or "CTR" in name:
        right = 8 if name.startswith("DES") else 16
        lengths = {f"an IV of {n} bytes": iv(n) for n in (0, 7, 15, 17, 24 - right)}
        return lengths | {"a GCMParameterSpec": jca.gcm_parameters(bytes(12))}
    return {"a GCMParameterSpec": jca.gcm_parameters(bytes(12)), "an IV": iv(16)}


def _data(on: Subject, parameters: Any) -> Iterator[Cell]:
    """Cells of ``doFinal``: the key's session, cut and altered ciphertext."""

    def gone(mode: str) -> object:
        return begin(on, mode, side(mode, on.keys.lost), parameters).doFinal(bytes(16))

    for mode in ("encrypt", "decrypt"):
        yield Cell(f"doFinal to {mode}, the key's session is gone", PROVIDER, partial(gone, mode))
    writer = begin(on, "encrypt", on.pair().public, parameters)
    sealed = bytes(writer.doFinal(bytes(32)))
    reading = parameters_of(on.name, bytes(writer.getIV()) if "GCM" in on.name else None)

    def read(data: bytes) -> object:
        return begin(on, "decrypt", on.pair().private, reading).doFinal(data)

    if "GCM" in on.name:
        for name, wrong in {
            "cut": sealed[:-1], "a wrong tag": sealed[:-1] + bytes([sealed[-1] ^ 1]),
            "altered": bytes([sealed[0] ^ 1]) + sealed[1:], "longer": sealed + b"\0",
        }.items():  # fmt: skip
            yield Cell(f"doFinal, {name}", TAG, partial(read, wrong))
        yield Cell("doFinal, shorter than a tag", TAG, lambda: read(sealed[:15]))
        return
    # Without padding a shorter ciphertext is a smaller number, as it is to the JDK.
    if "CTR" not in on.name and on.name != "RSA/ECB/NoPadding":
        for count in (1, len(sealed) - 1):
            raised = PADDING if on.name.startswith("RSA") else LENGTH
            yield Cell(f"doFinal, cut to {count} bytes", raised, partial(read, sealed[:count]))
    if "OAEP" in on.name:
        altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
        yield Cell("doFinal, altered", PADDING, lambda: read(altered))
    if on.name.startswith("RSA"):
        yield Cell(
            "doFinal, too long", LENGTH, lambda: begin(on, "encrypt", on.pair().public, None).doFinal(bytes(257))
        )


def _wrapping(on: Subject, secrets: Keys, parameters: Any) -> Iterator[Cell]:
    """Cells of ``wrap`` and ``unwrap``."""
    secret, no_algorithm = JClass("javax.crypto.Cipher").SECRET_KEY, "java.security.NoSuchAlgorithmException"
    wraps = "wrap" in modes_of(on.name).split()
    if wraps:

        def wrap(key: Any, pair: Pair) -> object:
            return begin(on, "wrap", pair.public, parameters).wrap(key)

        for name, pair in secrets.wrong.items():
            if name not in ("of another type", "forbidden by an attribute"):
                yield Cell(f"wrap, target {name}", KEY, partial(wrap, pair.private, on.pair()))
        yield Cell("wrap, the target's session is gone", KEY, lambda: wrap(secrets.lost.private, on.pair()))
        yield Cell("wrap, the key's session is gone", KEY, lambda: wrap(secrets.right.private, on.keys.lost))
        kept = jca.generated(SIZE=256, EXTRACTABLE=False)
        yield Cell("wrap, target not extractable", KEY, lambda: wrap(kept, on.pair()))
        wrapped = bytes(wrap(secrets.right.private, on.pair()))
    else:
        wrapped = bytes(begin(on, "encrypt", on.pair().public, parameters).doFinal(bytes(32)))
    reading = parameters_of(on.name, bytes(on.engine.getIV()) if "GCM" in on.name else None)

    def unwrap(data: Any, algorithm: str | None = "AES", kind: int = secret, pair: Pair | None = None) -> object:
        return begin(on, "unwrap", (pair or on.pair()).private, reading).unwrap(data, algorithm, kind)

    yield Cell("unwrap, null", KEY, lambda: unwrap(null("byte[]")))
    yield Cell("unwrap, the key's session is gone", KEY, lambda: unwrap(wrapped, pair=on.keys.lost))
    for name, wrong in {"empty": b"", "cut": wrapped[:-1], "longer": wrapped + b"\0"}.items():
        yield Cell(f"unwrap, {name}", KEY, partial(unwrap, wrong))
    if wraps and "PKCS1" not in on.name:
        altered = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
        yield Cell("unwrap, altered", KEY, lambda: unwrap(altered))
    yield Cell("unwrap, as another type", KEY, lambda: unwrap(wrapped, "DESede"))
    yield Cell(
        "unwrap, as a private key", KEY, lambda: unwrap(wrapped, "EC", JClass("javax.crypto.Cipher").PRIVATE_KEY)
    )
    yield Cell("unwrap, as a public key", KEY, lambda: unwrap(wrapped, "RSA", JClass("javax.crypto.Cipher").PUBLIC_KEY))
    for algorithm in ("RC4", None):
        yield Cell(f"unwrap, algorithm {algorithm}", no_algorithm, partial(unwrap, wrapped, algorithm))
    yield Cell(
        "wrap when unwrapping",
        STATE,
        lambda: begin(on, "unwrap", on.pair().private, reading).wrap(secrets.right.private),
    )
    yield Cell(
        "doFinal when unwrapping", STATE, lambda: begin(on, "unwrap", on.pair().private, reading).doFinal(bytes(16))
    )
