"""What can go wrong, by whose fault, each kind with the stable code of ``bridge/PROTOCOL.md``.

::

    HsmError
    ├── RequestError            the caller's message is not a request
    │   ├── MalformedRequest, UnsupportedVersion, FrameTooLarge, UnknownOperation, NotRepeated
    ├── AccessError             the caller may not do this
    │   ├── Unauthenticated, AuthenticationFailed (UserUnknown), AccountLocked, PermissionDenied
    │   ├── MfaRequired
    ├── KeyUseError               the key does not do this
    │   ├── KeyNotFound, KeyAmbiguous, KeyTypeInconsistent, KeyFunctionNotPermitted
    │   ├── AttributeInvalid, KeySizeInvalid, KeyMaterialInvalid, KeyUnextractable, KeyNotWrappable, SharingInvalid
    ├── MechanismError          the operation cannot be done so
    │   ├── MechanismInvalid, MechanismParameterInvalid, DataLengthInvalid
    │   ├── PaddingInvalid, TagMismatch, OperationNotFound, OperationLimit
    │   ├── WrappedKeyInvalid, TemplateInconsistent
    ├── UserError               the user cannot be made, changed or deleted so
    │   ├── UserExists, UserNotFound, UserNameInvalid, PasswordInvalid, UserBusy, UserOwnsKeys
    │   ├── UserLimit, MfaNotEnabled, MfaSharesKey, PublicKeyInvalid
    ├── TokenError              the token or its signature is not right
    │   ├── TokenFileInvalid, TokenUnknown, TokenSignatureInvalid
    ├── QuorumError             approvals are missing, or the quorum cannot be so
    │   ├── ApprovalRequired, KeyQuorumFailed, QuorumValueInvalid, QuorumAdmins
    │   ├── QuorumTokenRefused, QuorumTokenLimit, ApproverInvalid
    ├── StateError              the HSM's own state is in the way
    │   ├── StoreFull, StoreDamaged, StateVersion, StateLocked, StateMissing, MasterKeyUnavailable
    ├── AuditError              the audit log cannot be looked at so
    │   ├── AuditAnchorInvalid
    └── KeyStoreError           the key store file is in the way
        ├── KeyStorePassword, KeyStoreDamaged, KeyStoreEntry, KeyStoreNotLoaded
        └── ForeignStoreDamaged, ForeignStorePassword, ForeignKeyPassword, ForeignKeyUnreadable

The message says what was wrong, with what value, and what to do. It never holds a secret.
"""

from __future__ import annotations


class HsmError(Exception):
    """Any error of the HSM that a caller could act on; ``code`` is stable across versions."""

    code = 9


class RequestError(HsmError):
    """The message is not a request this HSM understands."""


class MalformedRequest(RequestError):
    """The fields do not decode, or do not fit the operation."""

    code = 1


class UnsupportedVersion(RequestError):
    """Client and HSM have no protocol version in common."""

    code = 2


class FrameTooLarge(RequestError):
    """The frame is longer than the protocol allows."""

    code = 3


class UnknownOperation(RequestError):
    """The operation number is not in the table."""

    code = 4


class NotRepeated(RequestError):
    """A use cannot be repeated by its number, now or at all; the whole request says why, or succeeds."""

    code = 5


class AccessError(HsmError):
    """This caller may not do this."""


class Unauthenticated(AccessError):
    """There is no session, or it has ended."""

    code = 10


class AuthenticationFailed(AccessError):
    """User name, role or password is wrong; which one is not said."""

    code = 11


class UserUnknown(AuthenticationFailed):
    """There is no such user; callers see ``AuthenticationFailed``, and only the audit log tells the two apart."""


class AccountLocked(AccessError):
    """Too many wrong passwords; an admin unlocks the account by setting a new password."""

    code = 12


class PermissionDenied(AccessError):
    """The role, or the ownership of the key, does not allow this."""

    code = 14


class MfaRequired(AccessError):
    """The user logs in with a second factor, which was not given."""

    code = 81


class KeyUseError(HsmError):
    """The key, or what was asked of it, is not right."""


class KeyNotFound(KeyUseError):
    """This user sees no key with that handle."""

    code = 20


class KeyAmbiguous(KeyUseError):
    """Several keys match where exactly one is needed."""

    code = 21


class KeyTypeInconsistent(KeyUseError):
    """The key's class or type does not fit the mechanism (PKCS #11 CKR_KEY_TYPE_INCONSISTENT)."""

    code = 22


class KeyFunctionNotPermitted(KeyUseError):
    """The key's attributes forbid the operation (PKCS #11 CKR_KEY_FUNCTION_NOT_PERMITTED)."""

    code = 23


class AttributeInvalid(KeyUseError):
    """The attribute is unknown, read-only, forbidden here, or of the wrong type."""

    code = 30


class KeySizeInvalid(KeyUseError):
    """The key size or curve is not supported."""

    code = 31


class KeyMaterialInvalid(KeyUseError):
    """The imported bytes are not a key of that class and type."""

    code = 32


class KeyUnextractable(KeyUseError):
    """The key does not leave the HSM: its EXTRACTABLE is false (PKCS #11 CKR_KEY_UNEXTRACTABLE)."""

    code = 33


class KeyNotWrappable(KeyUseError):
    """This wrapping key, or any, does not wrap the key (PKCS #11 CKR_KEY_NOT_WRAPPABLE).

    It is a public key, it needs a trusted wrapping key, or it does not match the wrapping key's WRAP_TEMPLATE.
    """

    code = 34


