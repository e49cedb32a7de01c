"""Run by Alembic. The connection and its transaction come from `qingquan.store.sql.engine.upgrade`."""

from alembic import context

from qingquan.store.sql import (  # noqa: F401 (they add their tables)
    answers_schema,
    compliance_schema,
    disinfection_schema,
    edges_schema,
    events_schema,
    maintenance_schema,
    operations_schema,
    outbox_schema,
    ownership_schema,
    routing_schema,
    rulesets_schema,
)
from qingquan.store.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    render_as_batch=True,
    # SQLite's transactions hold schema changes as well, now that we begin them ourselves.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
