"""The return codes of errors."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.cryptoki.numbers import Rv
from hsmcore import errors
from hsmcore.errors import HsmError


class Refused(Exception):
    """A Cryptoki function ends with a return code other than ``CKR_OK``; ``outputs`` are its results all the same."""

    def __init__(self, rv: Rv, outputs: Sequence[object] = ()) -> None:
        super().__init__(rv.name)
        self.rv = rv
        self.outputs = list(outputs)


_CODES: dict[type[HsmError], Rv] = {
    errors.Unauthenticated: Rv.USER_NOT_LOGGED_IN,
    errors.AuthenticationFailed: Rv.PIN_INCORRECT,
    errors.MfaRequired: Rv.PIN_INCORRECT,
    errors.AccountLocked: Rv.PIN_LOCKED,
    errors.PermissionDenied: Rv.KEY_FUNCTION_NOT_PERMITTED,
    errors.KeyNotFound: Rv.KEY_HANDLE_INVALID,
    errors.KeyTypeInconsistent: Rv.KEY_TYPE_INCONSISTENT,
    errors.KeyFunctionNotPermitted: Rv.KEY_FUNCTION_NOT_PERMITTED,
    errors.AttributeInvalid: Rv.ATTRIBUTE_VALUE_INVALID,
    errors.KeySizeInvalid: Rv.ATTRIBUTE_VALUE_INVALID,
    errors.KeyMaterialInvalid: Rv.ATTRIBUTE_VALUE_INVALID,
    errors.KeyUnextractable: Rv.KEY_UNEXTRACTABLE,
    errors.KeyNotWrappable: Rv.KEY_NOT_WRAPPABLE,
    errors.KeyLimit: Rv.DEVICE_MEMORY,
    errors.MechanismInvalid: Rv.MECHANISM_INVALID,
    errors.MechanismParameterInvalid: Rv.MECHANISM_PARAM_INVALID,
    errors.DataLengthInvalid: Rv.DATA_LEN_RANGE,
    errors.PaddingInvalid: Rv.ENCRYPTED_DATA_INVALID,
    errors.TagMismatch: Rv.ENCRYPTED_DATA_INVALID,
    errors.OperationNotFound: Rv.OPERATION_NOT_INITIALIZED,
    errors.OperationLimit: Rv.FUNCTION_FAILED,
    errors.WrappedKeyInvalid: Rv.WRAPPED_KEY_INVALID,
    errors.TemplateInconsistent: Rv.TEMPLATE_INCONSISTENT,
    errors.KeyQuorumFailed: Rv.FUNCTION_REJECTED,
    errors.StoreFull: Rv.DEVICE_MEMORY,
    errors.StoreDamaged: Rv.DEVICE_ERROR,
}


def code_of(error: HsmError) -> Rv:
    """Return the return code of an error of the HSM."""
    for kind in type(error).__mro__:
        if issubclass(kind, HsmError) and kind in _CODES:
            return _CODES[kind]
    return Rv.FUNCTION_FAILED
