"""The register, rosters and faults of a simulated province: counties like the simulated one, faults at one works in a hundred.

Faults are those of the scenario `all-faults-24h` in its proportions, spread over the day, plus one township that loses its power. All
names, numbers and codes are made up; no two people share a number.
"""

from collections.abc import Sequence
from dataclasses import replace

from qingquan.domain.duty import DutyPerson
from qingquan.domain.works import Role, Works
from simulators.county import county
from simulators.faults import FaultKind
from simulators.scenario import FaultPlan, Scenario, Selection, load_scenario

__all__ = ["COUNTIES", "COUNTY_SIZE", "duty_of", "faults_of", "prefecture"]

COUNTY_SIZE = 660
# In a prefecture.
COUNTIES = 9
# Works of one township that lose their power together.
TOWNSHIP_CUT = 12
CUT_AFTER_MIN, CUT_MIN = 840.0, 90.0


def prefecture(number: int, works: int, seed: int) -> list[Works]:
    """The works of a prefecture (0, 1, …) in counties of 660, each with a caretaker of its own and a manager a township."""
    return [_placed(one, number, n) for n, one in enumerate(county(works, seed + number))]


def _placed(one: Works, prefecture: int, n: int) -> Works:
    code = 520_000 + 100 * (prefecture + 1) + 1 + n // COUNTY_SIZE
    managers: dict[str, str] = {}
    contacts = []
    for contact in one.contacts:
        if contact.role is Role.CARETAKER:
            contacts.append(
                replace(contact, phone=f"190{prefecture:02d}{n:06d}", wecom_id=f"sim-keeper-{prefecture}-{n + 1}")
            )
        else:
            number = managers.setdefault(contact.wecom_id, contact.phone[-2:])
            contacts.append(replace(contact, phone=f"191{code:06d}{number}", wecom_id=f"{contact.wecom_id}-{code}"))
    return replace(one, county=str(code), contacts=tuple(contacts))


def duty_of(register: Sequence[Works]) -> list[DutyPerson]:
    """One person a township station, one on duty and one leader a county, one in the prefecture; all at any hour."""
    persons: list[DutyPerson] = []
    for number, (code, township) in enumerate(sorted({(one.county, one.township) for one in register})):
        persons.append(_person("township", code, township, f"{township}水管站", f"192{code[2:4]}{number:06d}"))
    for code in sorted({one.county for one in register}):
        persons.append(_person("county_duty", code, "", f"县值班{code}", f"193{code}00"))
        persons.append(_person("county_leader", code, "", f"县领导{code}", f"194{code}00"))
    for area in sorted({one.county[:4] for one in register}):
        persons.append(_person("prefecture", area, "", f"市州值班{area}", f"195{area}0000"))
    return persons


def _person(role: str, area: str, township: str, name: str, phone: str) -> DutyPerson:
    return DutyPerson(0, role, area, township, f"{name}（模拟）", phone, f"sim-{role}-{phone[3:]}")


def faults_of(register: Sequence[Works], share: float) -> Scenario:
    """Faults at ``share`` of the works over 24 h; at least one of every kind."""
    whole = load_scenario("all-faults-24h")
    # Townships of many counties bear the same names here: a cut of power strikes works one by one, and one township together.
    plans = [one for one in whole.faults if one.select is not None and one.select.count]
    total = sum(one.select.count for one in plans if one.select is not None)
    struck = [one.id for one in register if (one.county, one.township) == (register[0].county, register[0].township)]
    cut = tuple(struck[: min(TOWNSHIP_CUT, len(struck))])
    left = max(len(plans), round(share * len(register)) - len(cut))
    scaled = [_scaled(one, left / total) for one in plans]
    battery = next(one.options for one in whole.faults if one.kind is FaultKind.POWER_CUT)
    township = FaultPlan(FaultKind.POWER_CUT, CUT_AFTER_MIN, CUT_MIN, works=cut, options=dict(battery))
    return Scenario("province", rain=whole.rain, faults=(*scaled, township))


def _scaled(plan: FaultPlan, factor: float) -> FaultPlan:
    assert plan.select is not None
    chosen = Selection(
        count=max(1, round(plan.select.count * factor)), disinfectant=plan.select.disinfectant, has=plan.select.has,
        lacks=plan.select.lacks, upload=plan.select.upload,
    )  # fmt: skip
    return replace(plan, select=chosen)
