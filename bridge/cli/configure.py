"""``configure-jce`` and its like: edit a configuration file, with the options of CloudHSM's programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hsmcore.files import read_whole, write_whole

_PREFIX = Path("/opt/cloudhsm")
_PORT = 2223
_LARGEST = 1024 * 1024
_NO_CLOUD = "this HSM has no cloud API to ask; give the addresses of the HSMs with -a"
_COMPONENTS = {"jce": "JCE provider", "cli": "command line", "pkcs11": "PKCS #11 library", "dyn": "OpenSSL engine"}
_HELP = {"help_option_names": ["-h", "--help"]}
_PAIRS = (("client_cert_path", "client_key_path"), ("client_cert_hsm_tls_file", "client_key_hsm_tls_file"))
_ENABLED = ("clear_key_extraction_in_software", "certificate_storage", "ecdh_without_kdf")
_LEVELS, _ROTATIONS = ("error", "warn", "info", "debug", "trace"), ("never", "hourly", "daily", "weekly")


def empty() -> dict[str, Any]:
    """Return a configuration without servers."""
    return {
        "clusters": [{"type": "hsm2m", "cluster": {"servers": [], "options": {}}}],
        "logging": {"log_type": "term", "log_level": "error", "log_interval": "daily"},
    }


def _switch(name: str, help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(f"--enable-{name}/--disable-{name}", name.replace("-", "_"), default=None, help=help_text)


_FILE = click.Path(path_type=Path, dir_okay=False)
_Option = Callable[[Callable[..., None]], Callable[..., None]]
_ADDRESSES = click.option(
    "-a", "addresses", multiple=True, metavar="HOST", help="Address of an HSM; replaces those of the file."
)
_CERTIFICATES = (
    click.option("--hsm-ca-cert", type=_FILE, help="Certificate of the cluster's authority (PEM)."),
    click.option("--server-client-cert-file", "client_cert_path", type=_FILE, help="Client certificate (PEM)."),
    click.option("--server-client-key-file", "client_key_path", type=_FILE, help="Its private key (PKCS #8, PEM)."),
    click.option("--client-cert-hsm-tls-file", type=_FILE, help="Client certificate for mutual TLS (PEM)."),
    click.option("--client-key-hsm-tls-file", type=_FILE, help="Its private key (PKCS #8, PEM)."),
)
_CLOUD = (click.option("--region", hidden=True), click.option("--endpoint", hidden=True))
_CONFIG = click.option("--config", "file", type=_FILE, help="The configuration file.")
_ID = click.option("--cluster-id", required=True, help="Id of the cluster.")
_OPTIONS = (
    _ADDRESSES,
    *_CERTIFICATES,
    click.option("--log-level", type=click.Choice(_LEVELS), help="Lowest level that is logged."),
    click.option("--log-rotation", type=click.Choice(_ROTATIONS), help="How often a new log file begins."),
    click.option("--log-file", type=_FILE, help="The log file; log type file."),
    click.option("--log-type", type=click.Choice(("term", "file")), help="Where the log goes."),
    _switch("key-availability-check", "Use token keys only while two HSMs answer."),
    _switch("validate-key-at-init", "Check a key's attributes when an operation begins."),
    _switch("clear-key-extraction-in-software", "Let getEncoded ask for key material in the clear (JCE)."),
    _switch("certificate-storage", "Store certificates (PKCS #11)."),
    _switch("ecdh-without-kdf", "Offer ECDH without a key derivation function (JCE, PKCS #11)."),
    click.option("--default-retry-mode", type=click.Choice(("off", "standard")), help="Repeat requests or not."),
    click.option("--cluster-id", hidden=True),
    *_CLOUD,
    _CONFIG,
    click.version_option(None, "-V", "--version", package_name="hsmbridge"),
)


def _with(options: Sequence[_Option], run: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(options):
        run = option(run)
    return run


def _command(component: str) -> click.Command:
    default = _PREFIX / "etc" / f"cloudhsm-{component}.cfg"

    def run(file: Path | None, **options: Any) -> None:
        configure(file or default, **options)

    run.__doc__ = f"Edit the configuration file of the {_COMPONENTS[component]}, {default}."
    return click.command(f"configure-{component}", context_settings=_HELP)(_with(_OPTIONS, run))


def _with_clusters(component: str) -> click.Command:
    """Return a command with the subcommands that add and remove clusters."""
    default = _PREFIX / "etc" / f"cloudhsm-{component}.cfg"

    def run(context: click.Context, file: Path | None, **options: Any) -> None:
        context.obj = file or default
        if context.invoked_subcommand is None:
            configure(context.obj, **options)
        elif any(value not in (None, ()) for value in options.values()):
            raise click.UsageError("give the options behind the subcommand")

    run.__doc__ = f"Edit the configuration file of the {_COMPONENTS[component]}, {default}."
    made = click.group(f"configure-{component}", invoke_without_command=True, context_settings=_HELP)
    group = made(_with(_OPTIONS, click.pass_context(run)))

    def add(place: Path, file: Path | None, cluster_id: str, **options: Any) -> None:
        """Add a cluster: a slot of the PKCS #11 library, or one that cloudhsm-cli and Java choose by its id."""
        add_cluster(file or place, cluster_id, **options)

    def remove(place: Path, file: Path | None, cluster_id: str) -> None:
        """Remove a cluster from the file."""
        remove_cluster(file or place, cluster_id)

    added = (_ID, _ADDRESSES, *_CERTIFICATES, *_CLOUD, _CONFIG)
    group.command("add-cluster", context_settings=_HELP)(_with(added, click.pass_obj(add)))
    group.command("remove-cluster", context_settings=_HELP)(_with((_ID, _CONFIG), click.pass_obj(remove)))
    return group