class SharingInvalid(KeyUseError):
    """The key cannot be shared, or not with that user, or is not shared with the user it should be taken from."""

    code = 100


class MechanismError(HsmError):
    """The operation cannot be done in this way."""


class MechanismInvalid(MechanismError):
    """The mechanism is unknown, or has no such operation."""

    code = 40


class MechanismParameterInvalid(MechanismError):
    """A mechanism parameter is missing or wrong."""

    code = 41


class DataLengthInvalid(MechanismError):
    """The data is too long, too short, or not a multiple of the block."""

    code = 42


class PaddingInvalid(MechanismError):
    """The ciphertext does not decrypt; why is not said."""

    code = 43


class TagMismatch(MechanismError):
    """The authentication tag does not match; nothing was decrypted."""

    code = 44


class OperationNotFound(MechanismError):
    """The multi-part operation was finished, aborted, or has expired."""

    code = 45


class OperationLimit(MechanismError):
    """The session has too many unfinished multi-part operations."""

    code = 46


class WrappedKeyInvalid(MechanismError):
    """The bytes do not unwrap to a key of the class and type that was asked for; why is not said."""

    code = 47


class TemplateInconsistent(MechanismError):
    """What the caller asked for contradicts the unwrapping key's UNWRAP_TEMPLATE."""

    code = 48


class UserError(HsmError):
    """The user cannot be created, changed or deleted in this way."""


class UserExists(UserError):
    """A user of that name and role exists."""

    code = 50


class UserNotFound(UserError):
    """No user of that name and role exists."""

    code = 51


class UserNameInvalid(UserError):
    """The user name breaks a rule (1 to 31 characters, letters, digits, underscore)."""

    code = 52


class PasswordInvalid(UserError):
    """The password breaks a rule (8 to 32 characters, no colon)."""

    code = 53


class UserBusy(UserError):
    """The user is logged in."""

    code = 54


class UserOwnsKeys(UserError):
    """The user still owns keys."""

    code = 55


class UserLimit(UserError):
    """The HSM has as many users as it may have."""

    code = 80


class MfaNotEnabled(UserError):
    """The user has no second factor."""

    code = 82


class MfaSharesKey(UserError):
    """MFA and quorum share one key, and this is another."""

    code = 83


class PublicKeyInvalid(UserError):
    """The public key is no PEM, not RSA with 2048 bits, or already another user's."""

    code = 84


class TokenError(HsmError):
    """A token that a user signs, or what was made of it, is not right."""


class TokenFileInvalid(TokenError):
    """The bytes are no token file of version 2.0."""

    code = 85


class TokenUnknown(TokenError):
    """The token was used, has expired or was deleted, or was given out for something else."""

    code = 86


class TokenSignatureInvalid(TokenError):
    """The token was not signed with that key."""

    code = 87


class QuorumError(HsmError):
    """Approvals are missing, or the quorum cannot be made so."""


class ApprovalRequired(QuorumError):
    """The operation takes an approved quorum token, and the session has none for it."""

    code = 88


class KeyQuorumFailed(QuorumError):
    """The key takes an approved quorum token, and the session has none for it."""

    code = 89


class QuorumValueInvalid(QuorumError):
    """The quorum value or timeout is out of range, or fits neither the other values nor the approvers there are."""

    code = 90


class QuorumAdmins(QuorumError):
    """Fewer registered admins would remain than a quorum value asks for; lower the value first."""

    code = 91


class QuorumTokenRefused(QuorumError):
    """The user has an active token for that service, or the service takes no approval."""

    code = 92


class QuorumTokenLimit(QuorumError):
    """The HSM holds as many quorum tokens as it may."""

    code = 93


class ApproverInvalid(QuorumError):
    """The approver does not exist, has no registered key, or does not approve this service."""

    code = 94


class StateError(HsmError):
    """The HSM's state directory is in the way."""


class StoreFull(StateError):
    """The disk is full or read-only; nothing was changed."""

    code = 60


class StoreDamaged(StateError):
    """A row does not open, or the database is damaged."""

    code = 61


class StateVersion(StateError):
    """The state directory was written by a newer version."""

    code = 62


class StateLocked(StateError):
    """Another process has the state directory open."""

    code = 63


class StateMissing(StateError):
    """There is no HSM in the state directory."""

    code = 64


class MasterKeyUnavailable(StateError):
    """The passphrase is wrong, or the key file is missing or readable by others."""

    code = 65


class AuditError(HsmError):
    """The audit log cannot be looked at in this way."""


class AuditAnchorInvalid(AuditError):
    """The text is no anchor of an audit log."""

    code = 110


class KeyStoreError(HsmError):
    """The key store file, or an entry of it, is in the way."""


class KeyStorePassword(KeyStoreError):
    """The key store's password is wrong."""

    code = 70


class KeyStoreDamaged(KeyStoreError):
    """The bytes are not a CloudHSM key store file."""

    code = 71


class KeyStoreEntry(KeyStoreError):
    """The entry is refused; the key store is as it was."""

    code = 72


class KeyStoreNotLoaded(KeyStoreError):
    """No key store is loaded under that handle."""

    code = 73


class ForeignStoreDamaged(KeyStoreError):
    """The bytes are no key store that can be read: of no known format, cut, or changed."""

    code = 74


class ForeignStorePassword(KeyStoreError):
    """The password of another program's key store is wrong, or its bytes were changed."""

    code = 75


class ForeignKeyPassword(KeyStoreError):
    """The password does not open this key of another program's key store."""

    code = 76


class ForeignKeyUnreadable(KeyStoreError):
    """This key of another program's key store is in a form that is not understood."""

    code = 77
