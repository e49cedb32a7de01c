"""Passwords and ports of the embedded server, kept in ``<data_dir>/secrets.json`` (mode 0600) across restarts."""

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from qingquan.config import Config
from qingquan.errors import ConfigurationError

__all__ = [
    "LogCredentials",
    "connectable",
    "free_port",
    "load_credentials",
    "locked_secrets",
    "resolve_log_config",
    "save_credentials",
    "save_secrets",
]

_FILE = "secrets.json"


@dataclass(frozen=True, slots=True)
class LogCredentials:
    """What the embedded server made up for itself. Ports are 0 until one was chosen."""

    server_name: str
    log_user: str
    log_password: str
    mqtt_user: str
    mqtt_password: str
    sys_password: str
    log_port: int = 0
    mqtt_port: int = 0


def resolve_log_config(config: Config) -> Config:
    """``config`` with address, user and passwords of the embedded server filled in.

    A configuration that names an outside server (``log_url``) comes back unchanged. The secrets file is made when it
    is missing, so that processes started together agree whatever their order.
    """
    if config.log_url:
        return config
    kept = load_credentials(config)
    return replace(
        config,
        log_url=f"nats://127.0.0.1:{kept.log_port}",
        log_port=kept.log_port,
        log_user=config.log_user or kept.log_user,
        log_password=config.log_password or kept.log_password,
        mqtt_port=kept.mqtt_port,
        mqtt_user=config.mqtt_user or kept.mqtt_user,
        mqtt_password=config.mqtt_password or kept.mqtt_password,
    )


def load_credentials(config: Config, *, renew_ports: tuple[str, ...] = ()) -> LogCredentials:
    """The kept credentials, made at the first call; a configured port wins over the kept one.

    ``renew_ports`` names ports (``log_port``, ``mqtt_port``) to be chosen anew where the configuration says 0.
    """
    path = config.data_path / _FILE
    with locked_secrets(config.data_path):
        kept = _read(path) if path.exists() else _made_up()
        log_port = 0 if "log_port" in renew_ports else kept.log_port
        mqtt_port = 0 if "mqtt_port" in renew_ports else kept.mqtt_port
        chosen = replace(
            kept,
            log_port=config.log_port or log_port or free_port(),
            mqtt_port=config.mqtt_port or mqtt_port or free_port(),
        )
        if chosen != kept or not path.exists():
            save_credentials(path, chosen)
    return chosen


def save_credentials(path: Path, credentials: LogCredentials) -> None:
    """Write the file whole or not at all, readable by its owner only."""
    save_secrets(path, asdict(credentials))


def save_secrets(path: Path, table: Mapping[str, Any]) -> None:
    """As `save_credentials`, for any table that JSON can hold."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(table, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on right now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def connectable(host: str) -> str:
    """Address at which a client on this machine reaches a listener bound to ``host``."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _made_up() -> LogCredentials:
    token = secrets.token_urlsafe
    return LogCredentials(
        server_name=f"qingquan-{secrets.token_hex(4)}",
        log_user="services",
        log_password=token(24),
        mqtt_user="devices",
        mqtt_password=token(24),
        sys_password=token(24),
    )


def _read(path: Path) -> LogCredentials:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return LogCredentials(**{row.name: row.type(table[row.name]) for row in fields(LogCredentials)})  # type: ignore[operator]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            [f"{path}: cannot be used ({error!r}): restore it, or delete it and restart all services to make a new one"]
        ) from error


@contextmanager
def locked_secrets(folder: Path) -> Iterator[None]:
    """One process at a time reads or makes the files of secrets of a data folder."""
    try:
        (folder / "run").mkdir(parents=True, exist_ok=True)
        lock = (folder / "run" / "secrets.lock").open("w")
    except OSError as error:
        raise ConfigurationError([f"data_dir = {str(folder)!r}: cannot be written: {error.strerror}"]) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