def configure(file: Path, **options: Any) -> None:
    """Change a configuration file, which is made if it is missing. Options that are ``None`` keep their values.

    Args:
        file: The configuration file.
        options: The options of the command, by parameter name.

    Raises:
        UsageError: No option is given, one of a pair is missing, or an option needs the cloud.
        ClickException: The file is no configuration, or cannot be written.
    """
    given = _given(options)
    if not given:
        raise click.UsageError("give at least one option, for example -a 127.0.0.2")
    with _edited(file) as content:
        _change(content["clusters"][0]["cluster"], content.setdefault("logging", {}), given)


def add_cluster(file: Path, cluster_id: str, **options: Any) -> None:
    """Add a cluster to a configuration file, which is made if it is missing.

    Args:
        file: The configuration file.
        cluster_id: The id of the cluster.
        options: The options of the command, by parameter name.

    Raises:
        UsageError: No address is given, one of a pair is missing, an option needs the cloud, or the file has the
            cluster.
        ClickException: The file is no configuration, or cannot be written.
    """
    given = _given(options)
    if "addresses" not in given:
        raise click.UsageError(_NO_CLOUD)
    with _edited(file) as content:
        clusters = content["clusters"]
        if _index(clusters, cluster_id) is not None:
            raise click.UsageError(f"{file} has the cluster {cluster_id!r} already; remove-cluster removes it")
        cluster: dict[str, Any] = {"servers": []}
        _change(cluster, content.setdefault("logging", {}), given)
        # The file of an installation begins with a cluster without servers.
        clusters[:] = [one for one in clusters if one["cluster"]["servers"]]
        clusters.append({"type": "hsm2m", "cluster_id": cluster_id, "cluster": cluster})


def remove_cluster(file: Path, cluster_id: str) -> None:
    """Remove a cluster from a configuration file.

    Raises:
        UsageError: The file does not have the cluster.
        ClickException: The file is no configuration, or cannot be written.
    """
    with _edited(file) as content:
        clusters = content["clusters"]
        index = _index(clusters, cluster_id)
        if index is None:
            raise click.UsageError(f"{file} has no cluster {cluster_id!r}")
        del clusters[index]
        if not clusters:
            clusters += empty()["clusters"]


def _index(clusters: list[dict[str, Any]], cluster_id: str) -> int | None:
    ids = [str(cluster.get("cluster_id", "")).lower() for cluster in clusters]
    return ids.index(cluster_id.lower()) if cluster_id.lower() in ids else None


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are given.

    Raises:
        UsageError: One of a pair is missing, or an option needs the cloud.
    """
    if any(options.pop(name, None) for name in ("cluster_id", "region", "endpoint")):
        raise click.UsageError(_NO_CLOUD)
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if any((one in given) != (other in given) for one, other in _PAIRS):
        raise click.UsageError("a client certificate and its private key are given together")
    return given


@contextmanager
def _edited(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the content of a configuration file, and write it if the block succeeds.

    Raises:
        ClickException: The file is no configuration, or cannot be written.
    """
    try:
        content = json.loads(read_whole(file, _LARGEST)) if file.exists() else empty()
        yield content
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise click.ClickException(f"{file} is no configuration file; move it away, or repair it") from error
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file.absolute(), json.dumps(content, indent=2).encode() + b"\n", mode=0o644)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from error


def _change(cluster: dict[str, Any], logging: dict[str, Any], given: dict[str, Any]) -> None:
    options = cluster.setdefault("options", {})
    for name, value in given.items():
        if name == "addresses":
            hosts = [host for words in value for host in words.split()]
            cluster["servers"] = [_server(host) for host in hosts]
        elif name == "hsm_ca_cert":
            cluster["hsm_ca_file"] = str(value.absolute())
        elif name.startswith("client_"):
            cluster[name] = str(value.absolute())
        elif name in ("key_availability_check", "validate_key_at_init"):
            options[f"disable_{name}"] = not value
        elif name in _ENABLED:
            options[f"enable_{name}"] = value
        elif name == "default_retry_mode":
            options[name] = value
        elif name == "log_rotation":
            logging["log_interval"] = value
        else:
            logging[name] = str(value.absolute()) if isinstance(value, Path) else value
            if name == "log_file":
                logging["log_type"] = given.get("log_type", "file")


def _server(host: str) -> dict[str, Any]:
    name, _, port = host.partition(":") if host.count(":") == 1 else (host, "", "")
    return {"hostname": name, "port": int(port or _PORT), "enable": True}


jce, cli, pkcs11 = _with_clusters("jce"), _with_clusters("cli"), _with_clusters("pkcs11")
dyn = _command("dyn")
