"""Signatures of the group robots that ask for one. Pure.

DingTalk and Feishu sign the same two words in opposite roles: DingTalk's key is the secret, Feishu's is time and secret, over
nothing at all.
"""

import base64
import hashlib
import hmac

__all__ = ["dingtalk_sign", "feishu_sign"]


def dingtalk_sign(secret: str, timestamp_ms: int) -> str:
    """Value of ``sign`` beside ``timestamp`` [ms] in the query, before it is percent-encoded."""
    text = f"{timestamp_ms}\n{secret}".encode()
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


def feishu_sign(secret: str, timestamp_s: int) -> str:
    """Value of ``sign`` beside ``timestamp`` [s, as text] in the body."""
    key = f"{timestamp_s}\n{secret}".encode()
    return base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()
