"""``configure-jce`` and ``configure-cli``: edit a configuration file, with the options of CloudHSM's programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from hsmcore.files import read_whole, write_whole

_PREFIX = Path("/opt/cloudhsm")
_PORT = 2223
_LARGEST = 1024 * 1024
_NO_CLOUD = "this HSM has no cloud API to ask; give the addresses of the HSMs with -a"
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
    click.option("--default-retry-mode", type=click.Choice(("off", "standard")), help="Repeat requests or not."),
    click.option("--cluster-id", hidden=True),
    *_CLOUD,
    _CONFIG,
    click.version_option(None, "-V", "--version", package_name="hsmbridge"),
)


def _command(component: str) -> click.Group:
    default = _PREFIX / "etc" / f"cloudhsm-{component}.cfg"

    def run(context: click.Context, file: Path | None, **options: Any) -> None:
        context.obj = file or default
        if context.invoked_subcommand is None:
            configure(context.obj, **options)

    run.__doc__ = f"Edit the configuration file of the {component.upper()} client, {default}."
    group = click.group(
        f"configure-{component}", invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )(_with(_OPTIONS, click.pass_context(run)))  # fmt: skip

    def add(place: Path, file: Path | None, cluster_id: str, **options: Any) -> None:
        """Add a cluster to the file, which cloudhsm-cli chooses by its id."""
        add_cluster(file or place, cluster_id, **options)

    def remove(place: Path, file: Path | None, cluster_id: str) -> None:
        """Remove a cluster from the file."""
        remove_cluster(file or place, cluster_id)

    added = (_ID, _ADDRESSES, *_CERTIFICATES, *_CLOUD, _CONFIG)
    group.command("add-cluster")(_with(added, click.pass_obj(add)))
    group.command("remove-cluster")(_with((_ID, _CONFIG), click.pass_obj(remove)))
    return group


def _with(options: Sequence[_Option], run: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(options):
        run = option(run)
    return run


def add_cluster(file: Path, cluster_id: str, *, region: str | None, endpoint: str | None, **options: Any) -> None:
    """Add a cluster to a configuration file, which is made if it is missing.

    Args:
        file: The configuration file.
        cluster_id: The id of the cluster.
        region: Refused, as ``endpoint``: there is no cloud to ask.
        endpoint: Refused.
        options: The options of the command, by parameter name.

    Raises:
        UsageError: An address is missing, one of a pair is missing, or the file has the cluster.
        ClickException: The file is no configuration, or cannot be written.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if region or endpoint or "addresses" not in given:
        raise click.UsageError(_NO_CLOUD)
    _require_pairs(given)

    def add(content: dict[str, Any]) -> None:
        clusters = content["clusters"]
        if _index(clusters, cluster_id) is not None:
            raise click.UsageError(f"{file} has the cluster {cluster_id!r} already; remove-cluster removes it")
        cluster: dict[str, Any] = {"servers": []}
        _change(cluster, content.setdefault("logging", {}), given)
        # The file of an installation begins with a cluster without servers.
        clusters[:] = [one for one in clusters if one["cluster"]["servers"]]
        clusters.append({"type": "hsm2m", "cluster_id": cluster_id, "cluster": cluster})

    _edit(file, add)


def remove_cluster(file: Path, cluster_id: str) -> None:
    """Remove a cluster from a configuration file.

    Raises:
        UsageError: The file does not have the cluster.
        ClickException: The file is no configuration, or cannot be written.
    """

    def remove(content: dict[str, Any]) -> None:
        clusters = content["clusters"]
        index = _index(clusters, cluster_id)
        if index is None:
            raise click.UsageError(f"{file} has no cluster {cluster_id!r}")
        del clusters[index]
        if not clusters:
            clusters += empty()["clusters"]

    _edit(file, remove)


def _index(clusters: list[dict[str, Any]], cluster_id: str) -> int | None:
    ids = [str(cluster.get("cluster_id", "")).lower() for cluster in clusters]
    return ids.index(cluster_id.lower()) if cluster_id.lower() in ids else None


def _require_pairs(given: Mapping[str, Any]) -> None:
    """Check that a certificate has its key.

    Raises:
        UsageError: One of the two is missing.
    """
    for one, other in (
        ("client_cert_path", "client_key_path"),
        ("client_cert_hsm_tls_file", "client_key_hsm_tls_file"),
    ):
        if (one in given) != (other in given):
            raise click.UsageError("a client certificate and its private key are given together")


def configure(file: Path, **options: Any) -> None:
    """Change a configuration file, which is made if it is missing. Options that are ``None`` keep their values.

    Args:
        file: The configuration file.
        options: The options of the command, by parameter name.

    Raises:
        UsageError: No option is given, one of a pair is missing, or an option needs the cloud.
        ClickException: The file is no configuration, or cannot be written.
    """
    if any(options.pop(name) for name in ("cluster_id", "region", "endpoint")):
        raise click.UsageError(_NO_CLOUD)
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if not given:
        raise click.UsageError("give at least one option, for example -a 127.0.0.2")
    _require_pairs(given)
    _edit(file, lambda content: _change(content["clusters"][0]["cluster"], content.setdefault("logging", {}), given))


def _edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the content of a configuration file, which is made if it is missing.

    Raises:
        ClickException: The file is no configuration, or cannot be written.
    """
    try:
        content = json.loads(read_whole(file, _LARGEST)) if file.exists() else empty()
        change(content)
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
        elif name == "clear_key_extraction_in_software":
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


jce, cli = _command("jce"), _command("cli")
