"""Channels from the settings: which are on, and everything that stands against them, all at once."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from alerts.channels.aliyun_sms import AliyunSms
from alerts.channels.aliyun_voice import AliyunVoice
from alerts.channels.apprise_other import AppriseOther, apprise_faults
from alerts.channels.base import Channel
from alerts.channels.dingtalk import Dingtalk
from alerts.channels.email import Email
from alerts.channels.feishu import Feishu
from alerts.channels.tencent_sms import TencentSms
from alerts.channels.tokens import TokenStore
from alerts.channels.webhook import Webhook
from alerts.channels.wechat_official import WechatOfficial
from alerts.channels.wecom_app import WecomApp
from alerts.channels.wecom_crypto import CallbackCrypto
from alerts.channels.wecom_robot import WecomRobot
from alerts.links import public_url_faults
from alerts.quotas import quota_faults
from alerts.templates import template_faults
from qingquan.config import Config

__all__ = ["CHANNELS", "build_channels", "check_channels", "missing", "secret_file_faults", "sms_codes"]

# The settings each channel needs to be on: the first is its switch, the others are missed once it is set.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "wecom_robot": ("wecom_robot_key",),
    "wecom_app": ("wecom_corp_id", "wecom_agent_id", "wecom_app_secret"),
    "wechat_official": ("wechat_app_id", "wechat_app_secret", "wechat_template"),
    "aliyun_sms": ("aliyun_key_id", "aliyun_key_secret", "aliyun_sign_name", "aliyun_template_plain"),
    "tencent_sms": (
        "tencent_secret_id", "tencent_secret_key", "tencent_app_id", "tencent_sign_name", "tencent_template_plain",
    ),
    "aliyun_voice": ("aliyun_voice_template", "aliyun_key_id", "aliyun_key_secret"),
    "dingtalk": ("dingtalk_token", "dingtalk_secret"),
    "feishu": ("feishu_hook", "feishu_secret"),
    "email": ("smtp_host", "smtp_from"),
    "webhook": ("webhook_url", "webhook_secret"),
    "apprise": ("apprise_url",),
}  # fmt: skip
CHANNELS = tuple(NEEDS)

_URLS = (
    "wecom_url", "wechat_url", "aliyun_sms_url", "tencent_sms_url", "aliyun_voice_url", "dingtalk_url", "feishu_url",
)  # fmt: skip


def sms_codes(config: Config, provider: str) -> dict[str, str]:
    """Our template names to the codes a provider (``aliyun`` or ``tencent``) has approved; empty where it has none."""
    return {
        name: str(getattr(config, f"{provider}_template_{name}", ""))
        for name in ("alarm", "alarm_reply", "recovery", "plain", "several")
    }


def build_channels(config: Config, tokens: TokenStore | None = None) -> dict[str, Channel | None]:
    """All channels by name; ``None`` where the settings leave one off."""
    c = config
    makers: dict[str, Callable[[], Channel]] = {
        "wecom_robot": lambda: WecomRobot(c.wecom_url, c.wecom_robot_key),
        "wecom_app": lambda: WecomApp(
            c.wecom_url, c.wecom_corp_id, c.wecom_agent_id, c.wecom_app_secret, language=c.language,
            public_url=c.public_url, tokens=tokens,
        ),
        "wechat_official": lambda: WechatOfficial(
            c.wechat_url, c.wechat_app_id, c.wechat_app_secret, c.wechat_template, public_url=c.public_url, tokens=tokens
        ),
        "aliyun_sms": lambda: AliyunSms(
            c.aliyun_sms_url, c.aliyun_key_id, c.aliyun_key_secret, c.aliyun_sign_name, sms_codes(c, "aliyun")
        ),
        "tencent_sms": lambda: TencentSms(
            c.tencent_sms_url, c.tencent_secret_id, c.tencent_secret_key, c.tencent_app_id, c.tencent_sign_name,
            sms_codes(c, "tencent"), region=c.tencent_region,
        ),
        "aliyun_voice": lambda: AliyunVoice(
            c.aliyun_voice_url, c.aliyun_key_id, c.aliyun_key_secret, c.aliyun_voice_template, show_number=c.aliyun_voice_number
        ),
        "dingtalk": lambda: Dingtalk(c.dingtalk_url, c.dingtalk_token, c.dingtalk_secret, language=c.language),
        "feishu": lambda: Feishu(c.feishu_url, c.feishu_hook, c.feishu_secret),
        "email": lambda: Email(
            c.smtp_host, c.smtp_port, c.smtp_security, c.smtp_from, user=c.smtp_user, password=c.smtp_password
        ),
        "webhook": lambda: Webhook(c.webhook_url, c.webhook_secret),
        "apprise": lambda: AppriseOther(c.apprise_url),
    }  # fmt: skip
    return {name: makers[name]() if not missing(config, name) else None for name in CHANNELS}


def missing(config: Config, channel: str) -> list[str]:
    """Settings a channel lacks to be on; the whole list of them where it is simply off."""
    return [name for name in NEEDS[channel] if not getattr(config, name)]


def check_channels(config: Config, config_file: Path | None = None) -> list[str]:
    """Everything that stands against the channels' settings, one line each; empty = ready.

    With ``config_file`` given, that file is held to mode 0600 if it holds a secret.
    """
    faults = [
        f"{name} is empty: channel {channel} needs it because {needs[0]} is set"
        for channel, needs in NEEDS.items()
        if getattr(config, needs[0]) and channel not in _half_on(config)
        for name in missing(config, channel)
    ]
    faults += [
        f"{name} = {value!r}: allowed: http:// or https:// with a host"
        for name in _URLS
        if not _is_url(value := str(getattr(config, name)))
    ]
    if config.webhook_url and not _is_url(config.webhook_url):
        faults.append("webhook_url = ***: allowed: http:// or https:// with a host")
    if config.aliyun_sign_name and not (2 <= len(config.aliyun_sign_name) <= 12 and config.aliyun_sign_name.isalnum()):
        faults.append(
            f"aliyun_sign_name = {config.aliyun_sign_name!r}: allowed: 2 to 12 letters or characters, no punctuation"
        )
    if config.smtp_from and "@" not in config.smtp_from:
        faults.append(f"smtp_from = {config.smtp_from!r}: allowed: an e-mail address")
    if config.wecom_callback_key or config.wecom_callback_token:
        faults += _callback_faults(config)
    if config.apprise_url:
        faults += apprise_faults(config.apprise_url)
    faults += public_url_faults(config.public_url)
    faults += [
        f"receipts_token is empty: {name} asks for replies, which come in at its path"
        for name in ("aliyun_template_alarm_reply", "tencent_template_alarm_reply")
        if getattr(config, name) and not config.receipts_token
    ]
    if config.receipts_token and len(config.receipts_token) < 16:
        faults.append("receipts_token = ***: allowed: 16 characters or more")
    faults += template_faults()
    faults += quota_faults(config.quotas_file)
    if config_file is not None:
        faults += secret_file_faults(config_file)
    return faults


def secret_file_faults(path: Path) -> list[str]:
    """Secrets in a file that others may read: they belong into the environment, or into a file of mode 0600."""
    secret = {name for name, row in Config.__dataclass_fields__.items() if row.metadata["secret"]}
    try:
        held = sorted(secret & tomllib.loads(path.read_text(encoding="utf-8")).keys())
        mode = path.stat().st_mode & 0o777
    except (OSError, ValueError):
        return []  # the settings' own reader says what is wrong with the file
    if held and mode & 0o077:
        return [
            f"{path}: holds {', '.join(held)} and has mode {mode:04o}: allowed: mode 0600, or environment variables"
        ]
    return []


def _half_on(config: Config) -> frozenset[str]:
    """Aliyun's key serves two products; without a word about SMS it was given for calls alone."""
    only_voice = (
        config.aliyun_voice_template and not config.aliyun_sign_name and not any(sms_codes(config, "aliyun").values())
    )
    return frozenset({"aliyun_sms"}) if only_voice else frozenset()


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://")) and len(text.partition("://")[2]) > 0


def _callback_faults(config: Config) -> list[str]:
    if not (config.wecom_callback_key and config.wecom_callback_token and config.wecom_corp_id):
        return ["wecom_callback_token, wecom_callback_key: allowed: both, together with wecom_corp_id"]
    try:
        CallbackCrypto(config.wecom_callback_token, config.wecom_callback_key, config.wecom_corp_id)
    except ValueError as error:
        return [str(error)]
    return []
