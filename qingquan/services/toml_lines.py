"""On which line of a TOML file a key stands: for messages that name the place, which the standard parser does not keep."""

from dataclasses import dataclass, field

__all__ = ["lines_of"]

_BARE_END = " \t=.]\r\n"


def lines_of(text: str) -> dict[str, int]:
    """Line (from 1) by path, as ``rule[0].when.all[1].signal``. The text must be valid TOML."""
    scan = _Scan(text)
    scan.document()
    return scan.lines


@dataclass(slots=True)
class _Scan:
    """Walks text that the real parser has accepted, so it need not recognise faults."""

    text: str
    at: int = 0
    lines: dict[str, int] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def document(self) -> None:
        prefix = ""
        while self._skip():
            if self.text.startswith("[[", self.at):
                self.at += 2
                name = self._key_path()
                number = self._counts[name] = self._counts.get(name, -1) + 1
                prefix = f"{self._inside(name)}[{number}]"
                self._note(prefix)
                self.at += 2
            elif self.text[self.at] == "[":
                self.at += 1
                prefix = self._inside(self._key_path())
                self._note(prefix)
                self.at += 1
            else:
                self._pair(prefix)

    def _inside(self, name: str) -> str:
        """A header's path with the number of the table of an array that it belongs to: ``rule.when`` -> ``rule[2].when``."""
        parts = name.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            head = ".".join(parts[:cut])
            if head in self._counts:
                return ".".join((f"{self._inside(head)}[{self._counts[head]}]", *parts[cut:]))
        return name

    def _note(self, path: str) -> None:
        self.lines.setdefault(path, self.text.count("\n", 0, self.at) + 1)

    def _skip(self, marks: str = "") -> bool:
        """Past blanks, line ends, comments and ``marks``; whether anything is left."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in " \t\r\n" + marks:
                self.at += 1
            else:
                return True
        return False

    def _key_path(self) -> str:
        parts = []
        while True:
            self._skip()
            if self.text[self.at] in "\"'":
                first = self.at + 1
                self._string()
                parts.append(self.text[first : self.at - 1])
            else:
                first = self.at
                while self.text[self.at] not in _BARE_END:
                    self.at += 1
                parts.append(self.text[first : self.at])
            self._skip()
            if self.text[self.at] != ".":
                return ".".join(parts)
            self.at += 1

    def _pair(self, prefix: str) -> None:
        first = self.at
        name = self._key_path()
        path = f"{prefix}.{name}" if prefix else name
        end, self.at = self.at, first
        self._note(path)
        self.at = end + 1
        self._value(path)

    def _value(self, path: str) -> None:
        self._skip()
        mark = self.text[self.at]
        if mark in "\"'":
            self._string()
        elif mark == "[":
            self.at += 1
            number = 0
            while self._skip(",") and self.text[self.at] != "]":
                self._note(f"{path}[{number}]")
                self._value(f"{path}[{number}]")
                number += 1
            self.at += 1
        elif mark == "{":
            self.at += 1
            while self._skip(",") and self.text[self.at] != "}":
                self._pair(path)
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\r\n":
                self.at += 1

    def _string(self) -> None:
        mark = self.text[self.at]
        quote = mark * 3 if self.text.startswith(mark * 3, self.at) else mark
        self.at += len(quote)
        while not self.text.startswith(quote, self.at):
            self.at += 2 if self.text[self.at] == "\\" and mark == '"' else 1
        self.at += len(quote)
        # A string of three quotation marks may end in one or two more.
        while len(quote) == 3 and self.at < len(self.text) and self.text[self.at] == mark:
            self.at += 1
