"""The ``key`` commands: generate, import, list, change, share and delete keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.cloudhsm_cli import files
from bridge.cloudhsm_cli.attributes import curve, key_object, read, read_pairs, short_object
from bridge.cloudhsm_cli.context import Context
from bridge.cloudhsm_cli.errors import Failure
from bridge.cloudhsm_cli.quorum import approve
from bridge.cloudhsm_cli.reference_pem import reference_pem
from bridge.cloudhsm_cli.selecting import described, keys, one_key, read_filter
from bridge.cloudhsm_cli.table import ADMIN, Data, Values
from bridge.protocol.codec import Value
from hsmcore.errors import HsmError

MAX_QUORUM = 8
"""Largest quorum value of a key (CloudHSM)."""
NO_USES = dict.fromkeys(("ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "WRAP", "UNWRAP", "DERIVE"), False)
SECRET_USES = NO_USES | {"SIGN": True, "VERIFY": True}
"""Default usages of a new secret key; they differ from the JCE provider's defaults.

The HSM's settings decide the default of EXTRACTABLE.
"""


def template(
    values: Values, option: str, label: str, uses: Mapping[str, Value], fixed: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the template of a new key: defaults, attributes of an option, and attributes that other options fix.

    Args:
        option: Option with attributes in the form ``NAME=VALUE``.
        label: Option with the label.
        uses: Default usages.
        fixed: Attributes that other options fix.

    Raises:
        Failure: The attributes contradict the other options.
    """
    attributes = read_pairs(values.texts(option), option)
    for name, value in fixed.items():
        if attributes.setdefault(name, value) != value:
            raise Failure(f"'--{option}' contradicts the rest of the command in {name.lower().replace('_', '-')}")
    token = not values.flag("session")
    if attributes.get("TOKEN", token) != token and not token:
        raise Failure(f"'--{option}' says token=true, and '--session' the opposite")
    return {**uses, "TOKEN": token, **attributes, "LABEL": values.text(label)}


def sharing(values: Values) -> dict[str, Value]:
    """Return the template's attribute for sharing the new key, if any."""
    users: list[Value] = [*values.texts("share-crypto-users")]
    return {"SHARED_USERS": users} if users else {}


def with_quorum(
    context: Context, values: Values, make: Callable[[], tuple[Value, ...]], kind: str = "key"
) -> tuple[Value, ...]:
    """Generate a key and set the quorum values of the options; if that fails, destroy the key.

    Args:
        make: Generates the key; the last result is the key's record.
        kind: Word in the options' names: ``key`` or ``private-key``.

    Raises:
        Failure: A quorum value is larger than the number of users; no key was generated.
        HsmError: The HSM refused the key or its quorum values.
    """
    manage, use = (values.number(f"{verb}-{kind}-quorum-value") for verb in ("manage", "use"))
    if max(manage, use) > min(MAX_QUORUM, 1 + len(values.texts("share-crypto-users"))):
        raise Failure("Invalid quorum value provided.")
    results = make()
    if not manage and not use:
        return results
    record = results[-1]
    handle = record["HANDLE"] if isinstance(record, dict) else None
    try:
        context.call("QUORUM_SET_KEY", handle, manage, use)
    except HsmError:
        context.call("DESTROY_KEY", handle)
        raise
    return results


def generate_aes(context: Context, values: Values) -> Data:
    """Generate an AES key."""
    return _generate_secret(context, values, "AES_KEY_GEN")


def generate_generic(context: Context, values: Values) -> Data:
    """Generate a generic secret."""
    return _generate_secret(context, values, "GENERIC_SECRET_KEY_GEN")


def _generate_secret(context: Context, values: Values, mechanism: str) -> Data:
    size = {"SIZE": values.number("key-length-bytes") * 8}
    attributes = template(values, "attributes", "label", SECRET_USES, size) | sharing(values)
    (record,) = with_quorum(context, values, lambda: context.call("GENERATE_KEY", mechanism, attributes))
    return {"key": key_object(described(context, record))}


