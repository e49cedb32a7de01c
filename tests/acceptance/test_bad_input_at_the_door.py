"""Whatever a device sends over real MQTT is judged, set aside with its reason, or turned away and counted; the rest goes on.

Each kind of bad message goes to a works of its own and is followed at once by a good one. The system is started once.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.testing.system import System, running_system, system_settings

COUNTY = "520425"
MINUTE = 60_000


@dataclass(frozen=True, slots=True)
class Bad:
    """A bad message of works ``W<number>`` (unless ``topic`` leads elsewhere), sent at ``now`` [ms], and what must become of it.

    ``aside``: reason and position of each part set aside. ``readings``: how many readings of it are kept all the same.
    """

    name: str
    payload: Callable[[int], bytes]
    aside: tuple[tuple[str, str], ...] = ()
    readings: int = 0
    topic: str = ""


def message(at: object, **values: object) -> bytes:
    return json.dumps({"t": at, "v": values}).encode()


BAD = (
    Bad("truncated JSON", lambda now: message(now, free_chlorine=0.4)[:-6], (("bad_json", ""),)),
    Bad("no JSON at all", lambda _: b"\x00\xff\x17", (("bad_json", ""),)),
    Bad("an empty payload", lambda _: b"", (("bad_json", ""),)),
    Bad("nested too deeply", lambda _: b"[" * 30_000, (("bad_json", ""),)),
    Bad("a bare number", lambda _: b"0.4", (("bad_shape", ""),)),
    Bad("values that are no object", lambda now: json.dumps({"t": now, "v": 0.4}).encode(), (("bad_shape", "v"),)),
    Bad(
        "a list, a word and a truth value for numbers, beside one good value",
        lambda now: message(now - MINUTE, free_chlorine=[0.4], ph="acid", temperature=True, turbidity=0.5),
        (("bad_value", "v.free_chlorine"), ("bad_value", "v.ph"), ("bad_value", "v.temperature")),
        readings=1,
    ),
    Bad(
        "NaN, Infinity and a number beyond all floats",
        lambda now: b'{"t": %d, "v": {"free_chlorine": NaN, "ph": -Infinity, "turbidity": 1e999}}' % now,
        (("not_finite", "v.free_chlorine"), ("not_finite", "v.ph"), ("not_finite", "v.turbidity")),
    ),
    Bad("an unknown parameter", lambda now: message(now, phlogiston=1.0), (("unknown_parameter", "v.phlogiston"),)),
    Bad("a time in the future", lambda now: message(now + 7 * MINUTE, ph=7.1), (("time_in_future", "t"),)),
    Bad("a time in 1970", lambda _: message(86_400, ph=7.1), (("time_too_old", "t"),)),
    Bad("a time that is none", lambda _: message("yesterday", ph=7.1), (("bad_time", "t"),)),
    Bad(
        "one bad object in a buffered upload",
        lambda now: b"[%s, %s, 17]" % (message(now - 2 * MINUTE, ph=7.1), message(now - MINUTE, ph=7.2)),
        (("bad_shape", "[2]"),),
        readings=2,
    ),
    Bad("an unknown works", lambda now: message(now, ph=7.1), (("unknown_works", ""),), topic=f"wq/{COUNTY}/W9999/outlet/json"),
    Bad("an unknown point", lambda now: message(now, ph=7.1), (("unknown_point", ""),), topic=f"wq/{COUNTY}/W0014/roof/json"),
    Bad("an unknown dialect", lambda now: message(now, ph=7.1), (("unknown_dialect", ""),), topic=f"wq/{COUNTY}/W0015/outlet/morse"),
    Bad("a county that is none", lambda now: message(now, ph=7.1), (("bad_topic", ""),), topic="wq/Ziyun/W0016/outlet/json"),
)  # fmt: skip
SAME_AGAIN, OTHER_VALUE = len(BAD), len(BAD) + 1
HUGE, FOREIGN = "a payload of 10 MB", "a topic that is not a device's"


def works(number: int) -> Works:
    point = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine", "turbidity", "ph", "temperature"))
    return Works(
        COUNTY,
        f"W{number:04d}",
        f"{number}号水厂",
        "猫营镇",
        Disinfectant.FREE_CHLORINE,
        Equipment.EQUIPPED,
        200,
        900,
        (point,),
    )


def topic(number: int) -> str:
    return f"wq/{COUNTY}/W{number:04d}/outlet/json"


class Device:
    """One MQTT connection at a time; connects again when the server has closed it."""

    def __init__(self, config: Config) -> None:
        self.closed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"device-{time.monotonic_ns()}")
        self._client.username_pw_set(config.mqtt_user, config.mqtt_password)
        self._client.on_disconnect = lambda *_: self.closed.set()
        self._client.connect("127.0.0.1", config.mqtt_port)
        self._client.loop_start()

    def send(self, topic: str, payload: bytes) -> mqtt.MQTTMessageInfo:
        """Publish at QoS 1."""
        return self._client.publish(topic, payload, qos=1)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What the API says after everything was sent."""

    system: System
    sent_at: int
    good: dict[str, int]
    counts: dict[str, Any]
    quarantine: list[dict[str, Any]]
    was_huge_closed: bool


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Everything sent, evaluated and recorded."""
    config = system_settings(tmp_path_factory.mktemp("door"))
    with running_system(config, [works(n) for n in range(len(BAD) + 4)], ("evaluator", "recorder", "web")) as system:
        now = system.config.clock.now_ms()
        device = Device(system.config)
        good: dict[str, int] = {}

        def send_good(number: int) -> None:
            good[f"W{number:04d}"] = at = now + len(good)
            device.send(topic(number), message(at, free_chlorine=0.45, ph=7.3)).wait_for_publish(10)

        for number, bad in enumerate(BAD):
            device.send(bad.topic or topic(number), bad.payload(now)).wait_for_publish(10)
            send_good(number)
        for number, second in ((SAME_AGAIN, 0.4), (OTHER_VALUE, 0.9)):
            device.send(topic(number), message(now - MINUTE, free_chlorine=0.4)).wait_for_publish(10)
            device.send(topic(number), message(now - MINUTE, free_chlorine=second)).wait_for_publish(10)
            send_good(number)
        device.send("elsewhere/W1", b"{}").wait_for_publish(10)
        send_good(len(BAD) + 2)
        huge = Device(system.config)
        huge.send(topic(len(BAD) + 3), b"x" * 10_000_000)
        was_closed = huge.closed.wait(15)
        huge.close()
        send_good(len(BAD) + 3)
        device.close()
        last = system.last_sequence()
        system.wait_for(lambda: _settled(system, last), "everything evaluated and recorded, refusals counted", 60)
        yield Aftermath(
            system, now, good, system.api("counts"), system.api("quarantine?limit=500")["items"], was_closed
        )


def _settled(system: System, last: int) -> bool:
    try:
        counts = system.api("counts")
    except OSError:
        return False
    return bool(counts["evaluated"] == counts["recorded"] == last and len(counts["refused"]) >= 2)


@pytest.mark.parametrize("number", range(len(BAD)), ids=[bad.name for bad in BAD])
def test_what_cannot_be_taken_is_set_aside_with_its_reason(aftermath: Aftermath, number: int) -> None:
    bad = BAD[number]
    county, works_id, point, dialect = (bad.topic or topic(number)).split("/")[1:]
    subject = f".wq.{county}.{works_id}.{point}.{dialect}"
    found = [entry for entry in aftermath.quarantine if entry["subject"].endswith(subject)]
    assert sorted((entry["reason"], entry["position"]) for entry in found) == sorted(bad.aside)
    assert all(entry["detail"] for entry in found)
    assert len({entry["digest"] for entry in found}) == 1
    if not bad.topic:
        kept = readings_before(aftermath, f"W{number:04d}")
        assert len(kept) == bad.readings


def test_nothing_else_was_set_aside_and_the_counts_say_the_same(aftermath: Aftermath) -> None:
    expected: dict[str, int] = {}
    for reason, _ in (part for bad in BAD for part in bad.aside):
        expected[reason] = expected.get(reason, 0) + 1
    assert aftermath.counts["quarantined"] == expected
    assert len(aftermath.quarantine) == sum(expected.values())


def test_a_good_message_right_after_each_bad_one_is_judged_and_recorded(aftermath: Aftermath) -> None:
    def unjudged() -> set[str]:
        states = {entry["id"]: entry["state"] for entry in aftermath.system.api("works?limit=500")["items"]}
        return {
            id_ for id_, at in aftermath.good.items()
            if not states[id_]["as_of"] or to_ms(datetime.fromisoformat(states[id_]["as_of"])) < at
        }  # fmt: skip

    aftermath.system.wait_for(lambda: not unjudged(), "every works judged by its good message")
    for id_, at in aftermath.good.items():
        trend = aftermath.system.api(f"series?works={id_}&point=outlet&parameter=free_chlorine")
        assert to_ms(datetime.fromisoformat(trend["observed_at"][-1])) == at, id_
        assert trend["columns"]["value"][-1] == 0.45


def test_a_duplicate_is_counted_and_another_value_for_the_same_time_is_a_conflict(aftermath: Aftermath) -> None:
    assert (aftermath.counts["duplicates"], aftermath.counts["conflicts"]) == (1, 1)
    assert readings_before(aftermath, f"W{SAME_AGAIN:04d}") == [0.4]
    assert readings_before(aftermath, f"W{OTHER_VALUE:04d}") == [0.4]


def test_what_the_server_turns_away_is_counted_by_kind(aftermath: Aftermath) -> None:
    assert aftermath.was_huge_closed
    assert aftermath.counts["refused"] == {"mqtt_payload_too_large": 1, "mqtt_publish_violation": 1}


def test_what_came_in_equals_what_came_out_and_nothing_was_restarted(aftermath: Aftermath) -> None:
    counts = aftermath.counts
    assert counts["logged"] == counts["evaluated"] == counts["recorded"]
    kept = sum(bad.readings for bad in BAD) + 2
    assert counts["readings"] == kept + 2 * len(aftermath.good)
    assert [aftermath.system.restarts(name) for name in ("log-server", "evaluator", "recorder", "web")] == [0, 0, 0, 0]


def readings_before(aftermath: Aftermath, works_id: str) -> list[float]:
    """Values of a works from before its good message."""
    values: list[float] = []
    for parameter in ("free_chlorine", "turbidity", "ph", "temperature"):
        trend = aftermath.system.api(f"series?works={works_id}&point=outlet&parameter={parameter}")
        times = [to_ms(datetime.fromisoformat(at)) for at in trend["observed_at"]]
        values += [value for at, value in zip(times, trend["columns"]["value"], strict=True) if at < aftermath.sent_at]
    return values
