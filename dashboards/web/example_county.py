"""A seeded county for developing and testing the console without a running system. Everything in it is invented."""

import math
import random
from dataclasses import dataclass, field

from qingquan.clock import from_ms
from qingquan.domain.delivery import NotSent
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind, Severity, finding_id
from qingquan.domain.incidents import Incident, IncidentEvent, IncidentState, Message, MessageState, TransitionReason
from qingquan.domain.lab import LabOperator, LabResult, LabSample, LabVerdict
from qingquan.domain.readings import Quarantined, QuarantineReason, SeriesKey
from qingquan.domain.state import WorksState
from qingquan.domain.works import Contact, Disinfectant, Equipment, PointKind, Role, SamplingPoint, Works
from qingquan.store.sql.quarantine import QuarantineEntry

__all__ = ["COUNTY", "County", "make_county"]

COUNTY = "520425"
MINUTE = 60_000
HOUR = 60 * MINUTE

_TOWNSHIPS = (
    "松山镇", "水塘镇", "猴场镇", "猫营镇", "板当镇", "白石岩乡", "宗地镇", "大营镇",
    "火花镇", "坝羊镇", "格凸河镇", "四大寨乡", "云岭街道", "五峰街道",
)  # fmt: skip
_NAMES = ("龙潭", "大井", "双龙", "水沟", "岩脚", "新寨", "凉井", "白岩", "上坝", "下院", "红星", "清水", "石头寨", "大寨", "翠河",
          "长冲", "马鞍", "冷水", "竹林", "响水", "高坡", "后山", "田坝", "小河", "滥坝")  # fmt: skip
_SURNAMES = "王李张刘陈杨赵黄周吴徐孙罗韦莫"
_GIVEN = ("建国", "国强", "秀英", "德明", "兴贵", "廷芳", "正华", "光荣", "桂兰", "永福", "启明", "世昌")
_SHARE = (
    (DisinfectionState.OK, 0.80), (DisinfectionState.UNKNOWN, 0.065), (DisinfectionState.NOT_EQUIPPED, 0.05),
    (DisinfectionState.IDLE, 0.035), (DisinfectionState.LOW, 0.025), (DisinfectionState.MISSING, 0.015), (DisinfectionState.HIGH, 0.01),
)  # fmt: skip
_LOW_LIMIT = {"free_chlorine": 0.3, "chlorine_dioxide": 0.1, "total_chlorine": 0.5}
_HIGH_LIMIT = {"free_chlorine": 2.0, "chlorine_dioxide": 0.8, "total_chlorine": 3.0}


