"""Files that are cut, edited, put together from two, or made to hurt: each is refused, and a restore makes nothing."""

from __future__ import annotations

import json
import os
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsmcore import Hsm
from hsmcore.backup.format import Header, PartWriter
from hsmcore.backup.opening import Credentials, wrapped
from hsmcore.errors import BackupDamaged, BackupForeign, HsmError, MasterKeyUnavailable, StateVersion
from hsmcore.storage.sealing import Domain
from tests.conftest import repeated
from tests.hsmcore.backup.conftest import PASSPHRASE, key_file
from tests.hsmcore.conftest import Site, make_site

ENGINES = ("sqlite",)

_REFUSED = (BackupDamaged, StateVersion, MasterKeyUnavailable)
_BEGINNING = struct.Struct(">7sBI")


def _restore(path: Path, content: bytes, credentials: Credentials) -> None:
    """Restore bytes as a backup; nothing is made if they are refused."""
    home = path / "none"
    (path / "file").write_bytes(content)
    try:
        Hsm.restore(path / "file", home, credentials)
    except HsmError:
        assert not home.exists()
        raise


def _parts(content: bytes) -> Iterator[bytes]:
    """Yield the header and each part with its length."""
    end = _BEGINNING.size + _BEGINNING.unpack(content[: _BEGINNING.size])[2]
    yield content[:end]
    while end < len(content):
        start, end = end, end + 4 + (struct.unpack(">I", content[end : end + 4])[0] & 0x7FFFFFFF)
        yield content[start:end]


def _many(site: Site) -> bytes:
    return Path(site.hsm.backups.create(site.admin).info.path).read_bytes()


def test_a_file_that_was_cut_anywhere_is_refused(backed: Site, file: Path, tmp_path: Path) -> None:
    content, chance = file.read_bytes(), random.Random(13)
    edges, at = {0, len(content) - 1}, 0
    for part in _parts(content):
        at += len(part)
        edges |= {at - 1, at, at + 4} - {len(content), len(content) + 4}
    for length in edges | {chance.randrange(len(content)) for _ in range(repeated(20, 300))}:
        with pytest.raises(BackupDamaged):
            _restore(tmp_path, content[:length], key_file(backed))
        path = backed.home / "backups" / "backup-cutcutcutcu.hsmbackup"
        path.write_bytes(content[:length])
        (info,) = [info for info in backed.hsm.backups.all(backed.admin) if info.name == path.stem]
        assert info.state == "damaged"
        path.unlink()


def test_a_file_with_any_bit_changed_is_refused(backed: Site, file: Path, tmp_path: Path) -> None:
    content, chance = file.read_bytes(), random.Random(14)
    header = len(next(_parts(content)))
    places = {chance.randrange(header) for _ in range(repeated(60, 400))}
    places |= {chance.randrange(header, len(content)) for _ in range(repeated(30, 300))}
    for place in places:
        edited = bytearray(content)
        edited[place] ^= 1 << chance.randrange(8)
        with pytest.raises(_REFUSED):
            _restore(tmp_path, bytes(edited), key_file(backed))


def test_parts_that_were_moved_left_out_repeated_or_taken_from_another_backup_are_refused(
    backed: Site, file: Path, tmp_path: Path
) -> None:
    header, *parts = _parts(file.read_bytes())
    other_header, *others = _parts(_many(backed))
    assert len(parts) >= 4
    assert len(parts) == len(others)
    forged = [
        [header, *others],
        [other_header, *parts],
        [header, parts[0], *others[1:]],
        [header, *parts[:-1]],
        [header, *parts[1:]],
        [header, parts[0], parts[2], parts[1], *parts[3:]],
        [header, *parts[:2], *parts[1:]],
        [header, *parts, parts[-1]],
        [header, *parts, b"\0"],
        [header],
    ]
    for pieces in forged:
        with pytest.raises(BackupDamaged):
            _restore(tmp_path, b"".join(pieces), key_file(backed))


