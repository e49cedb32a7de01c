"""A new InfluxDB: the recorder makes its buckets, and tells the server how long to keep what is in them."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import Retention
from qingquan.store.series.influx import InfluxSeriesStore
from qingquan.store.series.influx_door import InfluxDoor
from qingquan.testing.influx import (
    INFLUX2_ORG,
    INFLUX2_TOKEN,
    SHIM_TOKEN,
    influx2_server,
    influx_server,
    influx_shim,
    influxd2_path,
    influxd_path,
)
from qingquan.testing.series import Row, rows_of

pytestmark = pytest.mark.debian

CHLORINE = SeriesKey("520425", "W0001", "outlet", "free_chlorine")
T0 = 1_777_600_800_000
DAY_S = 86_400

Opened = Callable[[Retention], InfluxSeriesStore]
Kept = Callable[[], list[int]]


@pytest.fixture(params=["1.x", "2.x by the shim", *(["2.x"] if influxd2_path() else [])])
def new_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Opened, Kept]]:
    """Opens a store on a server that knows nothing of it; and seconds each of the four buckets is kept for, 0 = for ever."""
    bucket, folder = f"test_{uuid4().hex}", tmp_path_factory.mktemp("influx")
    names = [bucket + level for level in ("", "_5min", "_1h", "_1d")]
    if request.param == "2.x":
        with influx2_server(folder) as url:
            yield (
                lambda days: InfluxSeriesStore(url, INFLUX2_TOKEN, INFLUX2_ORG, bucket, "v2", retention=days),
                lambda: [_kept_by_bucket(url, name) for name in names],
            )
        return
    if influxd_path() is None:
        pytest.skip("influxd (Debian package influxdb) is not installed")
    with influx_server(folder) as url, influx_shim(url) as shim:
        of_api = {"1.x": (url, "", "", bucket, "v1"), "2.x by the shim": (shim.url, SHIM_TOKEN, "org", bucket, "v2")}
        yield (
            lambda days: InfluxSeriesStore(*of_api[request.param], retention=days),
            lambda: [_kept_by_policy(url, name) for name in names],
        )


def _kept_by_bucket(url: str, bucket: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    with closing(connection):
        connection.request("GET", f"/api/v2/buckets?name={bucket}", headers={"Authorization": f"Token {INFLUX2_TOKEN}"})
        [held] = json.loads(connection.getresponse().read())["buckets"]
    return sum(rule["everySeconds"] for rule in held["retentionRules"])


def _kept_by_policy(url: str, bucket: str) -> int:
    with closing(InfluxDoor(url, "", "", bucket, "v1")) as door:
        [answer] = door.query([f'SHOW RETENTION POLICIES ON "{bucket}"'])
    [row] = answer[0]["values"]
    return int(row[1].split("h")[0].removesuffix("s")) * 3600


def test_buckets_are_made_and_kept_as_set(new_server: tuple[Opened, Kept]) -> None:
    opened, kept = new_server
    # Two days more than set: what is still computed from must be there.
    with closing(opened(Retention(raw=30, fine=60, hour=400, day=0))) as store:
        assert store.covered("all") == 0
        store.append(rows_of([Row(CHLORINE, T0, 0.4, 1)]), "all", 1)
        assert kept() == [32 * DAY_S, 62 * DAY_S, 402 * DAY_S, 0]
        store.maintain(T0, Retention(raw=40, fine=60, hour=0, day=0))
        assert kept() == [42 * DAY_S, 62 * DAY_S, 0, 0]


def test_what_is_kept_for_ever_has_a_bucket_too(new_server: tuple[Opened, Kept]) -> None:
    opened, kept = new_server
    with closing(opened(Retention(0, 0, 0, 0))) as store:
        assert store.covered("all") == 0
        store.append(rows_of([Row(CHLORINE, T0, 0.4, 1)]), "all", 1)
        assert store.counts().readings == 1
        assert kept() == [0, 0, 0, 0]
