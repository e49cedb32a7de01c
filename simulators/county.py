"""A simulated county: a register of made-up works, the same for the same seed."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import numpy as np
import numpy.typing as npt

from qingquan.domain.duty import DutyPerson
from qingquan.domain.works import Contact, Disinfectant, Equipment, PointKind, Role, SamplingPoint, Works
from simulators.place_names import (
    COUNTY_CODE,
    COUNTY_OUTLINE,
    FIRST_VILLAGE,
    SURNAMES,
    TOWNSHIPS,
    VILLAGE_HEADS,
    VILLAGE_TAILS,
)

__all__ = ["MAX_WORKS", "county", "duty_people"]

MAX_WORKS = 100_000
BEIJING = timezone(timedelta(hours=8))
BUFFERED_UPLOADS_S = (3600, 7200, 14400, 28800)

# One column of uniform numbers per choice. Rows are drawn works by works, so a smaller county is the beginning of a
# larger one with the same seed. New choices go to the end: inserting one changes every county.
_CHOICES = (
    "township", "capacity", "people", "disinfectant", "source", "angle", "radius", "buffered", "upload", "limited",
    "has_source", "has_end", "has_doser", "has_stock", "has_sample_flow", "has_power", "has_level", "age", "keeper",
    "ph",
)  # fmt: skip


def county(works: int, seed: int) -> list[Works]:
    """A county of so many works, marked as simulated in every row.

    Names are unique; from the 1,001st works or so they carry a number. Nobody in it exists: people are called
    ``某``, telephone numbers are 1990000 and four digits.

    Raises
    ------
    ValueError
        If ``works`` is not within 1..100,000.
    """
    if not 1 <= works <= MAX_WORKS:
        raise ValueError(f"works = {works}: allowed: 1 to {MAX_WORKS}")
    draws = np.random.default_rng([seed, 520425]).random((works, len(_CHOICES)))
    villages = _villages(seed)
    return [_works(i, dict(zip(_CHOICES, row, strict=True)), villages) for i, row in enumerate(draws.tolist())]


def duty_people() -> list[DutyPerson]:
    """Who is told when caretakers do not answer: every township's station, three on duty in the county, a leader, the prefecture.

    Nobody of them exists; ids are 0, as before they are stored.
    """
    stations = [
        DutyPerson(0, "township", COUNTY_CODE, name, f"{SURNAMES[-1 - k % len(SURNAMES)]}某（模拟水管站）", f"1990000{9100 + k}", f"sim-station-{k + 1:02d}")
        for k, (name, *_) in enumerate(TOWNSHIPS)
    ]  # fmt: skip
    posts = [
        ("county_duty", COUNTY_CODE, "赵某（模拟值班员）"), ("county_duty", COUNTY_CODE, "钱某（模拟值班员）"),
        ("county_duty", COUNTY_CODE, "孙某（模拟值班员）"), ("county_leader", COUNTY_CODE, "周某（模拟带班领导）"),
        ("prefecture", COUNTY_CODE[:4], "郑某（模拟市州值班）"),
    ]  # fmt: skip
    return stations + [
        DutyPerson(0, role, area, "", name, f"1990000{9200 + k}", f"sim-duty-{k + 1}")
        for k, (role, area, name) in enumerate(posts)
    ]


def _works(i: int, draw: dict[str, float], villages: list[str]) -> Works:
    township, longitude, latitude = _place(i, draw)
    capacity = _capacity(draw["capacity"])
    disinfectant = Disinfectant.FREE_CHLORINE if i == 0 else _disinfectant(draw["disinfectant"])
    is_buffered = i > 0 and capacity < 300 and draw["buffered"] < 0.18
    upload_s = BUFFERED_UPLOADS_S[int(draw["upload"] * len(BUFFERED_UPLOADS_S))] if is_buffered else 60
    return Works(
        county=COUNTY_CODE,
        id=f"W{i + 1:04d}",
        name=_name(i, villages, capacity),
        township=township,
        disinfectant=disinfectant,
        equipment=Equipment.NOT_EQUIPPED if disinfectant is Disinfectant.NONE else Equipment.EQUIPPED,
        capacity_m3_d=capacity,
        population=max(40, round(capacity * (5.5 + 5 * draw["people"]) / 10) * 10),
        points=_points(i, draw, disinfectant),
        contacts=_contacts(i, draw, township),
        source_limited=capacity < 200 and draw["limited"] < 0.3,
        cadence_s=300 if is_buffered else 60,
        upload_interval_s=upload_s,
        longitude=longitude,
        latitude=latitude,
        commissioned_at=datetime(2006 + int(draw["age"] * 17), 1 + int(draw["age"] * 170) % 12, 15, tzinfo=BEIJING),
        simulated=True,
        note="模拟数据，非真实工程",
        tags={"source": _source(draw["source"])},
    )


def _capacity(u: float) -> float:
    """Daily capacity [m3/d]: most works are small, a few serve a township."""
    raw = 20.0 * (300.0**u) ** (0.45 + 0.55 * u**3)
    return float(min(6000.0, round(raw / 5) * 5 if raw < 500 else round(raw / 50) * 50))


def _disinfectant(u: float) -> Disinfectant:
    if u < 0.80:
        return Disinfectant.FREE_CHLORINE
    if u < 0.95:
        return Disinfectant.CHLORINE_DIOXIDE
    return Disinfectant.UV if u < 0.965 else Disinfectant.NONE


def _source(u: float) -> str:
    return "spring" if u < 0.62 else "well" if u < 0.84 else "river"


def _points(i: int, draw: dict[str, float], disinfectant: Disinfectant) -> tuple[SamplingPoint, ...]:
    residual = disinfectant.residual

    def has(choice: str, share: float) -> bool:
        return i == 0 or draw[choice] < share

    outlet = [residual] if residual else []
    outlet += ["turbidity", "ph", "flow"]
    # Signals of dosing exist only where something is dosed.
    dosing: list[tuple[str, Callable[[], bool]]] = [
        ("doser_running", lambda: has("has_doser", 0.7)),
        ("disinfectant_level", lambda: has("has_stock", 0.4)),
        ("sample_flow", lambda: has("has_sample_flow", 0.35)),
    ]
    outlet += [code for code, is_there in dosing if residual and is_there()]
    outlet += ["power"] if has("has_power", 0.45) else []
    outlet += ["tank_level"] if has("has_level", 0.5) else []
    points = [SamplingPoint("outlet", PointKind.OUTLET, "出厂水", tuple(outlet))]
    if has("has_source", 0.55):
        points.insert(0, SamplingPoint("source", PointKind.SOURCE, "水源水", ("turbidity", "temperature")))
    if residual and has("has_end", 0.25):
        points.append(SamplingPoint("network_end", PointKind.NETWORK_END, "管网末梢", (residual,)))
    return tuple(points)


def _contacts(i: int, draw: dict[str, float], township: str) -> tuple[Contact, ...]:
    surname = SURNAMES[int(draw["keeper"] * len(SURNAMES))]
    number = next(k for k, row in enumerate(TOWNSHIPS) if row[0] == township)
    return (
        Contact(Role.CARETAKER, f"{surname}某（模拟管水员）", f"1990000{i % 9000:04d}", f"sim-keeper-{i + 1:04d}"),
        Contact(
            Role.MANAGER,
            f"{SURNAMES[number]}某（模拟负责人）",
            f"1990000{9000 + number:04d}",
            f"sim-manager-{number + 1:02d}",
        ),
    )


def _villages(seed: int) -> list[str]:
    pairs = list(dict.fromkeys(h + t for h in VILLAGE_HEADS for t in VILLAGE_TAILS if h != t))
    pairs.remove(FIRST_VILLAGE)
    order: npt.NDArray[np.int64] = np.random.default_rng([seed, 1]).permutation(len(pairs))
    return [FIRST_VILLAGE, *(pairs[k] for k in order.tolist())]


def _name(i: int, villages: list[str], capacity: float) -> str:
    round_, k = divmod(i, len(villages))
    kind = "水厂" if capacity >= 1000 else "供水站" if capacity >= 60 or i == 0 else "供水点"
    number = f"{round_ + 1}号" if round_ else ""
    return f"{villages[k]}村{number}{kind}（模拟）"


def _place(i: int, draw: dict[str, float]) -> tuple[str, float, float]:
    """Township by its share of the works, and a spot around its middle that lies inside the county."""
    edge = np.cumsum([row[3] for row in TOWNSHIPS])
    k = 0 if i == 0 else min(int(np.searchsorted(edge, draw["township"] * edge[-1], side="right")), len(TOWNSHIPS) - 1)
    name, middle_x, middle_y, _ = TOWNSHIPS[k]
    reach, angle = 0.06 * draw["radius"] ** 0.5, 2 * np.pi * draw["angle"]
    while True:
        x, y = middle_x + reach * float(np.cos(angle)), middle_y + 0.9 * reach * float(np.sin(angle))
        if _is_inside(x, y):
            return name, round(x, 5), round(y, 5)
        reach *= 0.7


def _is_inside(x: float, y: float) -> bool:
    """Even-odd rule against the county's outline."""
    inside = False
    for (x1, y1), (x2, y2) in zip(COUNTY_OUTLINE, COUNTY_OUTLINE[1:] + COUNTY_OUTLINE[:1], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            inside = not inside
    return inside
