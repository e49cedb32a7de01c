"""A buffer that is being uploaded is old, but its device is not silent; the words of a lasting silence do not age."""

import pytest

from qingquan.domain.findings import Finding, FindingKind
from qingquan.services.folds import Fold
from qingquan.services.silence import SETTLED_MS, Silence
from qingquan.standards.loader import load_standards
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of

DAY = 1440 * MINUTE
STALE_MIN = 15


class Upload:
    """A works whose readings of a day ago come in, minute by minute, ``every_s`` seconds of our clock apart."""

    def __init__(self, language: str = "zh") -> None:
        works = make_works("A", ("free_chlorine",))
        self.works = {(works.county, works.id): works}
        self.account = Account(plan_of(works))
        self.fold = Fold(0, self.account.plan, self.account.state)
        self.silence = Silence(load_standards().parameters, language)
        self.now = START + DAY

    def come(self, minutes: range, every_ms: int) -> list[Finding]:
        """One reading after another, each followed by a look; the silences said."""
        said: list[Finding] = []
        for minute in minutes:
            self.account.feed([Row(0, START + minute * MINUTE, 0.4)])
            said += self.look(every_ms)
        return said

    def look(self, after_ms: int) -> list[Finding]:
        """Look once, ``after_ms`` later; the silences said."""
        self.now += after_ms
        self.silence.listen(self.fold, self.now)
        return self.silence.changes(self.fold, self.now, self.works)


def test_nothing_is_called_silent_while_old_readings_come_in() -> None:
    upload = Upload()
    upload.silence.listen(upload.fold, upload.now)
    assert upload.come(range(60), 1000) == []


def test_once_nothing_more_comes_the_silence_begins_with_the_last_reading() -> None:
    upload = Upload()
    upload.silence.listen(upload.fold, upload.now)
    upload.come(range(60), 1000)
    looks = [upload.look(1000) for _ in range(SETTLED_MS // 1000 + 1)]
    said = [one for look in looks for one in look]
    assert [(one.kind, one.start, one.end) for one in said] == [(FindingKind.STALE, START + 59 * MINUTE, None)]
    assert looks[0] == []


def test_a_device_whose_clock_is_hours_behind_is_still_called_silent_between_two_readings() -> None:
    upload = Upload()
    upload.silence.listen(upload.fold, upload.now)
    said = upload.come(range(3), 1000) + [one for _ in range(60) for one in upload.look(1000)]
    assert len(said) == 1


def test_rare_looks_keep_nothing_from_being_called_silent() -> None:
    upload = Upload()
    upload.silence.listen(upload.fold, upload.now)
    assert len(upload.come(range(1, 3), 2 * SETTLED_MS)) == 1


@pytest.mark.parametrize(("language", "words"), [("zh", "已超过15分钟"), ("en", "more than 15 min")])
def test_a_lasting_silence_says_the_same_whenever_it_is_first_seen(language: str, words: str) -> None:
    reasons = set()
    for later in (STALE_MIN + 1, 300, 5000):
        upload = Upload(language)
        upload.account.feed([Row(0, START, 0.4)])
        upload.now = START
        (said,) = upload.look(later * MINUTE)
        reasons.add(said.reason)
    assert len(reasons) == 1
    assert words in reasons.pop()
