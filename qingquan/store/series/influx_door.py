"""How InfluxDB is spoken to: bounded synchronous writes with every refusal accounted for, and InfluxQL queries.

Writes go through the door of 2.x (influxdb-client, synchronous: its batching mode loses data silently) or of 1.x
(``/write``). Reads are InfluxQL on ``/query``, the one language of all three generations.
"""

import base64
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol

import httpx2
import msgspec
import structlog
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from urllib3.exceptions import HTTPError

from qingquan.errors import StoreUnavailable
from qingquan.store.series.influx_buckets import V1Buckets, V2Buckets

__all__ = ["InfluxDoor", "LinesRefused", "Series", "StoreBusy", "V1Writer", "V2Writer"]

_log = structlog.get_logger(__name__)

MOST_LINES = 5000
TIMEOUT_S = 30.0

Series = dict[str, Any]
"""One series of a query's answer: ``tags``, ``columns`` and ``values`` as InfluxDB names them."""


class StoreBusy(StoreUnavailable):
    """The store asks to wait ``retry_after_s`` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LinesRefused(StoreUnavailable):
    """The store will not take some lines as they are; all others are stored. ``refused`` pairs line and reason.

    The usual cause is a field that another program made an integer or a string. Nothing is acknowledged until the
    schema is put right, and nothing is lost: the log still has it.
    """

    def __init__(self, refused: list[tuple[str, str]]) -> None:
        shown = "; ".join(f"{line}: {reason}" for line, reason in refused[:3])
        super().__init__(f"InfluxDB refused {len(refused)} line(s): {shown}")
        self.refused = refused


class _Answered(Exception):
    """A write was answered with anything but success."""

    def __init__(self, status: int, text: str, retry_after: str | None) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text
        self.retry_after = retry_after


class _Writer(Protocol):
    def write(self, body: bytes, bucket: str) -> None: ...

    def close(self) -> None: ...


class V2Writer:
    """``/api/v2/write`` (InfluxDB 2 and 3, 1.x from 1.8)."""

    def __init__(self, url: str, token: str, org: str) -> None:
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=int(TIMEOUT_S * 1000), enable_gzip=True)
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, body: bytes, bucket: str) -> None:
        """Write lines, or raise what the server answered."""
        try:
            self._api.write(bucket=bucket, record=body, write_precision=WritePrecision.MS)  # type: ignore[arg-type]
        except InfluxDBError as error:
            headers = getattr(error, "headers", None) or {}
            text = str(getattr(error, "body", None) or error)
            raise _Answered(int(getattr(error, "status", 0) or 0), text, headers.get("Retry-After")) from error

    def close(self) -> None:
        """Give connections back."""
        self._api.close()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]


@cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates count. Reading them takes some 40 ms of processor time, so writer and reader share them."""
    return httpx2.create_ssl_context()


