"""Columns of ours that queries see as a table, for as long as they run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import duckdb
import numpy.typing as npt

__all__ = ["given"]


@contextmanager
def given(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, npt.NDArray[Any]]) -> Iterator[None]:
    """Queries find ``columns`` under ``name``."""
    connection.register(name, columns)
    try:
        yield
    except duckdb.Error:
        # A transaction that failed takes nothing any more, not even this; the error is the one to tell.
        with suppress(duckdb.Error):
            connection.unregister(name)
        raise
    connection.unregister(name)
