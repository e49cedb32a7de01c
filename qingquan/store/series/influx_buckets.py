"""Making of buckets (databases of 1.x), and how long the server keeps what is in them."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import structlog

from qingquan.errors import StoreUnavailable

__all__ = ["V1Buckets", "V2Buckets"]

_log = structlog.get_logger(__name__)

DAY_S = 86_400
Query = Callable[[Sequence[str]], list[list[dict[str, Any]]]]


class V1Buckets:
    """Databases and the duration of their default retention policy, by InfluxQL."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def make(self, bucket: str) -> None:
        """Make the database if it is missing; one that is there stays as it is."""
        self._query([f'CREATE DATABASE "{bucket}"'])

    def ensure(self, bucket: str, days: int) -> None:
        """Make the database if it is missing, and set how many days it keeps; 0 = for ever."""
        [_, answer] = self._query([f'CREATE DATABASE "{bucket}"', f'SHOW RETENTION POLICIES ON "{bucket}"'])
        policies = (dict(zip(answer[0]["columns"], row, strict=True)) for row in answer[0]["values"])
        policy = next(one for one in policies if one["default"])
        if _seconds(policy["duration"]) == days * DAY_S:
            return
        _log.warning("influx_retention_set", bucket=bucket, days=days, before=policy["duration"])
        duration = f"{days}d" if days else "INF"
        self._query(
            [
                f'ALTER RETENTION POLICY "{policy["name"]}" ON "{bucket}" DURATION {duration} SHARD DURATION {_shard(days)}'
            ]
        )


class V2Buckets:
    """Buckets and their retention rule, by the API of 2.x."""

    def __init__(self, client: httpx2.Client, org: str) -> None:
        self._client, self._org = client, org

    def make(self, bucket: str) -> None:
        """As `V1Buckets.make`; raises as `ensure`."""
        if self._held(bucket) is None:
            self._make(bucket, [])

    def ensure(self, bucket: str, days: int) -> None:
        """As `V1Buckets.ensure`.

        Raises
        ------
        StoreUnavailable
            Where the token may not do that; with the remedy.
        """
        # 0 is said as well: 2.7 takes no rules at all for no change.
        rules = [{"type": "expire", "everySeconds": days * DAY_S}]
        held = self._held(bucket)
        if held is None:
            self._make(bucket, rules)
        elif sum(rule.get("everySeconds", 0) for rule in held.get("retentionRules", [])) != days * DAY_S:
            _log.warning("influx_retention_set", bucket=bucket, days=days, before=held.get("retentionRules"))
            self._asked("PATCH", f"/api/v2/buckets/{held['id']}", bucket, {"retentionRules": rules})

    def _held(self, bucket: str) -> dict[str, Any] | None:
        found = self._asked("GET", f"/api/v2/buckets?{httpx2.QueryParams({'name': bucket, 'org': self._org})}", bucket)
        return next((one for one in found.get("buckets", []) if one.get("name") == bucket), None)

    def _make(self, bucket: str, rules: list[dict[str, Any]]) -> None:
        orgs = self._asked("GET", f"/api/v2/orgs?{httpx2.QueryParams({'org': self._org})}", bucket)
        [org] = [one["id"] for one in orgs.get("orgs", [])][:1] or [""]
        self._asked("POST", "/api/v2/buckets", bucket, {"orgID": org, "name": bucket, "retentionRules": rules})

    def _asked(self, method: str, target: str, bucket: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._client.request(method, target, json=body)
        if answer.status_code == 404 and method == "GET":
            return {}  # 2.x says so where no bucket has that name
        if answer.status_code not in (200, 201):
            raise StoreUnavailable(
                f"InfluxDB bucket {bucket!r} cannot be made or kept as set ({answer.status_code}: {answer.text.strip()[:200]}): "
                "make it by hand, or give influx_token the right to read and write buckets"
            )
        found: dict[str, Any] = answer.json()
        return found


def _shard(days: int) -> str:
    """Length of a shard, as the server chooses it by itself."""
    if 0 < days <= 2:
        return "1h"
    return "1d" if 0 < days <= 180 else "7d"


def _seconds(duration: str) -> int:
    """``168h0m0s`` in seconds."""
    total, number = 0, ""
    for sign in duration:
        if sign.isdigit():
            number += sign
        else:
            total += int(number) * {"h": 3600, "m": 60, "s": 1}[sign]
            number = ""
    return total
