"""What was wrong with a message, for Chinese readers. The log, the API and the stored row keep it as the door said it."""

import re

__all__ = ["detail_words"]

_WORKS_CHARACTERS = "1到64个字符，限 A-Z a-z 0-9 _ -"
_KINDS = {
    "an object": "对象",
    "a list": "列表",
    "text": "文本",
    "a truth value": "真假值",
    "nothing": "空",
    "a number": "数值",
}
_NAMES = {"county": "区划代码", "works": "工程编码", "point": "采样点", "dialect": "报文格式"}
_SAID: tuple[tuple[str, str], ...] = (
    (r"(\d+) s ahead of its receipt", "比接收时间超前{0}秒"),
    (r"(-?\d+) ms since 1970 is before (\d+)", "时间戳{0}毫秒，早于可接受的最早时间{1}"),
    (r"(\d+) bytes; at most (\d+).*", "{0}字节，最多{1}字节"),
    (r"('.*'); known are (.*)", "{0}；已支持：{1}"),
    (r"works (.*) of county (\d+) has no point (.*)", "区县{1}的工程{0}没有采样点{2}"),
    (r"county (\d+) has no works (.*) in the register", "台账中区县{0}没有工程{1}"),
    (r"(.*) is no online parameter", "{0}不是在线指标"),
    (r"(.*) is given twice, in different letter case", "{0}重复出现，仅大小写不同"),
    (r"unit (.*) cannot be brought to (.*)", "单位{0}不能换算为{1}"),
    (r"(\d+) more parts of this message were refused", "该报文另有{0}处被拒收"),
    (r"expected a quality code or an object of codes, a list found", "质量码应为代码或代码对象，实为列表"),
    (r"expected a unit or an object of units", "单位应为文本或单位对象"),
    (r"expected an object or a list of objects, (.*) found", "应为对象或对象列表，实为{0}"),
    (r"expected an object of values, (.*) found", "应为数值对象，实为{0}"),
    (r"expected an object, (.*) found", "应为对象，实为{0}"),
    (r"county (.*) is not a 6-digit code \(GB/T 2260\)", "区划代码{0}不是6位数字（GB/T 2260）"),
    (r"(county|works|point|dialect) (.*): allowed are 1 to 64 of .*", "{0}{1}不合规：" + _WORKS_CHARACTERS),
    (r"expected (wq/.*|part\..*)", "主题应为 {0}"),
    (r"the payload is empty", "报文为空"),
    (r"not UTF-8 at byte (\d+)", "第{0}字节起不是 UTF-8"),
    (r"nested too deeply", "嵌套过深"),
    (r"the list is empty", "列表为空"),
    (r"no values in it", "没有数值"),
    (r"(\d+) objects in one message; at most (\d+)", "一条报文含{0}个对象，最多{1}个"),
    (r"a time is ISO 8601 text or epoch seconds or milliseconds, not (.*)", "时间应为 ISO 8601 文本，或秒、毫秒时间戳（类型 {0}）"),
    (r"(.*) is not a date and time in ISO 8601", "{0}不是 ISO 8601 日期时间"),
    (r"(.*) has no offset, and the works' time zone (.*) is not known", "{0}没有时区，工程的时区{1}也无法识别"),
    (r"(.*) is neither epoch seconds nor milliseconds", "{0}既不是秒也不是毫秒时间戳"),
    (r"(.*) for (\w+): expected a number", "{1} 的值{0}不是数值"),
    (r"(.*) for (\w+)", "{1} 的值{0}不是有限数"),
)  # fmt: skip
_TABLE = tuple((re.compile(pattern, re.DOTALL), words) for pattern, words in _SAID)


def detail_words(detail: str, language: str) -> str:
    """The detail in a language; what is not in the table (a parser's own words) stays as it was said."""
    if language != "zh":
        return detail
    for pattern, words in _TABLE:
        if match := pattern.fullmatch(detail):
            return words.format(*(_KINDS.get(part, _NAMES.get(part, part)) for part in match.groups()))
    return detail