@dataclass(slots=True)
class County:
    """Everything the twin serves; mutable, because a county lives."""

    now: int
    works: dict[str, Works] = field(default_factory=dict)
    states: dict[str, WorksState] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    incidents: dict[int, Incident] = field(default_factory=dict)
    events: dict[int, list[IncidentEvent]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    samples: list[LabSample] = field(default_factory=list)
    quarantine: list[QuarantineEntry] = field(default_factory=list)


def make_county(now: int, works: int = 660, seed: int = 7) -> County:
    """A county of ``works`` works as it stands at ``now`` [ms]; the same arguments give the same county."""
    dice = random.Random(seed)  # noqa: S311 - invented data, not secrets
    county = County(now)
    for number in range(1, works + 1):
        entry = _works(dice, number)
        county.works[entry.id] = entry
        _place_state(dice, county, entry)
    _add_lab_samples(dice, county)
    _add_quarantine(county)
    return county


def _works(dice: random.Random, number: int) -> Works:
    township_no = dice.randrange(len(_TOWNSHIPS))
    angle, ring = 2 * math.pi * township_no / len(_TOWNSHIPS), 0.07 + 0.16 * ((township_no * 5) % 7) / 6
    disinfectant = dice.choices(
        (Disinfectant.FREE_CHLORINE, Disinfectant.CHLORINE_DIOXIDE, Disinfectant.MIXED_CLO2_CL2, Disinfectant.UV),
        (0.62, 0.2, 0.12, 0.06),
    )[0]
    residual = (disinfectant.residual,) if disinfectant.residual else ()
    switches = ("doser_running", "disinfectant_level", "flow") if residual else ("flow",)
    big = number <= 6
    return Works(
        county=COUNTY, id=f"W{number:04d}", name=f"{_TOWNSHIPS[township_no][:2]}{dice.choice(_NAMES)}水厂" if big else f"{dice.choice(_NAMES)}村供水工程",
        township=_TOWNSHIPS[township_no], disinfectant=disinfectant, equipment=Equipment.EQUIPPED,
        capacity_m3_d=float(dice.choice((2000, 5000)) if big else dice.choice((20, 50, 80, 120, 200, 500))),
        population=dice.randint(9000, 26000) if big else dice.randint(120, 4200),
        points=(
            SamplingPoint("outlet", PointKind.OUTLET, "出厂水", (*residual, "turbidity", "ph", "temperature", *switches)),
            *((SamplingPoint("end", PointKind.NETWORK_END, "末梢水", (*residual, "turbidity")),) if big else ()),
        ),
        contacts=(Contact(Role.CARETAKER, dice.choice(_SURNAMES) + dice.choice(_GIVEN), f"138{dice.randrange(10**8):08d}"),),
        source_limited=not big and dice.random() < 0.3,
        longitude=106.08 + ring * 1.15 * math.cos(angle) + dice.gauss(0, 0.022), latitude=25.75 + ring * math.sin(angle) + dice.gauss(0, 0.018),
        simulated=True, tags={"county_name": "紫云自治县", "county_name_en": "Ziyun County"},
    )  # fmt: skip


def _place_state(dice: random.Random, county: County, works: Works) -> None:
    states, weights = zip(*_SHARE, strict=True)
    residual = works.disinfectant.residual
    state = dice.choices(states, weights)[0]
    if residual is None and state in (DisinfectionState.LOW, DisinfectionState.HIGH, DisinfectionState.MISSING):
        state = DisinfectionState.UNKNOWN
    since = county.now - dice.randint(35, 400) * MINUTE
    if state is DisinfectionState.NOT_EQUIPPED:
        county.works[works.id] = works = _without_equipment(works)
        residual = None
    stale = state is DisinfectionState.UNKNOWN
    as_of: int | None = since if stale else county.now - dice.randint(2, 58) * 1000
    if stale and dice.random() < 0.3:
        as_of = None
    value = _residual_value(dice, state, residual)
    turbidity = None if as_of is None else round(dice.lognormvariate(-0.9, 0.45), 2)
    open_now: list[Finding] = []
    if state in (DisinfectionState.LOW, DisinfectionState.MISSING, DisinfectionState.HIGH):
        open_now.append(_disinfection_finding(works, state, since, county.now, value or 0.0, str(residual)))
    if stale:
        kind = FindingKind.STALE if as_of is not None else FindingKind.NEVER_SEEN
        open_now.append(_finding(works, kind, Severity.MAJOR, "", since, county.now, None, None, "", "stale"))
    if not stale and turbidity is not None and dice.random() < 0.02:
        turbidity = round(dice.uniform(1.2, 4.5), 2)
        open_now.append(
            _finding(works, FindingKind.EXCEEDANCE, Severity.MAJOR if turbidity > 3 else Severity.MINOR, "turbidity",
                     since, county.now, turbidity, 1.0, "Table 1", "turbidity_high")
        )  # fmt: skip
    for finding in open_now:
        county.findings[finding.id] = finding
    county.states[works.id] = WorksState(
        county=works.county, works=works.id, disinfection=state, since=since, as_of=as_of, stale=stale,
        residual=None if as_of is None else value, residual_parameter=residual, turbidity=turbidity,
        worst=max((f.severity for f in open_now), default=None), open_findings=len(open_now),
        latest={} if as_of is None else _latest(dice, residual, value, turbidity),
    )  # fmt: skip
    if open_now:
        _open_incident(dice, county, works, open_now)


def _latest(
    dice: random.Random, residual: str | None, value: float | None, turbidity: float | None
) -> dict[str, float]:
    latest = {"outlet/ph": round(dice.uniform(7.0, 8.1), 2), "outlet/temperature": round(dice.uniform(13, 19), 1)}
    if residual and value is not None:
        latest[f"outlet/{residual}"] = value
    if turbidity is not None:
        latest["outlet/turbidity"] = turbidity
    return latest


def _without_equipment(works: Works) -> Works:
    return Works(
        county=works.county, id=works.id, name=works.name, township=works.township, disinfectant=Disinfectant.NONE,
        equipment=Equipment.NOT_EQUIPPED, capacity_m3_d=works.capacity_m3_d, population=works.population,
        points=(SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("turbidity", "ph", "temperature", "flow")),),
        contacts=works.contacts, source_limited=works.source_limited, longitude=works.longitude, latitude=works.latitude,
        simulated=True, tags=works.tags,
    )  # fmt: skip