def generate_rsa(context: Context, values: Values) -> Data:
    """Generate an RSA pair."""
    exponent = values.number("public-exponent")
    encoded = exponent.to_bytes((exponent.bit_length() + 7) // 8, "big")
    return _generate_pair(
        context,
        values,
        "RSA_KEY_PAIR_GEN",
        {"MODULUS_BITS": values.number("modulus-size-bits"), "PUBLIC_EXPONENT": encoded},
    )


def generate_ec(context: Context, values: Values) -> Data:
    """Generate an EC pair."""
    kind = "EC_EDWARDS" if values.text("curve") == "ed25519" else "EC"
    return _generate_pair(context, values, f"{kind}_KEY_PAIR_GEN", {"EC_PARAMS": curve(values.text("curve"))})


def generate_ml_dsa(context: Context, values: Values) -> Data:
    """Generate an ML-DSA pair."""
    return _generate_pair(
        context, values, "ML_DSA_KEY_PAIR_GEN", {"PARAMETER_SET": values.text("mldsa-algorithm")}
    )  # fmt: skip


def _generate_pair(context: Context, values: Values, mechanism: str, fixed: Mapping[str, Value]) -> Data:
    public = template(values, "public-attributes", "public-label", NO_USES, fixed)
    private = template(values, "private-attributes", "private-label", NO_USES, {}) | sharing(values)
    halves = with_quorum(
        context, values, lambda: context.call("GENERATE_KEY_PAIR", mechanism, public, private), "private-key"
    )
    objects = [key_object(described(context, half)) for half in halves]
    return {"public_key": objects[0], "private_key": objects[1]}


def import_pem(context: Context, values: Values) -> Data:
    """Import a public key."""
    key_type = {"ec-public": "EC", "rsa-public": "RSA"}[values.text("key-type-class")]
    material = files.from_pem(files.read(values.text("path")), "PUBLIC KEY")
    kind = {"OBJECT_CLASS": "PUBLIC_KEY", "KEY_TYPE": key_type}
    attributes = template(values, "attributes", "label", NO_USES, kind)
    (record,) = context.call("IMPORT_KEY", attributes, material)
    return {"key": key_object(described(context, record)), "message": "Successfully imported key"}


def list_keys(context: Context, values: Values) -> Data:
    """List a page of keys."""
    first, limit = values.number("starting-token"), values.number("max-items")
    verbose = values.flag("verbose") and context.role != ADMIN
    page, count = keys(context, read_filter(values.texts("filter"), "filter"), first, limit, brief=not verbose)
    data: dict[str, object] = {
        "matched_keys": [key_object(key) if verbose else short_object(key) for key in page],
        "total_key_count": count,
        "returned_key_count": len(page),
    }
    if first + limit < count:
        data["next_token"] = str(first + limit)
    return data


def delete(context: Context, values: Values) -> Data:
    """Delete one key."""
    context.call("DESTROY_KEY", _handle(context, values))
    return {"message": "Key deleted successfully"}


def set_attribute(context: Context, values: Values) -> Data:
    """Change one attribute of one key."""
    name, value = read(values.text("name"), values.text("value"))
    approve(context, values)
    context.call("SET_ATTRIBUTES", _handle(context, values), {name: value})
    return {"message": "Attribute set successfully"}


def share(context: Context, values: Values) -> Data:
    """Share a key with a crypto user."""
    approve(context, values)
    context.call("SHARE_KEY", _handle(context, values), values.text("username"))
    return {"message": "Key shared successfully"}


def unshare(context: Context, values: Values) -> Data:
    """End the sharing of a key with a crypto user."""
    approve(context, values)
    context.call("UNSHARE_KEY", _handle(context, values), values.text("username"))
    return {"message": "Key unshared successfully"}


def generate_file(context: Context, values: Values) -> Data:
    """Write a public key, or a reference to a private key, as PEM.

    Raises:
        Failure: The encoding is for Windows only, or the key does not fit it.
    """
    encoding = values.text("encoding")
    if encoding == "ksp-key-reference":
        raise Failure("the encoding ksp-key-reference is for Windows only")
    if values.flag("all"):
        raise Failure("'--all' goes with the encoding ksp-key-reference, which is for Windows only")
    key = one_key(context, values.texts("filter"))
    key_class = {"pem": "PUBLIC_KEY", "reference-pem": "PRIVATE_KEY"}[encoding]
    info = key.get("PUBLIC_KEY_INFO")
    if key.get("OBJECT_CLASS") != key_class or not isinstance(info, bytes):
        raise Failure(f"the encoding {encoding} takes a {key_class.lower().replace('_', ' ')}")
    if encoding == "reference-pem" and key["KEY_TYPE"] not in {"RSA", "EC"}:
        raise Failure(f"the encoding reference-pem takes an RSA or EC key, not {key['KEY_TYPE']}")
    content = files.to_pem(info, "PUBLIC KEY") if encoding == "pem" else reference_pem(key)
    files.write(values.text("path"), content)
    return {"message": "Successfully generated key file"}


def _handle(context: Context, values: Values) -> Value:
    return one_key(context, values.texts("filter"))["HANDLE"]
