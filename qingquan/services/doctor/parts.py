"""Checks of the parts: tables, database, reading log, series store, bridge, channels."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qingquan.config import Config
from qingquan.errors import BrokerLost, ConfigurationError, StoreUnavailable
from qingquan.services.doctor.check import Check, State
from qingquan.services.rulesets import load_ruleset
from qingquan.standards.loader import load_standards
from qingquan.store.reading_log import LogInfo, ReadingLog, resolve_log_config, self_test
from qingquan.store.reading_log.connection import JetStreamApi, connect
from qingquan.store.reading_log.credentials import LogCredentials, load_credentials
from qingquan.store.reading_log.probes import answers, server_name_at
from qingquan.store.reading_log.streams import check_layout
from qingquan.store.series.opening import DUCKDB_FILE, open_series_reader, recorder_socket
from qingquan.store.sql.engine import check_schema, head_revision, open_database

__all__ = [
    "bridge",
    "channels",
    "database",
    "own_log",
    "reading_log",
    "ruleset",
    "series_store",
    "standards",
]

LOG_WAIT_S = 3.0
STARTS_WITH_UP = "随 `qingquan up` 启动 starts with `qingquan up`"
ALIYUN = ("aliyun_key_id", "aliyun_key_secret", "aliyun_sign_name")
ALIYUN_TEMPLATES = ("aliyun_template_alarm", "aliyun_template_recovery", "aliyun_template_plain")


def own_log(config: Config) -> LogCredentials | None:
    """What the embedded server of this data folder runs with; ``None`` when it does not run, or there is none."""
    if config.log_url or not (config.data_path / "secrets.json").exists():
        return None
    kept = load_credentials(_as_kept(config))
    return kept if server_name_at(kept.log_port) == kept.server_name else None


def _as_kept(config: Config) -> Config:
    """With other ports given, reading the secrets would change them under a server that runs."""
    return replace(config, log_port=0, mqtt_port=0)


def standards() -> list[Check]:
    """Parameters, limits and units are valid."""
    tables = load_standards()
    detail = f"参数 parameters {len(tables.parameters)}，限值 limits {len(tables.limits)}，单位 unit names {len(tables.units)}"
    return [Check("standards", State.OK, detail)]


def ruleset(config: Config) -> list[Check]:
    """The ruleset in use is valid."""
    where = config.rules_file or "rules/default.toml"
    try:
        found = load_ruleset(config)
    except ConfigurationError as error:
        return [Check("ruleset", State.FAULT, fault, "qingquan rules check") for fault in error.faults]
    return [Check("ruleset", State.OK, f"{where} {found.version}, 规则 rules {len(found.rules)}")]


def database(config: Config) -> list[Check]:
    """The database answers and has this version's schema."""
    engine = open_database(config.sql_url)
    shown = engine.url.render_as_string(hide_password=True)
    try:
        if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
            return [Check("database", State.MISSING, f"{shown}: 尚未建立 not made yet", STARTS_WITH_UP)]
        check_schema(engine)
    except ConfigurationError as error:
        return [Check("database", State.FAULT, str(error), "qingquan db upgrade")]
    except StoreUnavailable as error:
        return [
            Check("database", State.FAULT, str(error), "启动数据库，核对 database_url start it, check database_url")
        ]
    finally:
        engine.dispose()
    return [Check("database", State.OK, f"{shown}, schema {head_revision()}")]


def reading_log(config: Config) -> list[Check]:
    """The log answers, its streams have their layout, and a PUBACK means that a message is in it."""
    if not config.log_url and own_log(config) is None:
        return [Check("reading_log", State.MISSING, "未运行 not running", STARTS_WITH_UP)]
    resolved = config if config.log_url else resolve_log_config(_as_kept(config))
    try:
        took_s, info = asyncio.run(_tested(resolved))
    except ConfigurationError as error:
        return [Check("reading_log", State.FAULT, fault, "重启 log-server，查看其日志 restart log-server, see its log") for fault in error.faults]  # fmt: skip
    except BrokerLost as error:
        return [Check("reading_log", State.FAULT, str(error), "启动该服务器，核对 log_url start it, check log_url")]
    detail = (
        f"自检通过 self-test passed, {took_s * 1000:.0f} ms；{info.messages} 条 messages，"
        f"{info.bytes / info.max_bytes:.0%} 已用 used"
    )
    return [Check("reading_log", State.OK, detail)]


async def _tested(config: Config) -> tuple[float, LogInfo]:
    client = await connect(config, name="doctor", wait_s=LOG_WAIT_S)
    try:
        await check_layout(JetStreamApi(client), config)
    finally:
        await client.close()
    took_s = await self_test(config)
    async with await ReadingLog.connect(config, name="doctor", wait_s=LOG_WAIT_S) as log:
        return took_s, await log.info()


def series_store(config: Config) -> list[Check]:
    """The series store answers; an embedded one does through the recorder."""
    if config.series_store == "duckdb" and not recorder_socket(config).exists():
        found = config.data_path / DUCKDB_FILE
        made = str(found) if found.exists() else f"{found}: 尚未建立 not made yet"
        return [
            Check("series_store", State.MISSING, f"{made}；存储服务未运行 the recorder is not running", STARTS_WITH_UP)
        ]
    try:
        store = open_series_reader(config)
    except ConfigurationError as error:
        return [Check("series_store", State.FAULT, str(error), "")]
    try:
        counts = store.counts()
    except StoreUnavailable as error:
        if config.series_store == "duckdb":
            # A socket file outlives a recorder that was killed.
            return [Check("series_store", State.MISSING, f"存储服务未运行 the recorder is not running ({error})", STARTS_WITH_UP)]  # fmt: skip
        return [
            Check("series_store", State.FAULT, str(error), "启动 InfluxDB，核对 influx_url start it, check influx_url")
        ]
    finally:
        with suppress(StoreUnavailable):
            store.close()
    return [Check("series_store", State.OK, f"{config.series_store}, 读数 readings {counts.readings}")]


def bridge(config: Config) -> list[Check]:
    """The outside broker answers, if there is one."""
    if not config.bridge_host:
        return [Check("bridge", State.MISSING, "未启用 off: bridge_host")]
    where = f"{config.bridge_host}:{config.bridge_port}"
    if answers(config.bridge_host, config.bridge_port):
        return [Check("bridge", State.OK, where)]
    return [
        Check("bridge", State.FAULT, f"{where}: 连不上 does not answer", "核对 bridge_host 和 bridge_port check both")
    ]


def channels(config: Config) -> list[Check]:
    """Each channel is configured whole, or off. Nothing is sent."""
    return [_wecom(config), _aliyun(config)]


def _wecom(config: Config) -> Check:
    if config.wecom_robot_key:
        return Check("wecom_robot", State.OK, config.wecom_url)
    return Check("wecom_robot", State.MISSING, "未启用 off: wecom_robot_key")


def _aliyun(config: Config) -> Check:
    absent = [name for name in ALIYUN if not getattr(config, name)]
    if not any(getattr(config, name) for name in ALIYUN_TEMPLATES):
        absent.append(ALIYUN_TEMPLATES[0])
    if not absent:
        return Check("aliyun_sms", State.OK, f"{config.aliyun_sms_url}, {config.aliyun_sign_name}")
    # Without a key the channel is off whatever else is set.
    if "aliyun_key_id" in absent:
        return Check("aliyun_sms", State.MISSING, "未启用 off: aliyun_key_id")
    return Check("aliyun_sms", State.FAULT, f"缺少 lacks: {', '.join(absent)}", "补齐设置 give these settings")