def _residual_value(dice: random.Random, state: DisinfectionState, residual: str | None) -> float | None:
    if residual is None:
        return None
    low, high = _LOW_LIMIT[residual], _HIGH_LIMIT[residual]
    span = {
        DisinfectionState.LOW: (low * 0.4, low * 0.9), DisinfectionState.MISSING: (0.0, 0.03),
        DisinfectionState.HIGH: (high * 1.05, high * 1.4),
    }.get(state, (low * 1.3, min(low * 3.0, high * 0.7)))  # fmt: skip
    return round(dice.uniform(*span), 2)


def _disinfection_finding(
    works: Works, state: DisinfectionState, since: int, now: int, value: float, residual: str
) -> Finding:
    kind, severity = {
        DisinfectionState.LOW: (FindingKind.DISINFECTION_LOW, Severity.MAJOR),
        DisinfectionState.MISSING: (FindingKind.DISINFECTION_MISSING, Severity.CRITICAL),
        DisinfectionState.HIGH: (FindingKind.DISINFECTION_HIGH, Severity.MAJOR),
    }[state]
    limit = _HIGH_LIMIT[residual] if state is DisinfectionState.HIGH else _LOW_LIMIT[residual]
    return _finding(works, kind, severity, residual, since, now, value, limit, "Table 2", str(kind))


def _finding(
    works: Works, kind: FindingKind, severity: Severity, parameter: str, start: int, now: int,
    extreme: float | None, limit: float | None, clause: str, rule: str,
) -> Finding:  # fmt: skip
    key = SeriesKey(works.county, works.id, "outlet", parameter)
    return Finding(
        id=finding_id(kind, rule, key, start), kind=kind, severity=severity, county=works.county, works=works.id,
        point="outlet", parameter=parameter, start=start, end=None, evidence_at=now, extreme=extreme, limit=limit,
        clause=clause, rule=rule, rule_version="2026.1", reason="",
    )  # fmt: skip


def _open_incident(dice: random.Random, county: County, works: Works, findings: list[Finding]) -> None:
    worst = max(findings, key=lambda f: f.severity)
    number = len(county.incidents) + 1
    opened = worst.start + 30 * MINUTE
    acknowledged = dice.random() < 0.35
    ack_at = opened + 12 * MINUTE
    county.incidents[number] = Incident(
        id=number, county=works.county, works=works.id, kind=worst.kind, severity=worst.severity,
        state=IncidentState.ACKNOWLEDGED if acknowledged else IncidentState.OPEN,
        stale=worst.kind in (FindingKind.STALE, FindingKind.NEVER_SEEN), late=False, opened_at=from_ms(opened),
        acknowledged_at=from_ms(ack_at) if acknowledged else None, acknowledged_by="吴桂兰" if acknowledged else "",
        resolved_at=None, finding_ids=tuple(f.id for f in findings),
    )  # fmt: skip
    county.events[number] = [IncidentEvent(from_ms(opened), TransitionReason.FIRST_FINDING)]
    if acknowledged:
        county.events[number].append(IncidentEvent(from_ms(ack_at), TransitionReason.ACKNOWLEDGED, "吴桂兰"))
    _send_messages(county, works, county.incidents[number], opened)


