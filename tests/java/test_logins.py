"""Logins of Java programs: there is none for a user with a second factor."""

from __future__ import annotations

from pathlib import Path

import pytest
from jpype import JClass

from bridge.carriers import jvm
from bridge.pytest_plugin import HsmUnderTest
from tests.signing import Signer


def test_a_user_with_a_second_factor_is_refused(hsm: HsmUnderTest, tmp_path: Path) -> None:
    signer = Signer(tmp_path, "key")
    file = signer.signed(hsm.hsm.users.mfa_token(hsm.session, hsm.user, "crypto-user"))
    hsm.hsm.users.register_mfa(hsm.session, hsm.user, "crypto-user", file, signer.public)
    hsm.provider.logout()
    refused = JClass("com.amazonaws.cloudhsm.jce.jni.exception.FailedLoginException")
    for password in (hsm.password, "wrong-password"):
        with pytest.raises(refused) as caught:
            jvm.login(hsm.provider, hsm.user, password)
        assert "second factor" in str(caught.value.getMessage())
    hsm.hsm.users.deregister_mfa(hsm.session, hsm.user, "crypto-user")
    jvm.login(hsm.provider, hsm.user, hsm.password)
