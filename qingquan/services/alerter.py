"""The alerter: relays the outbox to the channels until it is told to stop.

Each channel has a thread of its own, so that one that hangs or is throttled never holds up the other. The database may come
and go; what a provider said meanwhile is kept and written first when it is back.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from alerts.channels.aliyun_sms import AliyunSms
from alerts.channels.base import Channel
from alerts.channels.wecom_robot import WecomRobot
from alerts.outbox import Relay, decline
from alerts.routing import SMS, WECOM_ROBOT
from qingquan.config import Config
from qingquan.errors import StoreUnavailable
from qingquan.services.alive import beat
from qingquan.services.escalating import Escalator
from qingquan.store.sql.engine import check_schema, open_database

__all__ = ["channels_of", "run", "serve"]

PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
BEAT_S = 5.0

T = TypeVar("T")

_log = structlog.get_logger("alerter")


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; exit status 0. Attempts under way are finished and written down first.

    Raises
    ------
    ConfigurationError
        If the database's schema is not this version's.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve(config, stop)
    return 0


def serve(config: Config, stop: threading.Event) -> None:
    """The service without signal handling."""
    engine = open_database(config.sql_url)
    channels = channels_of(config)
    failed: list[BaseException] = []
    threads = []
    for name, channel in channels.items():
        step = _step(config, engine, name, channel)
        threads.append(threading.Thread(target=_relayed, args=(step, stop, failed), name=name))
    threads.append(
        threading.Thread(target=_relayed, args=(Escalator(config, engine).step, stop, failed), name="ladders")
    )
    try:
        _insisted(partial(check_schema, engine), stop)
        _log.info("alerter_started", channels=[name for name, channel in channels.items() if channel is not None])
        for thread in threads:
            thread.start()
        while not stop.is_set():
            beat(config, "alerter")
            stop.wait(BEAT_S)
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        for channel in channels.values():
            if channel is not None:
                channel.close()
        engine.dispose()
    if failed:
        raise failed[0]


def channels_of(config: Config) -> dict[str, Channel | None]:
    """All channels by name; ``None`` where the settings leave one off."""
    robot = WecomRobot(config.wecom_url, config.wecom_robot_key) if config.wecom_robot_key else None
    templates = {
        "alarm": config.aliyun_template_alarm,
        "recovery": config.aliyun_template_recovery,
        "plain": config.aliyun_template_plain,
    }
    is_sms_on = config.aliyun_key_id and config.aliyun_key_secret and any(templates.values())
    sms = (
        AliyunSms(
            config.aliyun_sms_url, config.aliyun_key_id, config.aliyun_key_secret, config.aliyun_sign_name, templates
        )
        if is_sms_on
        else None
    )
    return {WECOM_ROBOT: robot, SMS: sms}


def _step(config: Config, engine: Engine, name: str, channel: Channel | None) -> Callable[[], int]:
    """One round of a channel; returns how many messages it dealt with."""
    clock = config.clock
    if channel is None:
        reason = f"channel {name} is not set up: see wecom_* and aliyun_* in the settings"
        return lambda: decline(engine, name, clock.now_ms(), reason)
    worker = f"{socket.gethostname()}:{os.getpid()}:{name}"
    relay = Relay(engine, channel, clock.now_ms, worker=worker, scale=clock.speed, language=config.language)
    return lambda: relay.step().total()


def _relayed(step: Callable[[], int], stop: threading.Event, failed: list[BaseException]) -> None:
    """Go on with a channel until told to stop. A programming error ends the whole service: its supervisor starts it anew."""
    try:
        while not stop.is_set():
            if not _insisted(step, stop):
                stop.wait(PAUSE_S)
    except BaseException as error:
        failed.append(error)
        stop.set()


def _insisted(action: Callable[[], T], stop: threading.Event) -> T | None:
    """Do what needs the database, again and again until it answers; ``None`` when told to stop before."""
    pause_s = PAUSE_S
    while not stop.is_set():
        try:
            return action()
        except StoreUnavailable as error:
            _log.warning("database_unavailable", why=str(error), pause_s=pause_s)
            stop.wait(pause_s * Random().uniform(0.5, 1.5))  # noqa: S311 (jitter)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
    return None
