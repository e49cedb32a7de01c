"""The request signature, byte for byte against a vector produced by the provider's own signer."""

import json
from datetime import UTC, datetime

from alerts.channels.acs3 import authorization, canonical_query, canonical_request
from alerts.channels.aliyun import signed_headers
from qingquan.clock import to_ms

PARAMS = {
    "TemplateParam": json.dumps(
        {"station": "城东水厂", "item": "浊度", "value": "1.32", "time": "09:05"},
        ensure_ascii=False,
        separators=(",", ":"),
    ),
    "PhoneNumbers": "13800000001",
    "OutId": "alm-20261123-0001",
    "SignName": "示例县水务",
    "TemplateCode": "SMS_000000001",
}
AT = to_ms(datetime(2026, 11, 23, 1, 5, tzinfo=UTC))
NONCE = "3156853299f313e23d1673dc12e1703d"


def test_the_signature_equals_the_providers_vector() -> None:
    signed = signed_headers("dysmsapi.aliyuncs.com", "SendSms", AT, NONCE)
    request = canonical_request("POST", "/", PARAMS, signed)
    assert authorization("testAk", "testSecret", request, signed) == (
        "ACS3-HMAC-SHA256 Credential=testAk,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-signature-nonce;x-acs-version,Signature=9e8f5a53c2811356a9fcfdf7b81f2f978e9ac5d4f22e700350e9a638f8cd46e0"
    )


def test_the_canonical_request_is_the_one_of_the_vector() -> None:
    signed = signed_headers("dysmsapi.aliyuncs.com", "SendSms", AT, NONCE)
    assert canonical_request("POST", "/", PARAMS, signed) == (
        "POST\n/\n"
        "OutId=alm-20261123-0001&PhoneNumbers=13800000001&SignName=%E7%A4%BA%E4%BE%8B%E5%8E%BF%E6%B0%B4%E5%8A%A1&"
        "TemplateCode=SMS_000000001&TemplateParam=%7B%22station%22%3A%22%E5%9F%8E%E4%B8%9C%E6%B0%B4%E5%8E%82%22%2C%22item"
        "%22%3A%22%E6%B5%8A%E5%BA%A6%22%2C%22value%22%3A%221.32%22%2C%22time%22%3A%2209%3A05%22%7D\n"
        "host:dysmsapi.aliyuncs.com\nx-acs-action:SendSms\n"
        "x-acs-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
        "x-acs-date:2026-11-23T01:05:00Z\nx-acs-signature-nonce:3156853299f313e23d1673dc12e1703d\n"
        "x-acs-version:2017-05-25\n\n"
        "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version\n"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_only_unreserved_characters_stay_unencoded() -> None:
    assert canonical_query({"b": "a b+c*/~", "a": "-_."}) == "a=-_.&b=a%20b%2Bc%2A%2F~"
