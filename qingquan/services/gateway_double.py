"""DEVELOPMENT AND DEMONSTRATION ONLY: serves the gateway double where the settings expect WeCom and Aliyun to be.

It listens on this machine alone and refuses to stand in for anything that is not.
"""

import secrets
import signal
from base64 import b64encode
from dataclasses import replace
from urllib.parse import urlsplit

import structlog
import uvicorn

from alerts.channels.build import sms_codes
from alerts.channels.http import is_loopback
from alerts.channels.wecom_crypto import CallbackCrypto
from alerts.double import Account, GatewayDouble
from alerts.double_answers import WaysBack
from alerts.templates import load_templates
from qingquan.config import Config
from qingquan.errors import ConfigurationError

__all__ = ["account_of", "demonstration_settings", "run", "ways_back"]

_log = structlog.get_logger("gateway_double")


def demonstration_settings(config: Config, port: int) -> Config:
    """The settings with both channels led to a double on ``port`` of this machine, and made-up credentials."""
    url = f"http://127.0.0.1:{port}"
    return replace(
        config,
        wecom_url=url,
        wecom_robot_key="demonstration-robot",
        aliyun_sms_url=url,
        aliyun_key_id="demonstration-id",
        aliyun_key_secret="demonstration-secret",  # noqa: S106  # opens nothing but the double
        aliyun_sign_name="清泉演示",
        aliyun_template_alarm="SMS_100000001",
        aliyun_template_alarm_reply="SMS_100000005",
        receipts_token=config.receipts_token or secrets.token_urlsafe(18),
        aliyun_template_recovery="SMS_100000002",
        aliyun_template_plain="SMS_100000003",
        aliyun_template_several="SMS_100000004",
        aliyun_voice_url=url,
        aliyun_voice_template="TTS_100000001",
        wecom_corp_id="ww0123456789abcdef",
        wecom_agent_id="1000002",
        wecom_app_secret="demonstration-secret",  # noqa: S106  # opens nothing but the double
        wecom_callback_token=config.wecom_callback_token or secrets.token_hex(8),
        wecom_callback_key=config.wecom_callback_key or b64encode(secrets.token_bytes(32)).decode().rstrip("="),
        wechat_url=url,
        wechat_app_id="wx0123456789abcdef",
        wechat_app_secret="demonstration-secret",  # noqa: S106
        wechat_template="demonstration-template",
        tencent_sms_url=url,
        tencent_secret_id="demonstration-id",  # noqa: S106
        tencent_secret_key="demonstration-secret",  # noqa: S106
        tencent_app_id="1400000000",
        tencent_sign_name="清泉演示",
        tencent_template_alarm="100001",
        tencent_template_recovery="100002",
        tencent_template_plain="100003",
        tencent_template_several="100004",
        dingtalk_url=url,
        dingtalk_token="demonstration-token",  # noqa: S106
        dingtalk_secret="SECdemonstration",  # noqa: S106
        feishu_url=url,
        feishu_hook="demonstration-hook",
        feishu_secret="demonstration-secret",  # noqa: S106
        webhook_url=f"{url}/webhook",
        webhook_secret="demonstration-secret",  # noqa: S106
    )


def account_of(config: Config) -> Account:
    """What the double has registered: the credentials of the settings and our own template texts."""
    templates = load_templates()
    texts = {name: one.text_en if config.language == "en" else one.text for name, one in templates.items()}
    aliyun, tencent = sms_codes(config, "aliyun"), sms_codes(config, "tencent")
    group = "County duty group" if config.language == "en" else "县级值班群"
    return Account(
        {config.wecom_robot_key: group} if config.wecom_robot_key else {},
        config.aliyun_key_id, config.aliyun_key_secret, config.aliyun_sign_name,
        {code: texts[name] for name, code in aliyun.items() if code},
        config.aliyun_voice_template, texts["voice"], config.wecom_corp_id, config.wecom_agent_id, config.wecom_app_secret,
        config.wechat_app_id, config.wechat_app_secret, config.wechat_template, config.tencent_secret_id,
        config.tencent_secret_key, config.tencent_app_id, config.tencent_sign_name,
        {code: templates[name].numbered(config.language) for name, code in tencent.items() if code},
        (config.dingtalk_token, config.dingtalk_secret), (config.feishu_hook, config.feishu_secret), config.webhook_secret,
    )  # fmt: skip


def ways_back(config: Config) -> WaysBack:
    """How answers given on the double's phones come to our console."""
    given = config.wecom_callback_token, config.wecom_callback_key, config.wecom_corp_id
    crypto = CallbackCrypto(*given) if all(given) else None
    return WaysBack(f"http://{config.web_host}:{config.web_port}", crypto, config.receipts_token)


def run(config: Config) -> int:
    """Serve at ``wecom_url`` until SIGTERM or SIGINT; exit status 0.

    Raises
    ------
    ConfigurationError
        If ``wecom_url`` and ``aliyun_sms_url`` are not one address with a port of this machine.
    """
    address = urlsplit(config.wecom_url)
    if config.wecom_url != config.aliyun_sms_url or not is_loopback(config.wecom_url) or not address.port:
        raise ConfigurationError(
            [f"wecom_url = {config.wecom_url!r}, aliyun_sms_url = {config.aliyun_sms_url!r}: for the gateway double, allowed: "
             "the same http://127.0.0.1:port in both"]
        )  # fmt: skip
    double = GatewayDouble(account_of(config), ways=ways_back(config))
    served = uvicorn.Config(
        double.app, host=address.hostname or "127.0.0.1", port=address.port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    # uvicorn raises the signal that ended it once more: it has been obeyed by then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(served)
    _log.info("gateway_double_started", url=config.wecom_url)
    server.run()
    return 0
