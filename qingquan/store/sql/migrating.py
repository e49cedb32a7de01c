"""The migrations as Alembic runs them; apart from `qingquan.store.sql.engine`, because only an upgrade needs Alembic."""

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection

__all__ = ["alembic_config", "migrate"]


def migrate(connection: Connection) -> None:
    """Bring the schema up to date inside this connection's transaction."""
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def alembic_config() -> AlembicConfig:
    """Alembic's configuration, without a file: the migrations lie in the package."""
    config = AlembicConfig()
    config.set_main_option("script_location", "qingquan.store.sql:migrations")
    config.set_main_option("path_separator", "os")
    return config
