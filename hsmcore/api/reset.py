"""The reset of an HSM for tests to the state in which ``Hsm.initialize`` left it."""

from __future__ import annotations

from threading import Lock

from hsmcore.api.core import Core
from hsmcore.api.guard import audited
from hsmcore.errors import SettingRequired
from hsmcore.users.first_users import first_row


class ResetService:
    """Resets the HSM."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._log = core.log
        self._turn = Lock()

    @audited
    def run(self) -> None:
        """Destroy all keys, restore the first users and rules, and end all sessions. Needs no login.

        Settings, serial number, master key and the audit log, in which the reset has an entry, stay.

        Raises:
            SettingRequired: The HSM was made without ``allow_reset``, or other HSMs can share its database.
            StoreFull: The disk is full.
        """
        core = self._core
        if core.store.shared:
            raise SettingRequired("an HSM in a database that others can share cannot be reset")
        if not core.settings.allow_reset:
            raise SettingRequired(
                "this HSM was made without --allow-reset; `hsm init --allow-reset`, or `hsm start --ephemeral "
                "--allow-reset`, makes one for tests"
            )
        with self._turn, core.accounts.all_changing():
            sessions = core.sessions.all()
            self._log.describe(f"keys {len(core.ring)}, users {len(core.accounts)}, sessions {len(sessions)}")
            users = [
                first_row(place, user, core.accounts.next_version(user.username, user.role), core.vault)
                for place, user in enumerate(core.settings.first_users)
            ]
            rules, version = core.rules.first()
            core.store.reset(users, rules, version)
            core.accounts.restore(users)
            core.rules.restore(version)
            core.ring.forget_token_keys()
            for session in sessions:
                core.sessions.end(session)
            if sessions:
                self._log.record_end("users.close_session", *sessions)
            for session in sessions:
                core.ring.drop_session(session)
                core.streams.drop_session(session)
                core.approvals.quorum_tokens.drop_session(session)
