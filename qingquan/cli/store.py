"""What the time-series store holds, held against the log."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from qingquan.cli.application import PROBLEMS, group
from qingquan.cli.operations import say
from qingquan.cli.options import AsJson, ConfigFile, DataFolder, settings
from qingquan.clock import from_ms

if TYPE_CHECKING:
    from qingquan.services.store_differences import Difference
    from qingquan.services.store_verify import Verified

__all__ = ["document", "lines"]

store = group("store", "时序库 · The time-series store")

SHOWN = 50
KINDS = {
    "missing": "日志有、库中无 missing",
    "value": "数值不符 other value",
    "conflict": "冲突值未留存 conflict not kept",
    "extra": "库中有、日志无 extra",
}


@store.command("verify")
def verify_store(
    as_json: AsJson = False,
    most: Annotated[int, typer.Option("--most", min=1, help="differences shown; with --json all are")] = SHOWN,
    data: DataFolder = None,
    config_file: ConfigFile = None,
) -> None:
    """核对 · Compare log, store and counts while everything runs; exit status 1 if anything differs."""
    from qingquan.services.store_verify import verify

    found = verify(settings(config_file, data_dir=data), say)
    print(json.dumps(document(found), ensure_ascii=False) if as_json else "\n".join(lines(found, most)))
    raise typer.Exit(0 if found.is_equal else PROBLEMS)


def document(found: "Verified") -> dict[str, object]:
    """What was found, as JSON."""
    log = found.log
    return {
        "equal": found.is_equal,
        "log": {"first": log.first, "last": log.last, "covered": found.covered, "not_covered": log.last - found.covered},
        "is_whole": found.is_whole,
        "compared": {
            "messages": found.messages,
            "refused": found.refused,
            "readings": found.rows.rows,
            "identities": found.rows.identities,
            "duplicates": found.rows.rows - found.rows.doubtful - found.rows.values,
            "conflicts": found.rows.values - found.rows.identities,
            "left_out": found.rows.doubtful,
            "series": found.series,
        },
        "parameters": {
            name: {"log": found.logged[name], "store": found.stored[name]} for name in sorted(found.logged)
        },
        "checksum": {"log": f"{found.log_checksum % 2**64:016x}", "store": f"{found.store_checksum % 2**64:016x}"},
        "store": asdict(found.counts),
        "quarantined": found.quarantined,
        "differences": [_row(one) for one in found.differences],
        "wrong_totals": found.wrong_totals,
        "lost_refusals": [
            {"sequence": sequence, "position": position, "reason": reason}
            for sequence, position, reason in found.lost_refusals
        ],
    }  # fmt: skip


def _row(one: "Difference") -> dict[str, object]:
    return {"kind": one.kind, **one.key._asdict(), "from": _time(one.first), "to": _time(one.last), "count": one.count}


def lines(found: "Verified", most: int = SHOWN) -> list[str]:
    """What was found, as people read it."""
    log, rows = found.log, found.rows
    shown = [
        f"日志 log {log.first}–{log.last}，已入库至 recorded to {found.covered}，待入库 waiting {log.last - found.covered}",
        f"已比对 compared: {found.messages} 条 messages，{rows.rows} 个读数 readings，{found.series} 个序列 series；"
        f"已入库 in store: {found.counts.readings}，重复 duplicates {found.counts.duplicates}，"
        f"冲突 conflicts {found.counts.conflicts}，隔离 quarantined {sum(found.quarantined.values())}",
        *(f"  {name}: {found.logged[name]} / {found.stored[name]}" for name in sorted(found.logged)),
        f"校验和 checksum: {found.log_checksum % 2**64:016x} / {found.store_checksum % 2**64:016x}",
    ]
    if rows.doubtful:
        shown.append(
            f"未比对 left out: {rows.doubtful} 个读数 readings（登记表其间有改动，或已过保存期 register changed, or too old）"
        )
    shown += [
        f"{KINDS[one.kind]}: {'/'.join(one.key)} {_time(one.first)} – {_time(one.last)}: {one.count}"
        for one in found.differences[:most]
    ]
    if len(found.differences) > most:
        shown.append(f"… {len(found.differences) - most} 处未列 more (--most, --json)")
    shown += [f"总数不符 totals differ: {line}" for line in found.wrong_totals]
    shown += [
        f"隔离记录缺失 refusal not kept: {n} {position} {reason}" for n, position, reason in found.lost_refusals[:most]
    ]
    return [*shown, "一致 equal" if found.is_equal else "有差异 differences"]


def _time(at_ms: int) -> str:
    return from_ms(at_ms).isoformat(timespec="milliseconds")
