"""The Java side holds no key material: not in a key object, nor in anything that can be reached from one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from bridge.pytest_plugin import HsmUnderTest
from tests import jca
from tests.jca import java

SOURCES = Path(__file__).parents[2] / "java" / "src" / "main" / "java"
# Classes that hold or make secret keys in Java's memory; digests and public keys are made there on purpose.
ON_PURPOSE = {
    # ``getKeySpec`` wraps what ``getEncoded`` has given out already.
    "return new SecretKeySpec(encoded, row.algorithm());",
    # A Mac that was chosen before it saw its key hands a software key, which is in Java's memory, to the JDK.
    'Mac mac = Mac.getInstance(row.algorithm(), "SunJCE");',
    # The client's own key for TLS, from a file, which no HSM has.
    (
        'Signature signature = Signature.getInstance(key.getAlgorithm().equals("EC")'
        ' ? "SHA256withECDSA" : "SHA256withRSA");'
    ),
}
FORBIDDEN = (
    "SecretKeySpec(",
    "Cipher.getInstance",
    "Mac.getInstance",
    "KeyAgreement.getInstance",
    "Signature.getInstance",
)


def reachable_bytes(root: Any) -> list[bytes]:
    """Return every byte array and number that reflection finds from an object, the provider's own classes deep."""
    found: list[bytes] = []
    seen: set[int] = set()
    waiting = [root]
    identity = java("java.lang.System").identityHashCode
    while waiting:
        value = waiting.pop()
        # What Python gave to Java comes back as Python's own object and holds nothing of Java's.
        if not hasattr(value, "getClass") or int(identity(value)) in seen:
            continue
        seen.add(int(identity(value)))
        kind = value.getClass()
        if kind.isArray():
            if str(kind.getComponentType().getName()) == "byte":
                found.append(bytes(value))
            elif not kind.getComponentType().isPrimitive():
                waiting.extend(value)
        elif str(kind.getName()) == "java.math.BigInteger":
            found.append(bytes(value.toByteArray()))
        elif java("java.util.Map").class_.isInstance(value):
            waiting.extend(value.values())
        elif str(kind.getName()).startswith(("io.hsmbridge.", "com.amazonaws.")):
            waiting.extend(field_values(value, kind))
    return found


def field_values(value: Any, kind: Any) -> list[Any]:
    """Return the values of an object's fields that are objects."""
    values = []
    while str(kind.getName()) != "java.lang.Object":
        for field in kind.getDeclaredFields():
            if (
                not java("java.lang.reflect.Modifier").isStatic(field.getModifiers())
                and not field.getType().isPrimitive()
            ):
                field.setAccessible(True)
                values.append(field.get(value))
        kind = kind.getSuperclass()
        if not str(kind.getName()).startswith(("io.hsmbridge.", "com.amazonaws.")):
            break
    return values


@pytest.mark.parametrize("algorithm", ["AES", "DESede", "HmacSHA256"])
def test_secret_keys(hsm: HsmUnderTest, algorithm: str) -> None:
    material = bytes(range(7, 31))
    key = jca.imported_secret(material, algorithm)
    assert str(key.getClass().getName()).startswith(("io.hsmbridge.", "com.amazonaws."))
    assert all(material not in held for held in reachable_bytes(key))
    assert material.hex() not in str(key)


def test_private_keys(hsm: HsmUnderTest) -> None:
    for algorithm, size in (("RSA", 2048), ("EC", 256)):
        software = jca.key_pair(algorithm, size, "SunRsaSign" if algorithm == "RSA" else "SunEC")
        private = software.getPrivate()
        key = java("java.security.KeyFactory").getInstance(algorithm, "CloudHSM").translateKey(private)
        secret = private.getPrivateExponent() if algorithm == "RSA" else private.getS()
        material = bytes(secret.toByteArray()).lstrip(b"\0")
        held = reachable_bytes(key)
        assert held
        assert all(material not in one for one in held)


def test_keys_do_not_serialise(hsm: HsmUnderTest) -> None:
    stream = java("java.io.ObjectOutputStream")(java("java.io.ByteArrayOutputStream")())
    for key in (jca.secret_key(), jca.key_pair("EC", 256).getPrivate()):
        with pytest.raises(java("java.io.NotSerializableException")):
            stream.writeObject(key)


def test_the_sources_make_no_keys() -> None:
    searched = subprocess.run(
        ["grep", "-rnF", *(word for name in FORBIDDEN for word in ("-e", name)), str(SOURCES)],
        capture_output=True,
        text=True,
    )
    assert {line.split(":", 2)[2].strip() for line in searched.stdout.splitlines()} == ON_PURPOSE
