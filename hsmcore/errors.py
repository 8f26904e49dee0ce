"""The errors of the HSM, grouped by what is at fault, each with its stable code of ``bridge/PROTOCOL.md``.

A message names the fault and the value, and says what to do. It never holds a secret.
"""

from __future__ import annotations


class HsmError(Exception):
    """An error of the HSM that a caller can act on. Its ``code`` is stable across versions."""

    code = 9

    def __init_subclass__(cls, *, code: int | None = None) -> None:
        """Set the code of an error; a class without one groups others."""
        if code is not None:
            cls.code = code


class RequestError(HsmError):
    """The message is not a valid request."""


class MalformedRequest(RequestError, code=1):
    """The fields do not decode, or do not fit the operation."""


class UnsupportedVersion(RequestError, code=2):
    """Client and HSM have no protocol version in common."""


class FrameTooLarge(RequestError, code=3):
    """The frame is longer than the protocol allows."""


class UnknownOperation(RequestError, code=4):
    """The operation number is not in the table."""


class NotRepeated(RequestError, code=5):
    """A REPEAT cannot be answered. The client sends the whole request, which succeeds or says why not."""


class AccessError(HsmError):
    """The caller may not do this."""


class Unauthenticated(AccessError, code=10):
    """There is no session, or it has ended."""


class AuthenticationFailed(AccessError, code=11):
    """User name, role or password is wrong. The message does not say which."""


class UserUnknown(AuthenticationFailed):
    """The user does not exist. Callers see ``AuthenticationFailed``; only the audit log tells the two apart."""


class AccountLocked(AccessError, code=12):
    """The password was wrong too often. An admin unlocks the account by setting a new password."""


class PermissionDenied(AccessError, code=14):
    """The role, or the ownership of the key, does not allow this."""


class SettingRequired(AccessError, code=15):
    """The HSM was made without the setting that allows this."""


class MfaRequired(AccessError, code=81):
    """The user has a second factor, and the login came without it."""


class KeyUseError(HsmError):
    """The key is missing, or does not allow the request."""


class KeyNotFound(KeyUseError, code=20):
    """The session sees no key with that handle."""


class KeyAmbiguous(KeyUseError, code=21):
    """Several keys match where exactly one is needed."""


class KeyTypeInconsistent(KeyUseError, code=22):
    """The key's class or type does not fit the mechanism (PKCS #11 CKR_KEY_TYPE_INCONSISTENT)."""


class KeyFunctionNotPermitted(KeyUseError, code=23):
    """The key's attributes forbid the operation (PKCS #11 CKR_KEY_FUNCTION_NOT_PERMITTED)."""


class KeyLimit(KeyUseError, code=24):
    """The user has the maximum number of session keys."""


class AttributeInvalid(KeyUseError, code=30):
    """The attribute is unknown, read-only, forbidden here, or of the wrong type."""


class KeySizeInvalid(KeyUseError, code=31):
    """The key size or curve is not supported."""


class KeyMaterialInvalid(KeyUseError, code=32):
    """The imported bytes are not a key of that class and type."""


class KeyUnextractable(KeyUseError, code=33):
    """The key cannot be wrapped: its EXTRACTABLE is false (PKCS #11 CKR_KEY_UNEXTRACTABLE)."""


class KeyNotWrappable(KeyUseError, code=34):
    """The wrapping key, or any, cannot wrap the key (PKCS #11 CKR_KEY_NOT_WRAPPABLE).

    It is a public key, it needs a trusted wrapping key, or it does not match the wrapping key's WRAP_TEMPLATE.
    """


class SharingInvalid(KeyUseError, code=100):
    """The key cannot be shared, or not with that user, or is not shared with the user to remove."""


class MechanismError(HsmError):
    """The operation cannot be done in this way."""


class MechanismInvalid(MechanismError, code=40):
    """The mechanism is unknown, or has no such operation."""


class MechanismParameterInvalid(MechanismError, code=41):
    """A mechanism parameter is missing or wrong."""


class DataLengthInvalid(MechanismError, code=42):
    """The data is too long, too short, or not a multiple of the block."""


class PaddingInvalid(MechanismError, code=43):
    """The ciphertext does not decrypt. The message does not say why."""


class TagMismatch(MechanismError, code=44):
    """The authentication tag does not match. Nothing was decrypted."""


class OperationNotFound(MechanismError, code=45):
    """The multi-part operation was finished, aborted, or has expired."""


class OperationLimit(MechanismError, code=46):
    """The session has too many unfinished multi-part operations."""


class ChangeMade(OperationLimit):
    """An HSM of the cluster has made the change of this request. ``changes`` names the rows as the audit log does."""

    def __init__(self, changes: str) -> None:
        super().__init__("the change was made, and its answer is lost")
        self.changes = changes


class RepetitionUnknown(MechanismError, code=49):
    """A request is repeated, and this HSM cannot know whether its change was made. Nothing was changed."""


class WrappedKeyInvalid(MechanismError, code=47):
    """The bytes do not unwrap to a key of the requested class and type. The message does not say why."""


class TemplateInconsistent(MechanismError, code=48):
    """The template for the new key contradicts the unwrapping key's UNWRAP_TEMPLATE."""


class UserError(HsmError):
    """The user cannot be created, changed or deleted in this way."""


class UserExists(UserError, code=50):
    """A user of that name and role exists."""


class UserNotFound(UserError, code=51):
    """No user of that name and role exists."""


class UserNameInvalid(UserError, code=52):
    """The user name breaks a rule (1 to 31 characters, letters, digits, underscore)."""


class PasswordInvalid(UserError, code=53):
    """The password breaks a rule (8 to 32 characters, no colon)."""


