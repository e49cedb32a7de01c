"""The recorder's socket: readers are told when it is away, and find it again."""

from contextlib import closing
from pathlib import Path

import pytest

from qingquan.domain.readings import SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.store.series.remote import RemoteSeriesStore
from qingquan.testing.series import Row, SeriesServer, rows_of

KEY = SeriesKey("520425", "W0001", "outlet", "ph")


class BrokenStore(MemorySeriesStore):
    def covered(self, reader: str) -> int:
        raise StoreUnavailable("disk on fire")


def test_a_reader_is_told_that_the_recorder_is_away_and_finds_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "run" / "recorder.sock"
    store = MemorySeriesStore()
    with closing(RemoteSeriesStore(path)) as remote:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            remote.counts()
        for covered in (1, 2, 3):
            server = SeriesServer(store, path)
            store.append(rows_of([Row(KEY, covered, 7.0, 1)]), "all", covered)
            assert remote.covered("all") == covered
            assert len(remote.range(KEY, 0, 10).observed_at) == covered
            server.stop()
            with pytest.raises(StoreUnavailable):
                remote.covered("all")


def test_a_socket_left_by_a_killed_recorder_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "recorder.sock"
    path.write_text("")
    with closing(RemoteSeriesStore(path)) as remote:
        with pytest.raises(StoreUnavailable):
            remote.counts()
        server = SeriesServer(MemorySeriesStore(), path)
        assert remote.counts().readings == 0
        server.stop()


def test_a_data_folder_deep_below_others_makes_no_difference(tmp_path: Path) -> None:
    path = tmp_path / ("deep" * 30) / "run" / "recorder.sock"
    server = SeriesServer(MemorySeriesStore(), path)
    with closing(RemoteSeriesStore(path)) as remote:
        assert remote.covered("all") == 0
    server.stop()


def test_only_the_user_of_the_recorder_may_connect(tmp_path: Path) -> None:
    path = tmp_path / "recorder.sock"
    server = SeriesServer(MemorySeriesStore(), path)
    assert path.stat().st_mode & 0o777 == 0o600
    server.stop()
    assert not path.exists()


def test_an_unavailable_store_is_unavailable_from_afar(tmp_path: Path) -> None:
    server = SeriesServer(BrokenStore(), tmp_path / "recorder.sock")
    with closing(RemoteSeriesStore(tmp_path / "recorder.sock")) as remote:
        with pytest.raises(StoreUnavailable, match="disk on fire"):
            remote.covered("all")
        assert remote.counts().readings == 0
    server.stop()
