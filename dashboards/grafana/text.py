"""Two languages; Chinese comes first."""

__all__ = ["LANGUAGES", "Words", "uid_of"]

LANGUAGES = ("zh", "en")


class Words:
    """Picks the text of one language: ``words("中文", "English")``."""

    __slots__ = ("language",)

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ValueError(f"language {language!r}: allowed: {', '.join(LANGUAGES)}")
        self.language = language

    def __call__(self, zh: str, en: str) -> str:
        """The text in this language."""
        return zh if self.language == "zh" else en


def uid_of(dashboard: str, language: str) -> str:
    """Address of a dashboard in Grafana; the Chinese one has the short address."""
    return f"qingquan-{dashboard}" + ("" if language == "zh" else f"-{language}")