class V1Writer:
    """``/write`` of 1.x. ``token`` is ``user:password``, or empty where the server asks for none."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx2.Client(base_url=url, timeout=TIMEOUT_S, headers=_v1_headers(token), verify=_authorities())

    def write(self, body: bytes, bucket: str) -> None:
        """Write lines, or raise what the server answered."""
        answer = self._client.post("/write", params={"db": bucket, "precision": "ms"}, content=body)
        if answer.status_code not in (200, 204):
            raise _Answered(answer.status_code, answer.text, answer.headers.get("Retry-After"))

    def close(self) -> None:
        """Give connections back."""
        self._client.close()


class InfluxDoor:
    """Writes and queries of the database (bucket) ``bucket``, or of another one that is named.

    Raises
    ------
    StoreUnavailable
        From every method, when the server does not answer or refuses; `StoreBusy` and `LinesRefused` say more.
    """

    def __init__(self, url: str, token: str, org: str, bucket: str, api: str) -> None:
        self._bucket = bucket
        self._writer: _Writer = V1Writer(url, token) if api == "v1" else V2Writer(url, token, org)
        headers = _v1_headers(token) if api == "v1" else {"Authorization": f"Token {token}"}
        self._reader = httpx2.Client(base_url=url, timeout=TIMEOUT_S, headers=headers, verify=_authorities())
        self._buckets = V1Buckets(self.query) if api == "v1" else V2Buckets(self._reader, org)
        self._is_stopped = False

    def write(self, lines: Sequence[str], bucket: str = "") -> None:
        """Write all lines, in order; returns only when the server has them.

        Writing a line again is harmless: same series, same time, same fields. Lines older than the server's retention
        count as written, since the server would delete them at once.
        """
        refused: list[tuple[str, str]] = []
        for start in range(0, len(lines), MOST_LINES):
            self._deliver(lines[start : start + MOST_LINES], bucket or self._bucket, refused)
        if refused:
            raise LinesRefused(refused)

    def query(self, statements: Sequence[str], bucket: str = "") -> list[list[Series]]:
        """Answers of several InfluxQL statements, in order; times in ms."""
        answers: list[list[Series]] = []
        for start in range(0, len(statements), 100):
            answers += self._asked(statements[start : start + 100], bucket or self._bucket)
        return answers

    def make_bucket(self, bucket: str) -> None:
        """Make the bucket if it is missing."""
        self._require_open()
        with _unavailable():
            self._buckets.make(bucket)

    def ensure_bucket(self, bucket: str, days: int) -> None:
        """Make the bucket if it is missing, and have the server keep what is in it for so many days; 0 = for ever."""
        self._require_open()
        with _unavailable():
            self._buckets.ensure(bucket, days)

    def stop(self) -> None:
        """Make no further request: what is under way, perhaps in another thread, fails at its next one."""
        self._is_stopped = True

    def _require_open(self) -> None:
        if self._is_stopped:
            raise StoreUnavailable("this way to InfluxDB has been closed")

    def close(self) -> None:
        """Give connections back."""
        self._writer.close()
        self._reader.close()

    def _deliver(self, lines: Sequence[str], bucket: str, refused: list[tuple[str, str]]) -> None:
        self._require_open()
        try:
            with _unavailable():
                self._writer.write("\n".join(lines).encode(), bucket)
        except _Answered as answer:
            self._divide(lines, bucket, answer, refused)

    def _divide(self, lines: Sequence[str], bucket: str, answer: _Answered, refused: list[tuple[str, str]]) -> None:
        """React to a refusal. 400 and 422 keep the good lines and drop the bad ones, so the halves are written again
        until the bad ones stand alone; 413 needs halves anyway."""
        if answer.status in (400, 413, 422):
            if "retention policy" in answer.text:
                _log.warning(
                    "lines_older_than_retention", bucket=bucket, lines=len(lines), answer=answer.text.strip()[:200]
                )
                return
            if len(lines) == 1:
                refused.append((lines[0], answer.text.strip()))
                return
            middle = len(lines) // 2
            self._deliver(lines[:middle], bucket, refused)
            self._deliver(lines[middle:], bucket, refused)
        elif answer.status in (429, 503):
            raise StoreBusy(f"InfluxDB is busy ({answer})", _seconds(answer.retry_after)) from answer
        elif answer.status in (401, 403, 404):
            hint = f"check address, token and bucket {bucket!r}"
            raise StoreUnavailable(f"InfluxDB refuses to write ({answer}): {hint}") from answer
        else:
            raise StoreUnavailable(f"InfluxDB cannot write ({answer})") from answer

    def _asked(self, statements: Sequence[str], bucket: str) -> list[list[Series]]:
        self._require_open()
        with _unavailable():
            answer = self._reader.post("/query", data={"db": bucket, "epoch": "ms", "q": "; ".join(statements)})
        if answer.status_code != 200:
            raise StoreUnavailable(f"InfluxDB cannot read ({answer.status_code}: {answer.text.strip()[:500]})")
        results = _decoded(answer.content).get("results", [])
        errors = [result["error"] for result in results if "error" in result]
        if errors or len(results) != len(statements):
            raise StoreUnavailable(f"InfluxDB cannot read: {errors or 'answer cut short'}")
        return [result.get("series", []) for result in results]


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (httpx2.HTTPError, HTTPError, OSError) as error:
        raise StoreUnavailable(f"InfluxDB does not answer: {error}") from error


_decode_json: Callable[[bytes], Any] = msgspec.json.Decoder().decode


def _decoded(content: bytes) -> dict[str, Any]:
    try:
        decoded = _decode_json(content)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"InfluxDB answered what is not JSON: {error}") from error
    return decoded if isinstance(decoded, dict) else {}


def _seconds(retry_after: str | None) -> float:
    """``Retry-After`` in seconds; the form with a date is rare here and read as 5 s."""
    try:
        return max(0.0, float(retry_after or 5))
    except ValueError:
        return 5.0


def _v1_headers(token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(token.encode()).decode()} if token else {}
