"""The result of `qingquan bench truth`: what was injected, what was found and how late, as a table, text or JSON."""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass

__all__ = ["KindRow", "TruthTable", "table_text"]

KIND_WORDS = {
    "dosing_stop": "投加停止 dosing stopped",
    "tank_empty": "药液用尽 disinfectant ran out",
    "natural": "无故障失效 loss without a fault",
    "no_sample_flow, with switch": "取样断流，有流量开关 no sample flow, flow switch",
    "no_sample_flow, no switch": "取样断流，无流量开关 no sample flow, no switch",
    "sensor_flatline": "读数不变 stuck sensor",
    "sensor_offset": "读数偏移 sensor offset",
    "turbidity_breakthrough": "浊度穿透 turbidity breakthrough",
    "power_cut": "停电 power cut",
    "link_loss": "通信中断 link lost",
    "wrong_clock": "时钟错误 wrong clock",
}
HEAD = (
    ("故障", "注入", "失效", "判出", "及时", "中位时延", "最长时延", "误报缺失"),
    ("fault", "injected", "lost", "found", "in time", "median delay", "longest", "false MISSING"),
)
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class KindRow:
    """One line. Delays [min] run from the true loss for losses, from the fault for the rest; negative = said before.

    ``lost``: how often the water itself lost its disinfectant. ``in_time`` is ``None`` where no time is promised: for all but losses.
    """

    kind: str
    injected: int
    lost: int
    found: int
    in_time: int | None
    median_delay_min: float | None
    longest_delay_min: float | None
    false_missing: int


@dataclass(frozen=True, slots=True)
class TruthTable:
    """All kinds; losses not found in time, and MISSING said where no dosing stopped, a line each."""

    works: int
    hours: float
    seed: int
    readings: int
    rows: tuple[KindRow, ...]
    missed: tuple[str, ...]
    false: tuple[str, ...]

    @property
    def false_missing(self) -> int:
        """MISSING findings on works that neither stopped dosing nor lost their disinfectant."""
        return len(self.false)

    def to_json(self) -> str:
        """The same facts for a script."""
        return json.dumps(asdict(self), ensure_ascii=False)


def table_text(table: TruthTable) -> str:
    """The table as people read it in a terminal, Chinese and English."""
    rows = sorted(table.rows, key=lambda row: list(KIND_WORDS).index(row.kind))
    cells = [*HEAD, *(_cells(row) for row in rows)]
    lines = [
        f"工程 works {table.works}，{table.hours:g} h，读数 readings {table.readings}，种子 seed {table.seed}",
        "",
        *_aligned(cells),
        "",
        *_list("未及时判出的失效 losses not found in time", table.missed),
        *_list("误报的消毒缺失 false MISSING", table.false),
    ]
    return "\n".join(lines)


def _cells(row: KindRow) -> tuple[str, ...]:
    return (
        KIND_WORDS[row.kind], str(row.injected), str(row.lost) if row.lost else NOTHING, str(row.found),
        NOTHING if row.in_time is None else str(row.in_time), _minutes(row.median_delay_min), _minutes(row.longest_delay_min),
        str(row.false_missing) if row.false_missing else NOTHING,
    )  # fmt: skip


def _minutes(delay: float | None) -> str:
    return NOTHING if delay is None else f"{delay:g} min"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(cell, widths[n], n == 0) for n, cell in enumerate(row)).rstrip() for row in rows]


def _list(head: str, lines: Sequence[str]) -> list[str]:
    return [f"{head}: {len(lines)}", *(f"  {line}" for line in lines)]


def _padded(text: str, width: int, is_left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if is_left else space + text


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
