"""The SMS templates as data: what a provider has approved, which variables each has, and how long they may be."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["SmsTemplate", "load_templates", "template_faults"]

WHERE = "alerts/sms_templates.toml"
# What a provider takes at most, and what it refuses anywhere in a text.
TEXT_MOST = 500
_FORBIDDEN = re.compile(r"[【】#『』µμ≥≤→•★※①²³]|https?:|www\.")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class SmsTemplate:
    """An approved text with ``${variables}``; ``lengths`` are the most characters each may have."""

    name: str
    text: str
    text_en: str
    lengths: dict[str, int]

    def rendered(self, params: Mapping[str, str], language: str = "zh") -> str:
        """The text as the phone shows it, without signature; a variable not given stays visible as ``${name}``."""
        text = self.text_en if language == "en" else self.text
        for name, value in params.items():
            text = text.replace("${" + name + "}", value)
        return text

    def numbered(self, language: str = "zh") -> str:
        """The text with its variables by position, ``{1}``, as Tencent has them approved."""
        text = self.text_en if language == "en" else self.text
        for position, name in enumerate(self.lengths, start=1):
            text = text.replace("${" + name + "}", f"{{{position}}}")
        return text


@cache
def load_templates() -> dict[str, SmsTemplate]:
    """Templates by name: ``alarm``, ``recovery``, and ``plain`` which has no variables and is the fallback."""
    table = tomllib.loads(files("alerts").joinpath("sms_templates.toml").read_text(encoding="utf-8"))
    return {name: SmsTemplate(name, row["text"], row["text_en"], row["lengths"]) for name, row in table.items()}


def template_faults() -> list[str]:
    """What a provider would refuse in our texts, one line each; checked when the alerter starts."""
    faults = []
    templates = load_templates()
    if templates["plain"].lengths:
        faults.append(f"{WHERE}: plain: allowed: a text without variables, the fallback of all others")
    for name, one in templates.items():
        for text in (one.text, one.text_en):
            where = f"{WHERE}: {name}: {text!r}"
            found = _VARIABLE.findall(text)
            if set(found) != set(one.lengths) or len(found) != len(set(found)):
                faults.append(f"{where}: allowed variables: each of {sorted(one.lengths)} once")
            if "}${" in text:
                faults.append(f"{where}: allowed: words between any two variables")
            if not _VARIABLE.sub("", text).strip():
                faults.append(f"{where}: allowed: words besides the variables")
            if match := _FORBIDDEN.search(text):
                faults.append(f"{where}: {match[0]!r} is refused by the providers")
            if len(_VARIABLE.sub("", text)) + sum(one.lengths.values()) > TEXT_MOST:
                faults.append(f"{where}: allowed: {TEXT_MOST} characters with all variables at their longest")
    return faults
