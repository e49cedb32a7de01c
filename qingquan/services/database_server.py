"""A PostgreSQL server of our own in the foreground, for `up --cluster`: made, started, ended with us."""

import signal
import threading

import structlog

from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.store.sql.server import PostgresMissing, PostgresServer

__all__ = ["DATABASE_FOLDER", "database_server", "run"]

DATABASE_FOLDER = "postgres"
POLL_S = 0.5

_log = structlog.get_logger(__name__)


def database_server(config: Config) -> PostgresServer:
    """The server of the data folder; `PostgresMissing` when this machine cannot run one."""
    return PostgresServer(config.data_path / DATABASE_FOLDER)


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; exit status 0. A server that crashes ends this process too, to be started again.

    Raises
    ------
    ConfigurationError
        If there is no PostgreSQL here, or it does not start.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = database_server(config)
    except PostgresMissing as missing:
        raise ConfigurationError([f"database-server: {missing}: set database_url"]) from missing
    server.start()
    _log.info("database_server_ready", log=str(server.log_file))
    try:
        while not stop.wait(POLL_S):
            if not server.is_alive:
                _log.error("database_server_ended", log=str(server.log_file))
                return 1
    finally:
        server.stop()
    return 0