def test_a_backup_under_another_name_is_no_whole_backup(backed: Site, file: Path) -> None:
    path = file.with_name("backup-bbbbbbbbbbb.hsmbackup")
    path.write_bytes(file.read_bytes())
    assert {info.name: info.state for info in backed.hsm.backups.all(backed.admin)}[path.stem] == "damaged"
    with pytest.raises(BackupDamaged, match="is that of"):
        backed.hsm.backups.verify(backed.admin, path.stem)
    backed.hsm.backups.delete(backed.admin, path.stem)


def test_a_backup_of_another_domain_is_refused_with_the_reason(backed: Site, file: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path / "other")
    with site.hsm as hsm:
        hsm.backups.create(site.admin)
        foreign = site.home / "backups" / file.name
        foreign.write_bytes(file.read_bytes())
        assert {info.name: info.state for info in hsm.backups.all(site.admin)}[file.stem] == "foreign"
        with pytest.raises(BackupForeign, match="security domain"):
            hsm.backups.verify(site.admin, file.stem)
        with pytest.raises(MasterKeyUnavailable):
            Hsm.restore(foreign, tmp_path / "none", key_file(site))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hsmbkup",
        b"hsmbkup\1\xff\xff\xff\xff",
        b"hsmbkup\1\0\0\0\2{}",
        b"hsmbkup\1\0\0\0\2[]",
        b"hsmbkup\2\0\0\0\2{}",
        b"hsmbkup\1\0\0\x3f\xff" + b"[" * 0x3FFF,
        b"hsmbkup\1\0\0\x3f\xff" + b'{"a":' * 3276 + b"123",
        b"hsmbkup\1\0\0\0\x10" + b'{"secret":12345}',
        b"hsmbkup\1\0\0\0\x0f" + b'{"secret":"zz"}',
        b"PK\3\4" + bytes(1000),
    ],
)
def test_bytes_that_are_no_backup_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(_REFUSED):
        _restore(tmp_path, content, Credentials(PASSPHRASE, bytes(32)))


@pytest.mark.parametrize("cost", [{"memory_kib": 2**32}, {"passes": 10**6}, {"lanes": 2**24}, {"memory_kib": -1}])
def test_a_header_cannot_ask_for_a_costly_passphrase(cost: dict[str, int], tmp_path: Path) -> None:
    content = _made_by_an_attacker([{"totals": {}}], **cost)
    start = time.monotonic()
    with pytest.raises(BackupDamaged):
        _restore(tmp_path, content, Credentials(PASSPHRASE))
    assert time.monotonic() - start < 60


def test_a_sealed_secret_cannot_ask_for_a_costly_passphrase(tmp_path: Path) -> None:
    for cost in ((2**32 - 1, 1, 1), (1024, 2**32 - 1, 1), (2**30, 2**30, 2**30)):
        secret = struct.pack(">BB16sIII", 1, 2, bytes(16), *cost) + bytes(92)
        header = {"name": "backup-aaaaaaaaaaa", "created": 0, "secret": secret.hex(), "domain": "0" * 16}
        with pytest.raises(HsmError, match="damaged"):
            _restore(tmp_path, Header.of(header).encoded, Credentials(PASSPHRASE))


def _made_by_an_attacker(records: list[object], **changed: object) -> bytes:
    """Return a backup with a right passphrase and content of somebody's choice."""
    key, name = os.urandom(32), "backup-aaaaaaaaaaa"
    fields = {"name": name, "created": 0, "reason": "manual", "version": "0", "serial": "0" * 16}
    header = Header.of({**fields, **wrapped(key, name, Domain(bytes(32)), b"", PASSPHRASE), **changed})
    path = Path(f"/proc/self/fd/{os.memfd_create('backup')}")
    with path.open("r+b") as file:
        file.write(header.encoded)
        writer = PartWriter(file, header, key)
        for number, record in enumerate(records, 1):
            writer.write(json.dumps(record), last=number == len(records))
        file.seek(0)
        return file.read()


