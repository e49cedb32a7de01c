"""One process of a kind: a second one on the same data is refused, one on another machine takes over and is told apart."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from qingquan.config import Config
from qingquan.errors import ConfigurationError, OwnershipLost

__all__ = ["ended_by_successor", "sole_process"]

_log = structlog.get_logger(__name__)


@contextmanager
def sole_process(config: Config, service: str) -> Iterator[None]:
    """Hold the service's lock in the data folder; the system frees it however the process ends.

    Raises
    ------
    ConfigurationError
        If another process holds it.
    """
    folder = config.data_path / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{service}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError([_remedy(config, service)]) from None
        yield


@contextmanager
def ended_by_successor(service: str) -> Iterator[None]:
    """Turn the loss of the log to another process into a refusal that names the remedy."""
    try:
        yield
    except OwnershipLost as lost:
        _log.error("ownership lost, nothing more is written", service=service, why=str(lost))
        raise ConfigurationError(
            [f"log_sharing = 'off': {lost}: run one {service}, or set log_sharing = 'on' for all of them"]
        ) from lost


def _remedy(config: Config, service: str) -> str:
    if service == "recorder":
        return (
            f"data_dir = {config.data_dir!r}: another recorder runs on this data: stop it, or set series_store = 'influx' and "
            "log_sharing = 'on' for all of them"
        )
    return (
        f"data_dir = {config.data_dir!r}: another {service} runs on this data: stop it, or set log_sharing = 'on' for all of "
        "them, so that they share the partitions"
    )