class UserBusy(UserError, code=54):
    """The user is logged in."""


class UserOwnsKeys(UserError, code=55):
    """The user still owns keys."""


class UserLimit(UserError, code=80):
    """The HSM has the maximum number of users."""


class MfaNotEnabled(UserError, code=82):
    """The user has no second factor."""


class MfaSharesKey(UserError, code=83):
    """The user has registered a different key; MFA and quorum share one."""


class PublicKeyInvalid(UserError, code=84):
    """The public key is not PEM, not RSA with 2048 bits, or registered for another user."""


class TokenError(HsmError):
    """A token file, or a signature in it, is wrong."""


class TokenFileInvalid(TokenError, code=85):
    """The bytes are not a token file of version 2.0."""


class TokenUnknown(TokenError, code=86):
    """The token was used, has expired or was deleted, or was issued for another purpose."""


class TokenSignatureInvalid(TokenError, code=87):
    """The token's signature is not of that key."""


class QuorumError(HsmError):
    """Approvals are missing, or a quorum value is not possible."""


class ApprovalRequired(QuorumError, code=88):
    """The operation takes an approved quorum token, and the session has none."""


class KeyQuorumFailed(QuorumError, code=89):
    """The key takes an approved quorum token, and the session has none."""


class QuorumValueInvalid(QuorumError, code=90):
    """The quorum value or timeout is out of range, or does not fit the other values or the approvers."""


class QuorumAdmins(QuorumError, code=91):
    """Fewer registered admins would remain than a quorum value requires. Lower the value first."""


class QuorumTokenRefused(QuorumError, code=92):
    """The user has an active token for that service, or the service takes no approval."""


class QuorumTokenLimit(QuorumError, code=93):
    """The HSM holds the maximum number of quorum tokens."""


class ApproverInvalid(QuorumError, code=94):
    """The approver does not exist, has no registered key, or cannot approve this token."""


class StateError(HsmError):
    """The HSM's state directory cannot be used."""


class StoreFull(StateError, code=60):
    """The disk is full or read-only. Nothing was changed."""


class StoreDamaged(StateError, code=61):
    """A row does not open, or the database is damaged."""


class StateVersion(StateError, code=62):
    """The state directory was written by a newer version."""


class StateLocked(StateError, code=63):
    """Another process has the state directory open."""


class StateMissing(StateError, code=64):
    """The state directory has no HSM."""


class MasterKeyUnavailable(StateError, code=65):
    """The passphrase is wrong, or the key file is missing or readable by others."""


class StoreUnreachable(StateError, code=66):
    """The database does not answer. Another HSM of the cluster may reach it. A change may have been made."""


class NotCaughtUp(StateError, code=67):
    """The HSM has been cut off from its cluster and may not know its changes. Another HSM of the cluster answers."""


class TlsError(HsmError):
    """A certificate for TLS cannot be made, stored or used."""


class CertificateInvalid(TlsError, code=140):
    """The certificate does not decode, or is not signed, valid or named as needed."""


class CertificateMissing(TlsError, code=141):
    """The HSM has no TLS certificate yet."""


class TrustAnchorExists(TlsError, code=142):
    """The trust anchor is registered."""


class TrustAnchorLimit(TlsError, code=143):
    """The HSM has the maximum number of trust anchors."""


class TrustAnchorNotFound(TlsError, code=144):
    """No trust anchor has that reference."""


class TrustAnchorNeeded(TlsError, code=145):
    """The enforcement of client certificates takes a trust anchor."""


class MutualTlsRequired(TlsError, code=146):
    """The operation takes a connection over mutual TLS."""


class AuditError(HsmError):
    """The audit log cannot be verified in this way."""


class AuditAnchorInvalid(AuditError, code=110):
    """The text is not an anchor of an audit log."""


class BackupError(HsmError):
    """A backup cannot be made, used or deleted."""


class BackupDamaged(BackupError, code=130):
    """The file is not a whole backup: cut short, edited, or not a backup at all."""


class BackupForeign(BackupError, code=131):
    """The backup was made in another security domain."""


class BackupNotFound(BackupError, code=132):
    """There is no backup with that name."""


class BackupRunning(BackupError, code=133):
    """Another backup of this HSM is being made."""


class BackupKept(BackupError, code=134):
    """The last whole backup is not deleted."""


class CloneError(HsmError):
    """A key or a user cannot be copied between two HSMs."""


class MaskedObjectForeign(CloneError, code=150):
    """The masked object is of another security domain."""


class MaskedObjectInvalid(CloneError, code=151):
    """The bytes are not a masked object of that kind, or were changed."""


class ReplicaDiffers(CloneError, code=152):
    """The HSM has a key with that handle, or a user with that name and role, and it is a different one."""


class KeyStoreError(HsmError):
    """The key store file, or an entry of it, cannot be used."""


class KeyStorePassword(KeyStoreError, code=70):
    """The key store's password is wrong."""


class KeyStoreDamaged(KeyStoreError, code=71):
    """The bytes are not a CloudHSM key store file."""


class KeyStoreEntry(KeyStoreError, code=72):
    """The entry is refused. The key store is unchanged."""


class ForeignStoreDamaged(KeyStoreError, code=74):
    """The bytes are not a readable key store: of an unknown format, truncated or changed."""


class ForeignStorePassword(KeyStoreError, code=75):
    """The password of another program's key store is wrong, or its bytes were changed."""


class ForeignKeyPassword(KeyStoreError, code=76):
    """The password does not open this key of another program's key store."""


class ForeignKeyUnreadable(KeyStoreError, code=77):
    """The form of this key in another program's key store is unknown."""
