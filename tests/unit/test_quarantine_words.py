"""What is wrong with a message is told to Chinese readers in Chinese."""

import re

import pytest

from dashboards.web.quarantine_words import detail_words
from ingest.decode import MAX_PAYLOAD, Decoder, PointDirectory
from qingquan.domain.readings import LogMessage, SeriesCatalog
from qingquan.standards.loader import load_standards
from qingquan.testing.alerts import example_works

RECEIVED = 1_777_593_630_000
OUTLET = "part.3.wq.520425.W0077.outlet.json"


@pytest.mark.parametrize(
    ("payload", "said", "subject"),
    [
        (b"", "报文为空", OUTLET),
        (b'"hello"', "应为对象或对象列表，实为文本", OUTLET),
        (b"[]", "列表为空", OUTLET),
        (b'{"t":1777593600,"v":{}}', "没有数值", OUTLET),
        (b'{"t":1777593600,"v":[1]}', "应为数值对象，实为列表", OUTLET),
        (b'{"t":"yesterday","v":{"ph":7}}', "'yesterday'不是 ISO 8601 日期时间", OUTLET),
        (b'{"t":[1],"v":{"ph":7}}', "时间应为 ISO 8601 文本，或秒、毫秒时间戳（类型 list）", OUTLET),
        (b'{"t":1777600000,"v":{"ph":7}}', "比接收时间超前6370秒", OUTLET),
        (b'{"t":0,"v":{"ph":7}}', "时间戳0毫秒，早于可接受的最早时间946684800000", OUTLET),
        (b'{"t":1777593600,"v":{"ph":"abc"}}', "ph 的值'abc'不是数值", OUTLET),
        (b'{"t":1777593600,"v":{"ph":"Infinity"}}', "ph 的值'Infinity'不是有限数", OUTLET),
        (b'{"t":1777593600,"v":{"unobtainium":1}}', "'unobtainium'不是在线指标", OUTLET),
        (b'{"t":1777593600,"v":{"ph":7},"u":"furlong"}', "单位'furlong'不能换算为pH unit", OUTLET),
        (b" " * (MAX_PAYLOAD + 1), f"{MAX_PAYLOAD + 1}字节，最多{MAX_PAYLOAD}字节", OUTLET),
        (b"{}", "台账中区县520425没有工程'W9999'", "part.3.wq.520425.W9999.outlet.json"),
        (b"{}", "区县520425的工程W0077没有采样点'kitchen'", "part.3.wq.520425.W0077.kitchen.json"),
        (b"{}", "'xml'；已支持：json", "part.3.wq.520425.W0077.outlet.xml"),
        (b"{}", "工程编码'水厂'不合规：1到64个字符，限 A-Z a-z 0-9 _ -", "part.3.wq.520425.水厂.outlet.json"),
        (b"{}", "区划代码'52'不是6位数字（GB/T 2260）", "part.3.wq.52.W0077.outlet.json"),
    ],
)
def test_what_the_door_says_is_told_in_both_languages(payload: bytes, said: str, subject: str) -> None:
    decoder = Decoder(
        PointDirectory((example_works(),)), SeriesCatalog(), load_standards().parameters,
        earliest_ms=946_684_800_000, future_tolerance_ms=300_000,
    )  # fmt: skip
    (refused,) = decoder.decode([LogMessage(7, RECEIVED, subject, payload)]).quarantined
    assert detail_words(refused.detail, "zh") == said
    assert re.search("[\u4e00-\u9fff]", detail_words(refused.detail, "en").replace("水厂", "")) is None


def test_a_parser_s_own_words_stay() -> None:
    assert detail_words("Expecting ',' delimiter: line 1", "zh") == "Expecting ',' delimiter: line 1"