_HSM = {
    "settings": {}, "domain_key": "00" * 32, "anchor": "",
    "quorum": {
        "values": {"user": 1, "quorum": 1, "cluster": 1}, "timeouts": {"generated": 600, "approved": 600},
    },
}  # fmt: skip
_USER = {
    "number": 1, "username": "admin", "role": "admin", "verifier": "$argon2id$", "failures": 0, "mfa_key": None,
    "quorum_key": None,
}  # fmt: skip
_KEY = {
    "handle": 1, "owner": "cu1", "created": 1, "public": None, "material": "00" * 32, "users": [],
    "attributes": {"LABEL": "", "OBJECT_CLASS": "SECRET_KEY", "KEY_TYPE": "AES", "ID": {"hex": ""}},
}  # fmt: skip
_TOTALS = {"users": 1, "keys": 1, "damaged_users": 0, "damaged_keys": 0, "damaged": []}


def test_the_attackers_file_is_well_made(tmp_path: Path) -> None:
    content = _made_by_an_attacker([{"hsm": _HSM}, {"users": [_USER]}, {"keys": [_KEY]}, {"totals": _TOTALS}])
    _restore(tmp_path, content, Credentials(PASSPHRASE))


@pytest.mark.parametrize(
    ("users", "keys"),
    [
        ([_USER | {"number": 2**63}], [_KEY]),
        ([_USER | {"number": True}], [_KEY]),
        ([_USER | {"role": "root"}], [_KEY]),
        ([_USER | {"username": "../../admin"}], [_KEY]),
        ([_USER | {"username": "A" * 100_000}], [_KEY]),
        ([_USER | {"verifier": None}], [_KEY]),
        ([_USER | {"mfa_key": "xyz"}], [_KEY]),
        ([_USER, _USER], [_KEY]),
        ([None], [_KEY]),
        (5, [_KEY]),
        ([_USER], [_KEY | {"handle": 0}]),
        ([_USER], [_KEY | {"handle": -5}]),
        ([_USER], [_KEY | {"handle": 2**70}]),
        ([_USER], [_KEY | {"attributes": []}]),
        ([_USER], [_KEY | {"attributes": {"LABEL": {}}}]),
        ([_USER], [_KEY | {"attributes": json.loads('{"a":' * 300 + "1" + "}" * 300)}]),
        ([_USER], [_KEY | {"material": "0"}]),
        ([_USER], [_KEY | {"users": [[]]}]),
        ([_USER], [_KEY, _KEY]),
        ([_USER], [_KEY, _KEY | {"handle": 2}]),
    ],
)
def test_content_of_somebodys_choice_is_refused_where_it_makes_no_hsm(
    users: object, keys: object, tmp_path: Path
) -> None:
    content = _made_by_an_attacker([{"hsm": _HSM}, {"users": users}, {"keys": keys}, {"totals": _TOTALS}])
    with pytest.raises(BackupDamaged):
        _restore(tmp_path, content, Credentials(PASSPHRASE))


@pytest.mark.parametrize(
    "hsm",
    [
        {},
        _HSM | {"settings": {"unknown": True}},
        _HSM | {"quorum": {"values": {}, "timeouts": {}}},
        _HSM | {"domain_key": ""},
        _HSM | {"domain_key": 5},
    ],
)
def test_an_hsm_of_somebodys_choice_is_refused_where_it_makes_none(hsm: object, tmp_path: Path) -> None:
    content = _made_by_an_attacker([{"hsm": hsm}, {"totals": _TOTALS | {"users": 0, "keys": 0}}])
    with pytest.raises(BackupDamaged):
        _restore(tmp_path, content, Credentials(PASSPHRASE))


def test_a_file_that_is_no_file_is_refused(backed: Site, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
            Hsm.restore(path, tmp_path / "none", Credentials(PASSPHRASE))
    folder = backed.home / "backups"
    os.mkfifo(folder / "backup-ppppppppppp.hsmbackup")
    (folder / "backup-ddddddddddd.hsmbackup").mkdir()
    (folder / "backup-sssssssssss.hsmbackup").symlink_to("/dev/zero")
    try:
        assert all(info.state == "ready" for info in backed.hsm.backups.all(backed.admin))
    finally:
        for path in folder.glob("backup-[pds]*[pds].hsmbackup"):
            path.rmdir() if path.is_dir() else path.unlink()
