"""The command table: every command of CloudHSM's command line, one row each."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.cloudhsm_cli import cluster, keys, mtls, quorum, replication, signing, users, wrapping
from bridge.cloudhsm_cli.attributes import CURVE_CHOICES, NAMES
from bridge.cloudhsm_cli.parser import Parser
from bridge.cloudhsm_cli.table import ADMIN, COMMON, CRYPTO_USER, Command, Handler, Kind, Option

_ALL: tuple[str, ...] = ()
_BOTH = (ADMIN, CRYPTO_USER)
_ADMIN = (ADMIN,)
_CRYPTO = (CRYPTO_USER,)
_KEY_USERS = (CRYPTO_USER, ADMIN)

_NO_PREHASHED = "this HSM signs with ed25519, but not with the prehashed ed25519ph"

_USERNAME = Option("username", "Name of the user: at most 31 letters, digits and underscores").needed()
_ROLE = Option("role", "Role of the user", choices=(ADMIN, CRYPTO_USER)).needed()
_PASSWORD = Option("password", "The password; asked for if it is not given", Kind.SECRET)
_APPROVAL = Option("approval", "File with an approved quorum token, if the operation needs one", Kind.FILE)
_KEY_SERVICES = ("key-usage", "key-management")
_REPLICATE = (
    Option("source-cluster-id", "Cluster to copy from").needed(),
    Option("destination-cluster-id", "Cluster to copy to").needed(),
)
_CLONES = (
    "an id is a name in HSM_CLUSTERS (ID=/path/of/hsm.sock,...), the path of a state directory, or a cluster of the "
    "configuration file; the login to the destination is in DESTINATION_CLOUDHSM_ROLE and DESTINATION_CLOUDHSM_PIN; "
    "the clusters are clones: restored from one backup, or one from a backup of the other"
)
_ENFORCEMENT = (
    "only the admin named admin sets it, the level cluster over mutual TLS; connections over the Unix socket need no "
    "certificate at any level"
)
_FILTER = Option(
    "filter", "The key: key-reference=0x…, or attr.NAME=VALUE … (all must match)", Kind.LIST
).needed()  # fmt: skip
_KEY_FILTER = Option("key-filter", "The key, as in --filter of other commands", Kind.LIST).needed()
_LABEL = Option("label", "Label of the key, at most 127 characters").needed()
_SESSION = Option("session", "Make a session key, which ends with the session", Kind.FLAG)
_SHARE = Option("share-crypto-users", "Crypto users to share the key with", Kind.LIST)
_ATTRIBUTES = Option("attributes", "Attributes of the key, NAME=VALUE …", Kind.LIST)
_SHARE_ROLE = Option("role", "Role of the user", choices=(CRYPTO_USER,)).needed()


def _row(
    path: str, help_text: str, roles: tuple[str, ...], handler: Handler | None, *options: Option, missing: str = "",
    one_of: tuple[tuple[str, ...], ...] = (), note: str = "", open_for: tuple[str, str] | None = None,
    own_login: bool = False,
) -> Command:  # fmt: skip
    return Command(path, help_text, roles, (*COMMON, *options), handler, one_of, missing, note, open_for, own_login)


def _quorum_values(kind: str) -> tuple[Option, ...]:
    return tuple(
        Option(f"{verb}-{kind}-quorum-value", f"Number of approvals to {verb} the key", Kind.NUMBER, range=(0, 8))
        for verb in ("manage", "use")
    )


def _cluster() -> Iterator[Command]:
    yield _row("cluster activate", "Set the first admin's password", _ALL, cluster.activate, _PASSWORD)
    yield _row("cluster hsm-info", "List the HSMs of the cluster", _ALL, cluster.hsm_info)
    anchor = Option("certificate-reference", "References of trust anchors, 0x01 or 1", Kind.LIST).needed()
    level = Option("level", "Level of enforcement", choices=("none", "cluster")).needed()
    path = Option("path", "File with the certificate (PEM)", Kind.FILE).needed()
    words = "cluster mtls"
    yield _row(
        f"{words} register-trust-anchor", "Register an authority that signs clients' certificates", _ADMIN,
        mtls.register, path, _APPROVAL,
    )  # fmt: skip
    yield _row(
        f"{words} deregister-trust-anchor", "Deregister trust anchors, and end the connections that use them", _ADMIN,
        mtls.deregister, anchor, _APPROVAL,
    )  # fmt: skip
    yield _row(f"{words} list-trust-anchors", "List the trust anchors", _ALL, mtls.list_anchors)
    yield _row(f"{words} get-enforcement", "Show whether mutual TLS is enforced", _BOTH, mtls.get_enforcement)
    yield _row(
        f"{words} set-enforcement", "Refuse clients over TLS without a certificate of a trust anchor, or not", _ADMIN,
        mtls.set_enforcement, level, _APPROVAL, note=_ENFORCEMENT,
    )  # fmt: skip


def _users() -> Iterator[Command]:
    login = (_USERNAME, _ROLE, _PASSWORD)
    token = Option("token", "File to write the token to sign to", Kind.FILE)
    yield _row("login", "Log in", _ALL, users.login, *login)
    yield _row("login mfa-token-sign", "Log in with a second factor", _ALL, users.login_mfa, *login, token.needed())
    yield _row("logout", "Log out", _BOTH, users.logout)
    yield _row("user create", "Create a user", _ADMIN, users.create, _USERNAME, _ROLE, _PASSWORD, _APPROVAL)
    yield _row("user delete", "Delete a user", _ADMIN, users.delete, _USERNAME, _ROLE, _APPROVAL)
    yield _row("user list", "List the users", _ALL, users.list_users)
    deregister = (
        Option("deregister-mfa", "Deregister the second factor too", Kind.FLAG),
        Option("deregister-quorum", "Deregister the key for approvals too", Kind.FLAG),
    )
    yield _row(
        "user change-password", "Set your password, or as an admin any user's; this unlocks the user", _BOTH,
        users.change_password, _USERNAME, _ROLE, _PASSWORD, _APPROVAL, *deregister,
    )  # fmt: skip
    yield _row(
        "user change-mfa token-sign", "Register, replace or deregister a second factor, and set the password", _BOTH,
        users.change_mfa, _USERNAME, _ROLE, token, Option("deregister", "Deregister the second factor", Kind.FLAG),
        Option("change-password", "The new password; asked for if it is not given", Kind.SECRET),
        Option("change-quorum", "Replace the key for approvals too", Kind.FLAG), _APPROVAL,
        one_of=(("token", "deregister"),),
    )  # fmt: skip
    registration = (
        Option("public-key", "File with the public key (PEM)", Kind.FILE).needed(),
        Option("signed-token", "Token file with the signed registration token", Kind.FILE).needed(),
    )
    words = "Register the public key for approvals of the logged-in user"
    for name, note in (("register", ""), ("activate", "another name of register, in an earlier guide")):
        yield _row(
            f"user change-quorum token-sign {name}", words, _BOTH, users.register_quorum, *registration, note=note
        )  # fmt: skip
    yield _row(
        "user replicate", "Copy a user to a clone", _ADMIN, replication.user, _USERNAME, _ROLE, *_REPLICATE,
        note=_CLONES, own_login=True,
    )  # fmt: skip


def _quorum() -> Iterator[Command]:
    words = "quorum token-sign"
    services = ("user", "quorum", "cluster")
    service = Option("service", "Service to approve", choices=services).needed()
    token = Option("token", "File to write the token to", Kind.FILE).needed()
    asked = Option("service", "Service to approve", choices=(*services, "registration", *_KEY_SERVICES)).needed()
    key_filter = Option("filter", "The key, for a service of keys", Kind.LIST)
    yield _row(
        f"{words} generate", "Write a quorum token to sign", _BOTH, quorum.generate, asked, token, key_filter,
        open_for=("service", quorum.REGISTRATION), note="a registration token needs no login",
    )  # fmt: skip
    yield _row(f"{words} list", "List the quorum tokens", _BOTH, quorum.list_tokens)
    scope = Option("scope", "Tokens of the user, or of all users", choices=("user", "all")).needed()
    yield _row(f"{words} delete", "Delete quorum tokens", _ADMIN, quorum.delete, scope)
    for name, note in (("list-quorum-values", ""), ("get-quorum-values", "another name, in an earlier guide")):
        yield _row(f"{words} {name}", "Show the quorum value of each service", _ALL, quorum.list_values, note=note)
    value = Option("value", "Approvals needed; 1 is no quorum", Kind.NUMBER, range=(0, 2**31 - 1)).needed()
    yield _row(
        f"{words} set-quorum-value", "Set the quorum value of a service", _ADMIN, quorum.set_value, service, value,
        _APPROVAL,
    )  # fmt: skip
    yield _row(f"{words} list-timeouts", "Show the timeouts in seconds", _ALL, quorum.list_timeouts)
    times = (
        Option("generated", "Seconds in which a token can be approved", Kind.NUMBER, range=(0, 2**31 - 1)),
        Option("approved", "Seconds in which it can then be used", Kind.NUMBER, range=(0, 2**31 - 1)),
    )
    yield _row(
        f"{words} set-timeout", "Set a timeout in seconds", _ADMIN, quorum.set_timeout, *times,
        one_of=(("generated", "approved"),),
    )  # fmt: skip


def _new_keys() -> Iterator[Command]:
    length = Option("key-length-bytes", "Length of the key in bytes", Kind.NUMBER, range=(1, 800)).needed()
    for_new = (_SESSION, _ATTRIBUTES, _SHARE, *_quorum_values("key"))
    yield _row(
        "key generate-symmetric aes", "Generate an AES key", _CRYPTO, keys.generate_aes, _LABEL, length, *for_new
    )  # fmt: skip
    yield _row(
        "key generate-symmetric generic-secret", "Generate a key of type generic-secret", _CRYPTO,
        keys.generate_generic, _LABEL, length, *for_new,
    )  # fmt: skip
    pair = (
        Option("public-label", "Label of the public key").needed(),
        Option("private-label", "Label of the private key").needed(),
        _SESSION,
        Option("public-attributes", "Attributes of the public key, NAME=VALUE …", Kind.LIST),
        Option("private-attributes", "Attributes of the private key, NAME=VALUE …", Kind.LIST),
        Option("share-crypto-users", "Crypto users to share the private key with", Kind.LIST),
        *_quorum_values("private-key"),
    )
    bits = Option("modulus-size-bits", "2048 to 4096, in steps of 256", Kind.NUMBER, range=(1, 2**16)).needed()
    exponent = Option("public-exponent", "Odd, 65537 or more", Kind.NUMBER, range=(1, 2**63 - 1)).needed()
    yield _row(
        "key generate-asymmetric-pair rsa", "Generate an RSA key pair", _CRYPTO, keys.generate_rsa, *pair, bits,
        exponent,
    )  # fmt: skip
    curve = Option("curve", "The curve", choices=CURVE_CHOICES).needed()
    yield _row(
        "key generate-asymmetric-pair ec", "Generate an EC key pair", _CRYPTO, keys.generate_ec, *pair, curve
    )  # fmt: skip
    algorithm = Option("mldsa-algorithm", "Size", choices=("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")).needed()
    yield _row(
        "key generate-asymmetric-pair ml-dsa", "Generate an ML-DSA key pair", _CRYPTO, keys.generate_ml_dsa, *pair,
        algorithm,
    )  # fmt: skip
    path = Option("path", "File with the key (PEM, PUBLIC KEY)", Kind.FILE).needed()
    kind = Option("key-type-class", "Type and class of the key", choices=("ec-public", "rsa-public")).needed()
    yield _row(
        "key import pem", "Import a public key", _CRYPTO, keys.import_pem, path, _LABEL, kind, _SESSION, _ATTRIBUTES
    )  # fmt: skip


def _keys() -> Iterator[Command]:
    filters = Option("filter", "Keys to list: key-reference=0x… or attr.NAME=VALUE …; without it all keys", Kind.LIST)
    items = Option("max-items", "Largest number of keys to list", Kind.NUMBER, range=(1, 2**31), default=10)
    token = Option("starting-token", "The next_token of the previous page", Kind.NUMBER, range=(0, 2**31))
    verbose = Option("verbose", "Show complete key objects; no effect for admins", Kind.FLAG, short="v")
    yield _row(
        "key list", "List your keys, keys shared with you, and all public keys", _KEY_USERS, keys.list_keys, filters,
        items, token, verbose,
    )  # fmt: skip
    yield _row("key delete", "Delete a key", _CRYPTO, keys.delete, _FILTER)
    name = Option("name", "Name of the attribute", choices=NAMES).needed()
    words = "New value of the attribute; of a template NAME=VALUE,NAME=VALUE"
    value = Option("value", words, may_be_empty=True).needed()
    yield _row(
        "key set-attribute", "Change an attribute of a key; an admin sets trusted, the owner all others", _KEY_USERS,
        keys.set_attribute, _FILTER, name, value, _APPROVAL,
    )  # fmt: skip
    yield _row("key share", "Share a key", _CRYPTO, keys.share, _FILTER, _USERNAME, _SHARE_ROLE, _APPROVAL)
    yield _row(
        "key unshare", "End the sharing of a key", _CRYPTO, keys.unshare, _FILTER, _USERNAME, _SHARE_ROLE, _APPROVAL
    )  # fmt: skip
    yield _row(
        "key replicate", "Copy a token key to a clone", _KEY_USERS, replication.key, _FILTER, *_REPLICATE,
        note=_CLONES, own_login=True,
    )  # fmt: skip
    encoding = Option("encoding", "File format", choices=("reference-pem", "pem", "ksp-key-reference")).needed()
    path = Option("path", "File to write", Kind.FILE).needed()
    everything = Option("all", "All pairs; only with ksp-key-reference", Kind.FLAG)
    yield _row(
        "key generate-file", "Write a public key, or a reference to a private key, to a file", _CRYPTO,
        keys.generate_file, encoding, path, _FILTER, everything, note="ksp-key-reference is for Windows only",
    )  # fmt: skip


def _wrapping() -> Iterator[Command]:
    tag = Option("tag-length-bits", "Length of the tag in bits", choices=wrapping.TAG_BITS).needed()
    aad = Option("aad", "Additional authenticated data, hexadecimal")
    iv = Option("iv", "The IV, hexadecimal").needed()
    hashed = (
        Option("hash-function", "The hash", choices=signing.HASHES).needed(),
        Option("mgf", "Mask generation function", choices=tuple(f"mgf1-{name}" for name in signing.HASHES)).needed(),
    )
    key_filters = (
        Option("payload-filter", "The key to wrap, as in --filter of other commands", Kind.LIST).needed(),
        Option("wrapping-filter", "The wrapping key", Kind.LIST).needed(),
    )
    after = (
        Option("path", "File to write the wrapped key to as well", Kind.FILE),
        Option("wrapping-approval", "File with an approved quorum token for the wrapping key", Kind.FILE),
        Option("payload-approval", "File with an approved quorum token for the key to wrap", Kind.FILE),
    )
    data = (Option("data", "The wrapped key, base64"), Option("data-path", "File with the wrapped key", Kind.FILE))
    kind = Option("key-type-class", "Type and class of the key", choices=tuple(wrapping.KEY_CLASSES)).needed()
    new_key = (kind, _LABEL, _ATTRIBUTES, _SESSION, _SHARE, *_quorum_values("key"), _APPROVAL)
    for row in wrapping.WRAPPINGS:
        own = (*((tag, aad) if row.gcm else ()), *(hashed if row.hashed else ()))
        yield _row(
            f"key wrap {row.name}", f"Wrap a key with {row.name}", _CRYPTO, wrapping.wrap(row), *key_filters, *own,
            *after,
        )  # fmt: skip
        own += (iv,) if row.gcm and not row.iv_in_front else ()
        yield _row(
            f"key unwrap {row.name}", f"Unwrap a key with {row.name}", _CRYPTO, wrapping.unwrap(row), _FILTER, *own,
            *data, *new_key, one_of=(("data", "data-path"),),
        )  # fmt: skip


def _signing() -> Iterator[Command]:
    data = (Option("data", "The data, base64"), Option("data-path", "File with the data", Kind.FILE))
    kind = Option("data-type", "Kind of the data", choices=("raw", "digest"), default="raw")
    mu = Option("data-type", "Kind of the data", choices=("raw", "external-mu"), default="raw")
    shake = Option("hash-function", "The hash", choices=("shake256",)).needed()
    signature = (Option("signature", "The signature, base64"), Option("signature-path", "Signature file", Kind.FILE))
    hashed = Option("hash-function", "The hash", choices=signing.HASHES).needed()
    pss = (
        Option("mgf", "Mask generation function", choices=tuple(f"mgf1-{name}" for name in signing.HASHES)).needed(),
        Option("salt-length", "Length of the salt in bytes", Kind.NUMBER, range=(0, 512)).needed(),
    )
    hash_512 = Option("hash-function", "The hash", choices=("sha512",)).needed()
    kinds: tuple[tuple[str, Handler | None, Handler | None, tuple[Option, ...], str], ...] = (
        ("ecdsa", signing.sign_ecdsa, signing.verify_ecdsa, (hashed, kind), ""),
        ("rsa-pkcs", signing.sign_pkcs, signing.verify_pkcs, (hashed, kind), ""),
        ("rsa-pkcs-pss", signing.sign_pss, signing.verify_pss, (hashed, kind, *pss), ""),
        ("ed25519ph", None, None, (hash_512, kind.needed()), _NO_PREHASHED),
        ("ed25519", signing.sign_ed25519, signing.verify_ed25519, (), ""),
        ("ml-dsa", signing.sign_ml_dsa, signing.verify_ml_dsa, (shake, mu), ""),
    )
    for name, sign, verify, options, missing in kinds:
        yield _row(
            f"crypto sign {name}", f"Sign with {name}", _CRYPTO, sign, _KEY_FILTER, *options, *data, _APPROVAL,
            missing=missing, one_of=(("data", "data-path"),),
        )  # fmt: skip
        yield _row(
            f"crypto verify {name}", f"Verify a signature made with {name}", _CRYPTO, verify, _KEY_FILTER, *options,
            *data, *signature, missing=missing, one_of=(("data", "data-path"), ("signature", "signature-path")),
        )  # fmt: skip


COMMANDS: tuple[Command, ...] = tuple(
    command for rows in (_cluster, _users, _quorum, _new_keys, _keys, _wrapping, _signing) for command in rows()
)
PARSER = Parser(COMMANDS)
