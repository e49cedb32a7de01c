"""TC3-HMAC-SHA256, the request signature of Tencent Cloud. Pure.

References
----------
.. [1] Tencent Cloud, "Signature v3"; signed headers are ``content-type`` and ``host``.
"""

import hashlib
import hmac

from qingquan.clock import from_ms

__all__ = ["ALGORITHM", "CONTENT_TYPE", "tc3_authorization"]

ALGORITHM = "TC3-HMAC-SHA256"
CONTENT_TYPE = "application/json"
_SIGNED = "content-type;host"


def tc3_authorization(secret_id: str, secret_key: str, service: str, host: str, timestamp_s: int, body: bytes) -> str:
    """Value of the ``Authorization`` header of a POST to ``/``."""
    day = f"{from_ms(timestamp_s * 1000):%Y-%m-%d}"
    scope = f"{day}/{service}/tc3_request"
    request = "\n".join(
        ("POST", "/", "", f"content-type:{CONTENT_TYPE}\nhost:{host}\n", _SIGNED, hashlib.sha256(body).hexdigest())
    )
    text = "\n".join((ALGORITHM, str(timestamp_s), scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"TC3{secret_key}".encode()
    for part in (day, service, "tc3_request"):
        key = _hmac(key, part)
    return f"{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={_SIGNED}, Signature={_hmac(key, text).hex()}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
