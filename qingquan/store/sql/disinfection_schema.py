"""Tables about disinfection: what is known of contact, stock and dosing, what people measured by hand, and the advice drawn."""

from sqlalchemy import BigInteger, Column, Double, ForeignKeyConstraint, Index, Integer, Table, Text, UniqueConstraint

from qingquan.store.sql.columns import DOCUMENT, IDENTITY, MILLISECONDS, FreeText
from qingquan.store.sql.schema import metadata

__all__ = ["chemical_delivery", "contact_segment", "disinfection_advice", "dosing_facts", "hand_measurement"]


def _of_works() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["county", "works"], ["works.county", "works.id"], ondelete="CASCADE")


dosing_facts = Table(
    "dosing_facts",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("giardia_log", Double),
    Column("virus_log", Double),
    Column("tank_volume_l", Double),
    Column("pump_capacity_l_h", Double),
    Column("store_temperature_c", Double),
    Column("network_end_hours", Double),
    Column("changed_at", MILLISECONDS, nullable=False),
    Column("changed_by", FreeText, nullable=False),
    _of_works(),
)

contact_segment = Table(
    "contact_segment",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", FreeText, nullable=False),
    Column("volume_m3", Double, nullable=False),
    Column("baffling_factor", Double, nullable=False),
    Column("peak_flow_m3_h", Double, nullable=False),
    _of_works(),
)

chemical_delivery = Table(
    "chemical_delivery",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("delivered_at", MILLISECONDS, primary_key=True),
    Column("strength_g_l", Double, nullable=False),
    Column("amount_l", Double),
    _of_works(),
)

# The reading itself goes to the reading log; here stands who measured it how. ``sequence`` is its place in the log, empty
# until the log has it: what a log that was down has not got yet is sent again.
hand_measurement = Table(
    "hand_measurement",
    metadata,
    Column("id", IDENTITY, primary_key=True),
    Column("county", Text, nullable=False),
    Column("works", Text, nullable=False),
    Column("point", Text, nullable=False),
    Column("parameter", Text, nullable=False),
    Column("observed_at", MILLISECONDS, nullable=False),
    Column("qualifier", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("method", Text, nullable=False),
    Column("person", FreeText, nullable=False),
    Column("entered_at", MILLISECONDS, nullable=False),
    Column("entered_by", FreeText, nullable=False),
    Column("source", FreeText, nullable=False),
    Column("note", FreeText, nullable=False),
    Column("sequence", BigInteger),
    UniqueConstraint("county", "works", "point", "parameter", "observed_at"),
    Index(None, "county", "works", "observed_at"),
    Index(None, "sequence"),
    _of_works(),
)

disinfection_advice = Table(
    "disinfection_advice",
    metadata,
    Column("county", Text, primary_key=True),
    Column("works", Text, primary_key=True),
    Column("computed_at", MILLISECONDS, nullable=False),
    Column("document", DOCUMENT, nullable=False),
    _of_works(),
)
