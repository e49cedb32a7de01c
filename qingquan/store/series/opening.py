"""Which store the settings mean, for the recorder, which writes it, and for everybody else, who reads."""

from pathlib import Path

from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.store.ports import Retention, SeriesReader, SeriesStore

__all__ = ["open_series_reader", "open_series_store", "recorder_socket", "retention_of"]

DUCKDB_FILE = "series.duckdb"
SOCKET_FILE = "recorder.sock"


def recorder_socket(config: Config) -> Path:
    """Where the recorder answers for an embedded store."""
    return config.data_path / "run" / SOCKET_FILE


def retention_of(config: Config) -> Retention:
    """How long the settings keep readings and rollups."""
    return Retention(
        config.retention_raw_days, config.retention_5min_days, config.retention_1h_days, config.retention_1d_days
    )


def open_series_store(config: Config) -> SeriesStore:
    """The store, to write to. One process at a time.

    Raises
    ------
    ConfigurationError
        If the store is InfluxDB and its address is missing, or the times of keeping contradict each other.
    StoreUnavailable
        If an embedded store cannot be opened.
    """
    if faults := retention_of(config).faults():
        raise ConfigurationError(faults)
    if config.series_store == "influx":
        return _influx(config)
    from qingquan.store.series.duckdb import DuckdbSeriesStore

    return DuckdbSeriesStore(config.data_path / DUCKDB_FILE)


def open_series_reader(config: Config) -> SeriesReader:
    """The store, to read from; makes no connection yet. Raises `ConfigurationError` as above."""
    if config.series_store == "influx":
        return _influx(config)
    from qingquan.store.series.remote import RemoteSeriesStore

    return RemoteSeriesStore(recorder_socket(config))


def _influx(config: Config) -> SeriesStore:
    if not config.influx_url:
        raise ConfigurationError(["influx_url is empty: give the address of InfluxDB, or set series_store = 'duckdb'"])
    # Imported here: the client takes 0.7 s to import, and most installations never need it.
    from qingquan.store.series.influx import InfluxSeriesStore

    return InfluxSeriesStore(
        config.influx_url,
        config.influx_token,
        config.influx_org,
        config.influx_bucket,
        config.influx_api,
        retention=retention_of(config),
    )
