"""A lease knows whether its person was told what an AI answered, whatever the mode is when the answer comes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

projects = sa.table("projects", sa.column("id"), sa.column("settings", sa.JSON()))
tasks = sa.table("tasks", sa.column("id"), sa.column("suggestion"))
events = sa.table("events", sa.column("kind"), sa.column("task_id"), sa.column("person_id"))
assignments = sa.table(
    "assignments", *map(sa.column, ("project_id", "task_id", "person_id")), sa.column("told", sa.Boolean())
)


def upgrade() -> None:
    op.add_column("assignments", sa.Column("told", sa.Boolean(), nullable=False, server_default=sa.false()))
    connection = op.get_bind()
    modes = connection.execute(sa.select(projects))
    triage = [project for project, settings in modes if settings.get("mode") == "triage"]
    suggested = sa.exists().where(tasks.c.id == assignments.c.task_id, tasks.c.suggestion.is_not(None))
    answered = sa.exists().where(
        events.c.kind == "answer",
        events.c.task_id == assignments.c.task_id,
        events.c.person_id == assignments.c.person_id,
    )
    knew = sa.or_(answered, assignments.c.project_id.in_(triage))
    connection.execute(sa.update(assignments).where(suggested, knew).values(told=True))
