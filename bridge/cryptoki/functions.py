"""The table of Cryptoki functions behind the protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.cryptoki import crypto, derivation, general, objects
from bridge.cryptoki.application import Application
from bridge.cryptoki.failures import Refused, code_of
from bridge.cryptoki.numbers import Rv
from hsmcore.errors import HsmError, NotCaughtUp

_INT, _BOOL, _BYTES, _LIST = (int,), (bool,), (bytes,), (list,)
_CAPACITY, _PIN, _INIT = (int, type(None)), (bytes, type(None)), (list, type(None))


@dataclass(frozen=True, slots=True)
class Function:
    """One function and the types of its arguments."""

    arguments: tuple[tuple[type, ...], ...]
    run: Callable[..., list[object]]

    def fits(self, arguments: Sequence[object]) -> bool:
        """Tell whether arguments have the right types."""
        return len(arguments) == len(self.arguments) and all(
            type(one) in types for one, types in zip(arguments, self.arguments, strict=True)
        )


FUNCTIONS: dict[str, Function] = {
    "C_GetTokenInfo": Function((), general.token_info),
    "C_GetMechanismList": Function((), general.mechanism_list),
    "C_GetMechanismInfo": Function((_INT,), general.mechanism_info),
    "C_OpenSession": Function((_INT,), general.open_session),
    "C_CloseSession": Function((_INT,), general.close_session),
    "C_CloseAllSessions": Function((), general.close_all_sessions),
    "C_GetSessionInfo": Function((_INT,), general.session_info),
    "C_Login": Function((_INT, _INT, _PIN), general.login),
    "C_Logout": Function((_INT,), general.logout),
    "C_GenerateRandom": Function((_INT, _INT), general.generate_random),
    "C_CreateObject": Function((_INT, _LIST), objects.create_object),
    "C_DestroyObject": Function((_INT, _INT), objects.destroy_object),
    "C_GetAttributeValue": Function((_INT, _INT, _LIST), objects.get_attributes),
    "C_FindObjectsInit": Function((_INT, _LIST), objects.find_init),
    "C_FindObjects": Function((_INT, _INT, _BOOL), objects.find),
    "C_FindObjectsFinal": Function((_INT,), objects.find_final),
    "C_GenerateKey": Function((_INT, _INT, _LIST, _LIST), objects.generate_key),
    "C_GenerateKeyPair": Function((_INT, _INT, _LIST, _LIST, _LIST), objects.generate_key_pair),
    "C_WrapKey": Function((_INT, _INT, _LIST, _INT, _INT, _CAPACITY), objects.wrap_key),
    "C_UnwrapKey": Function((_INT, _INT, _LIST, _INT, _BYTES, _LIST), objects.unwrap_key),
    "C_DeriveKey": Function((_INT, _INT, _LIST, _INT, _LIST), derivation.derive_key),
    **{
        f"C_{kind}Init": Function((_INT, _INT, _LIST, _INT, _INIT), crypto.init(kind))
        for kind in ("Encrypt", "Decrypt", "Sign", "Verify", "Digest")
    },
    **{
        f"C_{kind}": Function((_INT, _BYTES, _CAPACITY, _INIT), crypto.once(kind))
        for kind in ("Encrypt", "Decrypt", "Sign", "Digest")
    },
    **{
        f"C_{kind}Update": Function((_INT, _BYTES, _CAPACITY, _INIT), crypto.update(kind))
        for kind in ("Encrypt", "Decrypt")
    },
    **{
        f"C_{kind}Update": Function((_INT, _BYTES, _INIT), crypto.absorb(kind)) for kind in ("Sign", "Verify", "Digest")
    },
    **{
        f"C_{kind}Final": Function((_INT, _CAPACITY, _INIT), crypto.final(kind))
        for kind in ("Encrypt", "Decrypt", "Sign", "Digest")
    },
    "C_Verify": Function((_INT, _BYTES, _BYTES, _INIT), crypto.verify),
    "C_VerifyFinal": Function((_INT, _BYTES, _INIT), crypto.verify_final),
}
"""Every function that takes a request. The C library answers the others itself."""


def call(app: Application, name: str, arguments: Sequence[object]) -> tuple[int, list[object]]:
    """Call a function and return its return code and results.

    Raises:
        NotCaughtUp: This HSM has no contact with its cluster; it has done nothing.
    """
    function = FUNCTIONS.get(name)
    if function is None:
        return int(Rv.FUNCTION_NOT_SUPPORTED), []
    if not function.fits(arguments):
        return int(Rv.ARGUMENTS_BAD), []
    outputs: list[object] = []
    try:
        rv, outputs = Rv.OK, function.run(app, *arguments)
    except Refused as refused:
        rv, outputs = refused.rv, refused.outputs
    except NotCaughtUp:
        # No return code tells the client to leave this HSM for another.
        raise
    except HsmError as error:
        rv = code_of(error)
    return int(rv), outputs
