"""Trust anchors of clients' certificates: which are accepted, who registers them, and when clients need one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hsmcore import Hsm, Settings
from hsmcore.backup import making
from hsmcore.backup.opening import Credentials
from hsmcore.errors import (
    ApprovalRequired,
    CertificateInvalid,
    MalformedRequest,
    MutualTlsRequired,
    PermissionDenied,
    TrustAnchorExists,
    TrustAnchorLimit,
    TrustAnchorNeeded,
    TrustAnchorNotFound,
)
from hsmcore.sessions.session import Session
from tests.certificates import Authority, Key, made
from tests.hsmcore.conftest import ADMIN_PASSWORD, Site, make_site


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    site = make_site(tmp_path / "hsm", Settings())
    with site.hsm:
        yield site


def _enforce(site: Site) -> None:
    site.hsm.mtls.set_enforcement(site.admin, "cluster", mutual=True)


def test_anchors_and_level_stay_after_the_end(fresh: Site) -> None:
    hsm, one, two = fresh.hsm, made("one"), made("two")
    assert hsm.mtls.register(fresh.admin, b"a comment\n" + one.pem) == ("0x01", one.pem.decode())
    assert hsm.mtls.register(fresh.admin, two.pem)[0] == "0x02"
    assert hsm.mtls.enforcement(fresh.user) == "none"
    _enforce(fresh)
    hsm.close()
    with Hsm.open(fresh.home) as again:
        assert again.mtls.anchors() == {"0x01": one.pem.decode(), "0x02": two.pem.decode()}
        admin = again.users.login("admin", ADMIN_PASSWORD, "admin")
        assert again.mtls.enforcement(admin) == "cluster"
        assert again.mtls.deregister(admin, ["1"]) == ["0x01"]
        # The free reference is used again.
        assert again.mtls.register(admin, one.pem)[0] == "0x01"
        assert list(again.mtls.anchors()) == ["0x01", "0x02"]
        assert again.audit.verify(admin).findings == []
        entries = [(entry.opcode, entry.user_name, entry.detail) for entry in again.audit.entries(admin, 0, 0)]
    own = [entry for entry in entries if entry[0].startswith(("HSM_REGISTER_T", "HSM_DEREG", "HSM_SET_E"))]
    assert own == [
        ("HSM_REGISTER_TRUST_ANCHOR", "admin", "0x01 CN=one"), ("HSM_REGISTER_TRUST_ANCHOR", "admin", "0x02 CN=two"),
        ("HSM_SET_ENFORCEMENT", "admin", "cluster"), ("HSM_DEREGISTER_TRUST_ANCHOR", "admin", "0x01"),
        ("HSM_REGISTER_TRUST_ANCHOR", "admin", "0x01 CN=one"),
    ]  # fmt: skip


def test_limits_and_references(fresh: Site) -> None:
    hsm, one = fresh.hsm, made("one")
    hsm.mtls.register(fresh.admin, one.pem)
    with pytest.raises(TrustAnchorExists, match=r"^Invalid Certificate: Trust anchor already exists\.$"):
        hsm.mtls.register(fresh.admin, one.pem)
    hsm.mtls.register(fresh.admin, made("two").pem)
    with pytest.raises(TrustAnchorLimit, match="2 trust anchors"):
        hsm.mtls.register(fresh.admin, made("three").pem)
    for reference in ("0x03", "3", "", "one", "0x", "-1"):
        with pytest.raises(TrustAnchorNotFound):
            hsm.mtls.deregister(fresh.admin, ["0x01", reference])
    with pytest.raises(MalformedRequest):
        hsm.mtls.deregister(fresh.admin, [])
    assert list(hsm.mtls.anchors()) == ["0x01", "0x02"]
    _enforce(fresh)
    with pytest.raises(TrustAnchorNeeded, match="set the level none first"):
        hsm.mtls.deregister(fresh.admin, ["0x01", "0x02"])
    assert hsm.mtls.deregister(fresh.admin, ["0x1", "1"]) == ["0x01"]
    with pytest.raises(TrustAnchorNeeded):
        hsm.mtls.deregister(fresh.admin, ["0x02"])
    hsm.mtls.set_enforcement(fresh.admin, "none", mutual=False)
    assert hsm.mtls.deregister(fresh.admin, ["0X02"]) == ["0x02"]
    assert hsm.mtls.anchors() == {}


@pytest.mark.parametrize("key", [
    ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1()),
    rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 3072),
], ids=["P-384", "P-521", "RSA-2048", "RSA-3072"])  # fmt: skip
def test_keys_of_anchors(site: Site, key: Key) -> None:
    reference, _ = site.hsm.mtls.register(site.admin, made("anchor", key).pem)
    site.hsm.mtls.deregister(site.admin, [reference])


def test_what_is_no_anchor(site: Site) -> None:
    root = made("root")
    long = b"".join(made(f"{number} " + "x" * 60).pem for number in range(8))
    for pem, why in (
        (b"", "no PEM file"),
        (root.der, "no PEM file"),
        (made("leaf", ca=False).pem, "Basic Constraints lack CA:TRUE"),
        (made("old", days=-1).pem, "not now"),
        (made("k", ec.generate_private_key(ec.SECP256K1())).pem, "neither of P-256"),
        (made("short", rsa.generate_private_key(65537, 2056)).pem, "neither of P-256"),
        (made("ed", ed25519.Ed25519PrivateKey.generate()).pem, "neither of P-256"),
        (made("other").pem + root.pem, "is not signed by"),
        (root.pem + b"x" * 6980, "at most 6980 fit"),
        (long, "at most 6980 fit|is not signed by"),
    ):
        with pytest.raises(CertificateInvalid, match=f"^Invalid Certificate: .*({why})"):
            site.hsm.mtls.register(site.admin, pem)
    assert site.hsm.mtls.anchors() == {}


def test_an_anchor_may_be_an_authority_below_another(site: Site) -> None:
    root = made("root")
    below = made("below", issuer=root)
    reference, chain = site.hsm.mtls.register(site.admin, below.pem + root.pem)
    assert chain == (below.pem + root.pem).decode()
    assert site.hsm.mtls.admits(made("client", issuer=below, ca=False).der)
    assert not site.hsm.mtls.admits(made("client", issuer=root, ca=False).der)
    assert not site.hsm.mtls.admits(made("client", ca=False).der)
    with pytest.raises(TrustAnchorExists):
        site.hsm.mtls.register(site.admin, below.pem)
    site.hsm.mtls.deregister(site.admin, [reference])


def test_who_may_enforce_and_when(fresh: Site) -> None:
    hsm = fresh.hsm
    hsm.users.create(fresh.admin, "ad2", "admin", ADMIN_PASSWORD)
    second = hsm.users.login("ad2", ADMIN_PASSWORD, "admin")
    for session in (second, fresh.user):
        with pytest.raises(PermissionDenied):
            hsm.mtls.set_enforcement(session, "none", mutual=True)
    with pytest.raises(MalformedRequest):
        hsm.mtls.set_enforcement(fresh.admin, "Cluster", mutual=True)
    with pytest.raises(TrustAnchorNeeded, match="register one"):
        _enforce(fresh)
    hsm.mtls.register(second, made("one").pem)
    with pytest.raises(MutualTlsRequired):
        hsm.mtls.set_enforcement(fresh.admin, "cluster", mutual=False)
    assert hsm.mtls.admits(b"")
    _enforce(fresh)
    assert not hsm.mtls.admits(b"")


def test_changes_take_approvals_of_the_service_cluster(fresh: Site) -> None:
    hsm = fresh.hsm
    hsm.mtls.register(fresh.admin, made("one").pem)
    hsm.quorum.set_value(fresh.admin, "cluster", 2)

    def refused(call: object, *fields: object, **named: object) -> None:
        assert callable(call)
        with pytest.raises(ApprovalRequired):
            call(fresh.admin, *fields, **named)

    refused(hsm.mtls.register, made("two").pem)
    refused(hsm.mtls.deregister, ["0x01"])
    refused(hsm.mtls.set_enforcement, "none", mutual=True)
    hsm.quorum.set_value(fresh.admin, "cluster", 1)
    assert hsm.mtls.deregister(fresh.admin, ["0x01"]) == ["0x01"]


@pytest.mark.parametrize("apart", [False, True], ids=["in this process", "in another"])
def test_a_backup_has_anchors_level_and_the_hsms_certificate(
    fresh: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    if apart:
        monkeypatch.setattr(making, "_LARGE", 0)
        fresh.hsm.start_backups(worker=(sys.executable, "-m", "bridge.process.backing_up"))
    one, authority = made("one"), Authority()
    fresh.hsm.mtls.register(fresh.admin, one.pem)
    _enforce(fresh)
    signed = authority.sign(fresh.hsm.tls.request(["hsm1.example.com"]))
    fresh.hsm.tls.initialize(signed, authority.certificate)
    file = Path(fresh.hsm.backups.create(fresh.admin, b"backup-pass-1").info.path)
    fresh.hsm.close()
    Hsm.restore(file, tmp_path / "other", Credentials(passphrase=b"backup-pass-1"))
    with Hsm.open(tmp_path / "other") as restored:
        assert restored.mtls.anchors() == {"0x01": one.pem.decode()}
        assert restored.mtls.enforced
        identity = restored.tls.identity(b"password")
        assert identity.chain == signed
        key = load_pem_private_key(identity.key, b"password")
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.public_key() == x509.load_pem_x509_certificate(signed).public_key()
        assert (tmp_path / "other" / "customerCA.crt").read_bytes() == authority.certificate
        admin: Session = restored.users.login("admin", ADMIN_PASSWORD, "admin")
        restored.mtls.set_enforcement(admin, "none", mutual=False)
