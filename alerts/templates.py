"""The SMS templates as data: what a provider has approved, which variables each has, and how long they may be."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["SmsTemplate", "load_templates"]


@dataclass(frozen=True, slots=True)
class SmsTemplate:
    """An approved text with ``${variables}``; ``lengths`` are the most characters each may have."""

    name: str
    text: str
    text_en: str
    lengths: dict[str, int]

    def rendered(self, params: dict[str, str], language: str = "zh") -> str:
        """The text as the phone shows it, without signature; a variable not given stays visible as ``${name}``."""
        text = self.text_en if language == "en" else self.text
        for name, value in params.items():
            text = text.replace("${" + name + "}", value)
        return text


@cache
def load_templates() -> dict[str, SmsTemplate]:
    """Templates by name: ``alarm``, ``recovery``, and ``plain`` which has no variables and is the fallback."""
    table = tomllib.loads(files("alerts").joinpath("sms_templates.toml").read_text(encoding="utf-8"))
    return {name: SmsTemplate(name, row["text"], row["text_en"], row["lengths"]) for name, row in table.items()}
