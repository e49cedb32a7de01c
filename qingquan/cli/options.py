"""Options that several commands share, and the settings they lead to."""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import typer

from qingquan.config import Config, load_config
from qingquan.errors import ConfigurationError
from qingquan.standards.profiles import use_own_profiles

__all__ = ["AsJson", "ConfigFile", "DataFolder", "require_own_names", "running", "settings"]

ConfigFile = Annotated[Path | None, typer.Option("--config", help="settings file (TOML)", envvar="QINGQUAN_CONFIG")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]
DataFolder = Annotated[str | None, typer.Option("--data", help="data folder (default: the setting data_dir)")]

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _StandardError:
    """Whatever standard error is when a line is written: a test that captures it puts another one there."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def settings(path: Path | None = None, **overrides: Any) -> Config:
    """Settings from file, environment and command line; logging goes to standard error from then on."""
    # Only here: it takes half of the time in which `--help` is there.
    import structlog

    config = load_config(path, **overrides)
    use_own_profiles(config.profiles_dir)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.LogfmtRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[config.log_level]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
    )
    return config


def running(config: Config) -> Config:
    """Settings with address, ports and passwords of the embedded reading log of the data folder.

    Once it has chosen its ports, they win: other ports written here would only be taken at its next start.
    """
    from qingquan.store.reading_log import resolve_log_config

    if (config.data_path / "secrets.json").exists():
        config = replace(config, log_port=0, mqtt_port=0)
    return resolve_log_config(config)


def require_own_names() -> None:
    """Refuse to start where another distribution bears one of our package names: its code would run as ours."""
    from qingquan.packages import name_clashes

    if clashes := name_clashes():
        raise ConfigurationError(clashes)
