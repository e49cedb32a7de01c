"""Settings: one table (the fields of `Config`), read once from file and environment, frozen afterwards.

A setting ``log_url`` is the key ``log_url`` of the TOML file and the environment variable ``QINGQUAN_LOG_URL``
(which wins). Every fault is reported at once, with file, key, value found and values allowed.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from qingquan.clock import Clock
from qingquan.errors import ConfigurationError

__all__ = ["Config", "load_config"]

ENVIRONMENT_PREFIX = "QINGQUAN_"
# Names the settings file itself, which the command line reads.
FILE_VARIABLE = "QINGQUAN_CONFIG"


def _setting(
    default: Any, text: str, *, choices: tuple[str, ...] = (), low: float | None = None, secret: bool = False
) -> Any:
    return field(default=default, metadata={"help": text, "choices": choices, "low": low, "secret": secret})


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. The reference page `docs/configuration.md` is generated from these rows."""

    data_dir: str = _setting(
        "data", "folder for everything the embedded default keeps (log, stores, snapshots, secrets)"
    )
    language: str = _setting("zh", "default language of console and messages", choices=("zh", "en"))
    time_zone: str = _setting("Asia/Shanghai", "time zone in which pages and messages show times")
    web_host: str = _setting("127.0.0.1", "address the console listens on")
    web_port: int = _setting(8080, "port of the console; the next free one is taken when `up` finds it busy", low=1)
    public_url: str = _setting("", "address of the console as people reach it, for links in messages")

    log_url: str = _setting("", "NATS server of the reading log, nats://host:port; empty = start an embedded one")
    log_user: str = _setting("", "user of our services at that server; the embedded server makes its own")
    log_password: str = _setting("", "its password", secret=True)
    log_port: int = _setting(4222, "port of the embedded server for services; 0 = any free one", low=0)
    mqtt_host: str = _setting("127.0.0.1", "address on which the embedded server takes MQTT from devices")
    mqtt_port: int = _setting(1883, "port on which it takes MQTT; 0 = any free one", low=0)
    mqtt_user: str = _setting("", "user with which devices publish; the embedded server makes its own")
    mqtt_password: str = _setting("", "its password", secret=True)
    log_partitions: int = _setting(8, "partitions of the reading log; fixed once the stream exists", low=1)
    log_replicas: int = _setting(1, "copies of the reading log: 1, or 3 on a cluster", low=1)
    log_max_bytes: int = _setting(8 * 2**30, "size of the reading log; when full, devices get no PUBACK", low=2**20)
    log_reserve_messages: int = _setting(
        10_000_000, "messages the log keeps although recorder and evaluator have covered them, for replays", low=0
    )
    log_keep_free_bytes: int = _setting(
        512 * 2**20, "bytes left free on the disk of the embedded log: below, devices get no PUBACK", low=2**20
    )
    log_node: int = _setting(
        0,
        "number of this embedded server among those of a cluster, from 1; 0 = it stands alone (set by up --cluster)",
        low=0,
    )
    log_cluster: str = _setting(
        "", "with log_node: where the servers of the cluster meet, host:port of each in their order, with commas"
    )
    log_cluster_password: str = _setting("", "password with which they meet", secret=True)
    log_sync_interval: str = _setting("250ms", "how often the log is forced to disk: 'always' or at most 250ms")
    log_sharing: str = _setting(
        "off",
        "off: one evaluator, one recorder and one detector read the whole log; on: start as many as you like, they share its partitions",
        choices=("off", "on"),
    )
    log_client: str = _setting(
        "natsrpy",
        "client that fetches from the reading log: natsrpy, the quick one, or nats-py, the fallback",
        choices=("natsrpy", "nats-py"),
    )
    log_lease_s: float = _setting(
        3.0, "with log_sharing: seconds after which a silent owner's partitions go to others", low=1.0
    )

    log_hub_url: str = _setting(
        "",
        "county edge: the province's log servers, nats://host:port or tls://host:port, with commas; empty = this is no edge",
    )
    log_domain: str = _setting("", "county edge: its name in the province's edges_file, a-z, 0-9 and -")
    log_hub_password: str = _setting("", "county edge: its password there", secret=True)
    log_hub_ca_file: str = _setting(
        "", "county edge: certificate authority of the province's servers with tls://; empty = the system's"
    )
    log_edge_counties: str = _setting(
        "", "county edge: codes of the counties whose readings the province takes, with commas"
    )
    edges_file: str = _setting("", "province: its county edges (TOML, mode 0600); empty = none")
    leaf_host: str = _setting("127.0.0.1", "province: address on which the embedded server takes its edges")
    leaf_port: int = _setting(7422, "province: port on which it takes them", low=1)
    leaf_cert_file: str = _setting("", "province: certificate for the edges' links (PEM); empty = no TLS")
    leaf_key_file: str = _setting("", "province: its key (PEM)")

    database_url: str = _setting("", "SQL database (SQLAlchemy URL); empty = SQLite in the data folder", secret=True)
    series_store: str = _setting("duckdb", "time-series store", choices=("duckdb", "influx"))
    influx_url: str = _setting("", "InfluxDB address")
    influx_token: str = _setting("", "InfluxDB token", secret=True)
    influx_org: str = _setting("qingquan", "InfluxDB organisation")
    influx_bucket: str = _setting("qingquan", "InfluxDB bucket (InfluxQL: database)")
    influx_api: str = _setting(
        "v2", "write door of the InfluxDB server: v2, or v1 for a 1.x server", choices=("v2", "v1")
    )

    retention_raw_days: int = _setting(
        730,
        "days readings are kept; the embedded store counts back from the newest held, InfluxDB by its clock; 0 = for ever",
        low=0,
    )
    retention_5min_days: int = _setting(1100, "days 5-minute rollups are kept; at least as long as readings", low=0)
    retention_1h_days: int = _setting(3660, "days hourly rollups are kept; at least as long as 5-minute ones", low=0)
    retention_1d_days: int = _setting(0, "days daily rollups are kept; 0 = for ever", low=0)

    bridge_host: str = _setting("", "outside MQTT broker to bridge from; empty = no bridge")
    bridge_port: int = _setting(1883, "its port", low=1)
    bridge_user: str = _setting("", "user at the outside broker")
    bridge_password: str = _setting("", "its password", secret=True)
    bridge_client_id: str = _setting("qingquan-bridge", "fixed client id: names the persistent session")
    bridge_topic: str = _setting("wq/+/+/+/+", "topic filter to subscribe to, QoS 1")
    bridge_protocol: str = _setting("3.1.1", "MQTT version spoken to it", choices=("3.1.1", "5"))

    rules_file: str = _setting("", "ruleset (TOML); empty = the one that ships")
    profiles_dir: str = _setting(
        "", "folder with a county's or province's own limits: profiles.csv and the tables it names; empty = none"
    )
    alerts_file: str = _setting("", "alert policy (TOML): ladders, channels, waits; empty = the one that ships")
    snapshot_interval_s: float = _setting(5.0, "seconds between two snapshots of the evaluator", low=0.1)
    earliest_accepted_year: int = _setting(2000, "readings before this year go to quarantine", low=1971)
    future_tolerance_s: int = _setting(300, "a reading further ahead of the log's clock goes to quarantine", low=0)

    wecom_url: str = _setting("https://qyapi.weixin.qq.com", "base URL of WeCom")
    wecom_robot_key: str = _setting("", "key of the county's WeCom group robot; empty = channel off", secret=True)
    aliyun_sms_url: str = _setting("https://dysmsapi.aliyuncs.com", "base URL of Aliyun SMS")
    aliyun_key_id: str = _setting("", "Aliyun access key id; empty = channel off", secret=True)
    aliyun_key_secret: str = _setting("", "Aliyun access key secret", secret=True)
    aliyun_sign_name: str = _setting("", "approved SMS signature")
    aliyun_template_alarm: str = _setting("", "approved SMS template for an alarm")
    aliyun_template_alarm_reply: str = _setting(
        "", "approved SMS template that asks for a reply; empty = no replies by SMS"
    )
    aliyun_template_recovery: str = _setting("", "approved SMS template for a recovery")
    aliyun_template_plain: str = _setting("", "approved SMS template without variables, the fallback")
    aliyun_template_several: str = _setting("", "approved SMS template for several messages in one; empty = one by one")

    wecom_corp_id: str = _setting("", "WeCom corporation id of the self-built app; empty = channel off")
    wecom_agent_id: str = _setting("", "agent id of that app")
    wecom_app_secret: str = _setting("", "secret of that app", secret=True)
    wecom_callback_token: str = _setting("", "token of the app's message-receiving URL", secret=True)
    wecom_callback_key: str = _setting("", "EncodingAESKey of that URL, 43 characters", secret=True)
    wechat_url: str = _setting("https://api.weixin.qq.com", "base URL of WeChat official accounts")
    wechat_app_id: str = _setting("", "app id of the verified service account; empty = channel off")
    wechat_app_secret: str = _setting("", "its secret", secret=True)
    wechat_template: str = _setting("", "template id there with the fields thing1, thing2, time3, thing4")
    tencent_sms_url: str = _setting("https://sms.tencentcloudapi.com", "base URL of Tencent Cloud SMS")
    tencent_secret_id: str = _setting("", "Tencent Cloud secret id; empty = channel off", secret=True)
    tencent_secret_key: str = _setting("", "Tencent Cloud secret key", secret=True)
    tencent_app_id: str = _setting("", "SmsSdkAppId")
    tencent_region: str = _setting("ap-guangzhou", "region named in the requests")
    tencent_sign_name: str = _setting("", "approved SMS signature (its text)")
    tencent_template_alarm: str = _setting("", "template id for an alarm; variables in the order of our text")
    tencent_template_alarm_reply: str = _setting(
        "", "template id of the text that asks for a reply; empty = no replies by SMS"
    )
    tencent_template_recovery: str = _setting("", "template id for a recovery")
    tencent_template_plain: str = _setting("", "template id without variables, the fallback")
    tencent_template_several: str = _setting("", "template id for several messages in one; empty = one by one")
    aliyun_voice_url: str = _setting("https://dyvmsapi.aliyuncs.com", "base URL of Aliyun voice calls")
    aliyun_voice_template: str = _setting("", "approved TTS template for an alarm; empty = channel off")
    aliyun_voice_number: str = _setting("", "number shown to the called person; empty = the provider's shared ones")
    dingtalk_url: str = _setting("https://oapi.dingtalk.com", "base URL of DingTalk")
    dingtalk_token: str = _setting("", "access token of the group robot; empty = channel off", secret=True)
    dingtalk_secret: str = _setting("", "signing secret of that robot", secret=True)
    feishu_url: str = _setting("https://open.feishu.cn", "base URL of Feishu")
    feishu_hook: str = _setting("", "hook id of the group robot; empty = channel off", secret=True)
    feishu_secret: str = _setting("", "signing secret of that robot", secret=True)
    smtp_host: str = _setting("", "mail server; empty = channel off")
    smtp_port: int = _setting(465, "its port", low=1)
    smtp_security: str = _setting("tls", "how the connection is secured", choices=("tls", "starttls", "none"))
    smtp_user: str = _setting("", "user there; empty = no login")
    smtp_password: str = _setting("", "authorization code or password", secret=True)
    smtp_from: str = _setting("", "sender's address")
    webhook_url: str = _setting("", "URL that takes every message as signed JSON; empty = channel off", secret=True)
    webhook_secret: str = _setting("", "key of the HMAC-SHA256 signature of that webhook", secret=True)
    apprise_url: str = _setting("", "apprise URL of one further channel (needs qingquan[apprise])", secret=True)
    quotas_file: str = _setting("", "budgets of the channels (TOML); empty = the ones that ship")
    receipts_token: str = _setting("", "unguessable part of the path to which providers push receipts", secret=True)

    operations_file: str = _setting(
        "", "what the watchdog watches, whom it tells, whose heartbeats it expects (TOML); empty = the one that ships"
    )
    heartbeat_url: str = _setting(
        "", "outside watcher that hears from us while the whole chain is healthy; empty = none", secret=True
    )
    heartbeat_method: str = _setting("POST", "how it is told", choices=("POST", "GET", "HEAD"))
    heartbeat_interval_s: float = _setting(60.0, "seconds between two heartbeats", low=1)
    heartbeat_sender: str = _setting("", "name by which the watcher knows this installation")
    heartbeat_secret: str = _setting(
        "", "key of the HMAC-SHA256 signature of heartbeats; empty = not signed", secret=True
    )
    metrics_port: int = _setting(
        0,
        "port on which the watchdog itself serves /metrics, also without a database; 0 = only at the console's",
        low=0,
    )
    metrics_host: str = _setting("127.0.0.1", "address of that port")
    restart_hold_s: float = _setting(
        60.0, "after a start nobody is told anything for this long, nor before the evaluators have caught up", low=0
    )
    restart_hold_most_s: float = _setting(900.0, "longest that messages wait for evaluators to catch up", low=0)

    clock_speed: float = _setting(1.0, "demo only: how many times faster than the wall clock time runs", low=1.0)
    clock_epoch_ms: int = _setting(0, "demo only: wall time at which the demo clock started [ms since epoch]", low=0)
    clock_start_ms: int = _setting(
        0, "demo only: what the demo clock showed then [ms since epoch]; 0 = the wall time", low=0
    )
    log_level: str = _setting("info", "least urgent log line shown", choices=("debug", "info", "warning", "error"))

    @property
    def data_path(self) -> Path:
        """The data folder as a path."""
        return Path(self.data_dir)

    @property
    def clock(self) -> Clock:
        """The clock all services share."""
        return Clock(self.clock_speed, self.clock_epoch_ms, self.clock_start_ms)

    @property
    def sql_url(self) -> str:
        """SQLAlchemy URL of the relational database, the embedded default filled in."""
        return self.database_url or f"sqlite:///{self.data_path.resolve() / 'qingquan.db'}"


