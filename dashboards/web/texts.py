"""Every text of the console, Chinese and English, from one table."""

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

__all__ = ["LANGUAGES", "Texts", "load_texts", "texts_in"]

LANGUAGES = ("zh", "en")


class Texts:
    """Texts of one language. Call with a key and the values its braces name."""

    def __init__(self, language: str, table: Mapping[str, str]) -> None:
        self.language = language
        self._table = table

    def __call__(self, key: str, /, **values: object) -> str:
        """Text of a key.

        Raises
        ------
        KeyError
            If the table has no such key: a programming error, caught by the test that looks up every key in use.
        """
        text = self._table[key]
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Whether the table has the key."""
        return key in self._table

    @property
    def html_lang(self) -> str:
        """BCP 47 tag for the page."""
        return "zh-CN" if self.language == "zh" else "en-US"


@cache
def load_texts() -> dict[str, dict[str, str]]:
    """Table as ``{language: {key: text}}``."""
    lines = files("dashboards.web").joinpath("texts.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    return {language: {row["key"]: row[language] for row in rows} for language in LANGUAGES}


def texts_in(language: str) -> Texts:
    """Texts of a language; Chinese for any word that is not a language of ours."""
    language = language if language in LANGUAGES else LANGUAGES[0]
    return Texts(language, load_texts()[language])
