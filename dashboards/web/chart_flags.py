"""Flagged readings on a chart: grey points whose name in the tooltip says which tests are behind the flag. Pure."""

from collections import defaultdict

from dashboards.web.texts import Texts
from qingquan.domain.flags import Flag
from qingquan.domain.quality import Flagged, QualityTest, test_names
from qingquan.store.ports import Trend

__all__ = ["flag_words", "flagged_points"]

GREY, FAILED = "#8b979e", "#4c5f69"
MOST_NAMES = 12
_TELLING = int(QualityTest.GAP | QualityTest.OUT_OF_ORDER | QualityTest.DUPLICATE | QualityTest.MISSING)


def flag_words(flag: int, tests: int, t: Texts) -> str:
    """``可疑：变化过快、检修/校准中``"""
    names = [t(f"quality.{name}") for name in test_names(tests & ~_TELLING)]
    return f"{t(f'flag.{flag}')}{t('quality.colon')}{t('quality.and').join(names)}" if names else t(f"flag.{flag}")


def flagged_points(trend: Trend, flagged: Flagged, shift: int, t: Texts) -> list[dict[str, object]]:
    """One series of points for each set of tests; a reading that passed has none.

    ``trend`` holds raw readings, ``shift`` [ms] is added to their times.
    """
    found: dict[tuple[int, int], list[list[float]]] = defaultdict(list)
    values = trend.columns["value"].tolist()
    rows = zip(trend.observed_at.tolist(), values, flagged.flag.tolist(), flagged.tests.tolist(), strict=True)
    for at, value, flag, tests in rows:
        if flag in (Flag.SUSPECT, Flag.FAIL) and value == value:
            found[flag, tests & ~_TELLING].append([at + shift, value])
    most = sorted(found, key=lambda one: -len(found[one]))[:MOST_NAMES]
    return [
        {
            "name": flag_words(flag, tests, t), "type": "scatter", "symbolSize": 5, "animation": False, "z": 4,
            "itemStyle": {"color": FAILED if flag == Flag.FAIL else GREY}, "data": found[flag, tests],
        }
        for flag, tests in most
    ]  # fmt: skip
