"""A copy of an embedded store, taken while it is written to."""

from pathlib import Path

import duckdb

from qingquan.errors import StoreUnavailable

__all__ = ["copy_database"]


def copy_database(cursor: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Copy everything the cursor's transaction sees into the new file ``path``; appends on other cursors go on meanwhile.

    Raises
    ------
    StoreUnavailable
        If the file is there already or cannot be written.
    """
    if path.exists():
        raise StoreUnavailable(f"{path}: is there already")
    quoted = str(path).replace("'", "''")
    try:
        row = cursor.execute("SELECT current_database()").fetchone()
        name = str(row[0] if row else "").replace('"', '""')
        cursor.execute(f"ATTACH '{quoted}' AS backup_copy")
        try:
            cursor.execute(f'COPY FROM DATABASE "{name}" TO backup_copy')
        finally:
            cursor.execute("DETACH backup_copy")
    except duckdb.Error as error:
        path.unlink(missing_ok=True)
        raise StoreUnavailable(f"{path}: the series store could not be copied: {error}") from error
