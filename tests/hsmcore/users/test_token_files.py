"""Token files that nobody wrote: whatever the JSON, it is read or refused as a token file."""

from __future__ import annotations

import base64
import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from hsmcore.errors import TokenFileInvalid
from hsmcore.users import token_files

_NAMES = ["version", "tokens", "unsigned", "signed", "approval_data", "token", "signatures", "username", "role"]
_TOKEN = base64.b64encode(bytes(32)).decode()
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["2.0", _TOKEN, "AA=="])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_NAMES), inner, max_size=len(_NAMES))
    ),
    max_leaves=12,
)
_DOCUMENTS = st.fixed_dictionaries(
    {"version": st.just("2.0")},
    optional={"tokens": _VALUES, "approval_data": _VALUES, "token": _VALUES, "signatures": _VALUES},
)


@given(document=st.one_of(_DOCUMENTS, _VALUES))
@settings(deadline=None, max_examples=400)
def test_any_json(document: object) -> None:
    file = json.dumps(document).encode()
    for read in (token_files.read_token, token_files.read_approval):
        with contextlib.suppress(TokenFileInvalid):
            assert len(read(file).token) == 32


@given(file=st.binary(max_size=200))
@settings(deadline=None, max_examples=200)
def test_any_bytes(file: bytes) -> None:
    for read in (token_files.read_token, token_files.read_approval):
        with contextlib.suppress(TokenFileInvalid):
            assert len(read(file).token) == 32


@given(
    token=st.binary(min_size=32, max_size=32), data=st.binary(max_size=245), key=st.none() | st.integers(1, 2**63 - 1)
)
def test_what_is_written_is_read(token: bytes, data: bytes, key: int | None) -> None:
    assert token_files.read_token(token_files.encode_token(token, data)) == token_files.SignedToken(token, data=data)
    read = token_files.read_approval(token_files.encode_approval("key-usage", key, data, token))
    assert (read.approval_data, read.token, read.approvals) == (data, token, ())
