"""The outcome of a backtest as a table for people."""

from zoneinfo import ZoneInfo

from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.findings import Finding
from qingquan.services.backtest import Backtest, Verdicts

__all__ = ["backtest_text"]

MOST_LINES = 200


def backtest_text(done: Backtest, config: Config) -> str:
    """Totals, alarms by rule, what is new and gone, and the alarms themselves."""
    zone = ZoneInfo(config.time_zone)
    is_compared = done.tried is not done.in_force
    days = (done.end - done.start) / 86_400_000
    lines = [
        f"{done.county}/{done.works}: {days:g} 天 days, 序列 series {done.series}, 读数 readings {done.readings:,}, "
        f"用时 took {done.took_s:.2f} s",
        _summary("现行 in force", done.in_force),
    ]
    if is_compared:
        lines.append(_summary("试用 tried", done.tried))
    lines += _by_rule(done, is_compared)
    for rule in done.tried.without_instruments:
        lines.append(f"    {rule}: 该工程无所需仪表，不适用 the works has not the instruments for it")
    if is_compared:
        for title, found in (("新增 new", done.new), ("消失 gone", done.gone)):
            lines += [f"{title}: {len(found)}", *_lines(found, zone)]
    else:
        lines += _lines(done.tried.alarms, zone)
    return "\n".join(lines)


def _summary(title: str, verdicts: Verdicts) -> str:
    return (
        f"{title} {verdicts.version}（{verdicts.source}）: 会告警 would have alarmed {len(verdicts.alarms)} 次 times"
        f" | 数据中断 silences {verdicts.silences} | 无法评判 not evaluated {verdicts.not_evaluated}"
        f" | 运行错误 rule errors {verdicts.rule_errors}"
    )


def _by_rule(done: Backtest, is_compared: bool) -> list[str]:
    totals: dict[str, list[int]] = {}
    for place, verdicts in enumerate((done.in_force, done.tried)):
        for one in verdicts.alarms:
            totals.setdefault(one.rule, [0, 0])[place] += 1
    return [
        f"    {rule}: {was} -> {now}" if is_compared else f"    {rule}: {now}"
        for rule, (was, now) in sorted(totals.items(), key=lambda item: -max(item[1]))
    ]


def _lines(found: tuple[Finding, ...], zone: ZoneInfo) -> list[str]:
    lines = [
        f"    {_time(one.start, zone)} .. {_time(one.end, zone)}  {one.severity.word:8}  {one.rule}  {one.point}/{one.parameter}  "
        f"{one.reason}"
        for one in found[:MOST_LINES]
    ]
    more = len(found) - MOST_LINES
    return [*lines, f"    … 另有 {more} 条 more: --json"] if more > 0 else lines


def _time(ms: int | None, zone: ZoneInfo) -> str:
    return "持续中 lasts        " if ms is None else from_ms(ms).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