def _send_messages(county: County, works: Works, incident: Incident, opened: int) -> None:
    person = works.contacts[0]
    body = f"【清泉】{works.township}{works.name}（{works.id}）需处理，请尽快到现场查看。"
    outcomes = (
        ("aliyun_sms", person.phone, person.name, MessageState.DELIVERED, ""),
        ("wecom_robot", "county", "县农饮水值班群", MessageState.ACCEPTED, ""),
    )
    if incident.id % 9 == 0:
        outcomes = (
            ("aliyun_sms", person.phone, person.name, MessageState.NOT_SENT, "该号码今日短信已达上限"),
            *outcomes[1:],
        )
    for channel, receiver, name, state, error in outcomes:
        number = len(county.messages) + 1
        county.messages.append(
            Message(
                id=number, incident_id=incident.id, step="firing", channel=channel, receiver=receiver, receiver_name=name, body=body,
                params={}, state=state, attempts=1, created_at=from_ms(opened), due_at=from_ms(opened),
                sent_at=None if state is MessageState.NOT_SENT else from_ms(opened + 2000), provider_id=f"m{number}", error=error,
                why=NotSent.BUDGET.value if state is MessageState.NOT_SENT else "",
            )
        )  # fmt: skip


def _add_lab_samples(dice: random.Random, county: County) -> None:
    for number, works in enumerate(list(county.works.values())[:6], 1):
        nitrate = round(dice.uniform(2, 9), 1)
        arsenic = 0.012 if number == 3 else 0.002
        county.samples.append(
            LabSample(
                id=number, number=f"HY26-{number:04d}", county=COUNTY, works=works.id, point="outlet",
                sampled_at=county.now - (number * 20) * HOUR, uploaded_at=county.now - number * HOUR, uploaded_by="县水质检测中心",
                laboratory="县水质检测中心", source_file="2026年第2季度.xlsx",
                results=(
                    LabResult("total_coliforms", LabOperator.NOT_DETECTED, None, None, "MPN/100mL", None, "GB/T 5750.12",
                              LabVerdict.COMPLIANT, "不得检出", "gb5749-2022.total_coliforms", "Table 1"),
                    LabResult("arsenic", LabOperator.EQUAL, arsenic, None, "mg/L", arsenic, "GB/T 5750.6",
                              LabVerdict.EXCEEDED if arsenic > 0.01 else LabVerdict.COMPLIANT, "≤ 0.01 mg/L", "gb5749-2022.arsenic", "Table 1"),
                    LabResult("nitrate_n", LabOperator.EQUAL, nitrate, None, "mg/L", nitrate, "GB/T 5750.5",
                              LabVerdict.COMPLIANT, "≤ 10 mg/L", "gb5749-2022.nitrate_n", "Table 1"),
                    LabResult("chlorite", LabOperator.LESS, 0.05, 0.05, "mg/L", 0.05, "GB/T 5750.10", LabVerdict.COMPLIANT, "≤ 0.7 mg/L",
                              "gb5749-2022.chlorite", "Table 2"),
                ),
            )
        )  # fmt: skip


def _add_quarantine(county: County) -> None:
    rows = (
        (QuarantineReason.UNKNOWN_WORKS, "W9921 is not in the register", "wq.520425.W9921.outlet.json", b'{"t":1767225600000,"v":{"ph":7.2}}'),
        (QuarantineReason.BAD_JSON, "unexpected end of input at byte 31", "wq.520425.W0012.outlet.json", b'{"t":1767225600000,"v":{"ph":7.'),
        (QuarantineReason.TIME_IN_FUTURE, "2 h 5 min ahead", "wq.520425.W0044.outlet.json", b'{"t":1767233100000,"v":{"turbidity":0.4}}'),
        (QuarantineReason.UNKNOWN_PARAMETER, "cod_mn", "wq.520425.W0003.outlet.json", b'{"t":1767225600000,"v":{"cod_mn":1.8}}'),
        (QuarantineReason.BAD_VALUE, "'ERR'", "wq.520425.W0071.outlet.json", b'{"t":1767225600000,"v":{"free_chlorine":"ERR"}}'),
    )  # fmt: skip
    for number in range(1, 24):
        reason, detail, subject, payload = rows[number % len(rows)]
        county.quarantine.append(
            QuarantineEntry(
                number,
                Quarantined(reason, detail, 1000 + number, county.now - number * 7 * MINUTE, subject, "", payload, f"{number:064x}"),
            )
        )  # fmt: skip
