"""ACS3-HMAC-SHA256, the request signature of Aliyun's RPC interfaces. Pure.

References
----------
.. [1] Alibaba Cloud, "Request syntax and signature method V3", parameters in the query, empty body.
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

__all__ = ["ALGORITHM", "authorization", "canonical_query", "canonical_request", "signature"]

ALGORITHM = "ACS3-HMAC-SHA256"


def canonical_query(params: Mapping[str, str]) -> str:
    """Parameters sorted by name and percent-encoded; only RFC 3986 unreserved characters stay as they are."""
    return "&".join(f"{_encoded(name)}={_encoded(params[name])}" for name in sorted(params))


def canonical_request(
    method: str, path: str, params: Mapping[str, str], signed: Mapping[str, str], body: bytes = b""
) -> str:
    """What is signed. ``signed`` are the signed headers: ``host``, ``content-type`` if sent, and all ``x-acs-*``."""
    headers = {name.lower(): value.strip() for name, value in signed.items()}
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    names = ";".join(sorted(headers))
    return "\n".join((method, path, canonical_query(params), lines, names, hashlib.sha256(body).hexdigest()))


def signature(secret: str, request: str) -> str:
    """Hex HMAC of a canonical request."""
    text = f"{ALGORITHM}\n{hashlib.sha256(request.encode()).hexdigest()}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def authorization(key_id: str, secret: str, request: str, signed: Mapping[str, str]) -> str:
    """Value of the ``Authorization`` header."""
    names = ";".join(sorted(name.lower() for name in signed))
    return f"{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature(secret, request)}"


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