def load_config(path: Path | None = None, environ: Mapping[str, str] | None = None, **overrides: Any) -> Config:
    """Settings from file, then environment, then ``overrides`` (the command line); later ones win.

    Raises
    ------
    ConfigurationError
        With one line per fault: where, key, value found, what is allowed.
    """
    environ = os.environ if environ is None else environ
    faults: list[str] = []
    values: dict[str, Any] = {}
    known = {row.name: row for row in fields(Config)}
    for name, value, where in _given(path, environ, overrides, faults):
        row = known.get(name)
        if row is None:
            faults.append(f"{where}: unknown key {name!r}; known keys: {', '.join(sorted(known))}")
            continue
        parsed = _parse(name, value, row.default, row.metadata, where, faults)
        if parsed is not None:
            values[name] = parsed
    if faults:
        raise ConfigurationError(faults)
    return Config(**values)


def _given(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any], faults: list[str]
) -> list[tuple[str, Any, str]]:
    rows: list[tuple[str, Any, str]] = []
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            faults.append(f"{path}: cannot be read: {error.strerror}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            faults.append(f"{path}: not valid TOML: {error}")
        else:
            rows += [(name, value, str(path)) for name, value in table.items()]
    rows += [
        (name.removeprefix(ENVIRONMENT_PREFIX).lower(), value, f"environment {name}")
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name != FILE_VARIABLE
    ]
    rows += [(name, value, "command line") for name, value in overrides.items() if value is not None]
    return rows


def _parse(name: str, value: Any, default: Any, meta: Mapping[str, Any], where: str, faults: list[str]) -> Any:
    shown = "***" if meta["secret"] else repr(value)
    kind = type(default)
    if isinstance(value, str) and kind in (int, float):
        try:
            value = kind(value)
        except ValueError:
            faults.append(f"{where}: {name} = {shown}: allowed: {'a whole number' if kind is int else 'a number'}")
            return None
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        faults.append(f"{where}: {name} = {shown}: allowed: {kind.__name__}")
        return None
    if meta["choices"] and value not in meta["choices"]:
        faults.append(f"{where}: {name} = {shown}: allowed: {', '.join(meta['choices'])}")
        return None
    if meta["low"] is not None and value < meta["low"]:
        faults.append(f"{where}: {name} = {shown}: allowed: {meta['low']} or more")
        return None
    return value
