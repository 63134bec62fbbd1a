"""The tables. `events` is the truth and only ever grows; what else there is of answers can be made again from it.

Times are seconds since 1970 (UTC). Ids are the database's own; `tasks.key` is the id that a task has in files.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

projects = Table(
    "projects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("settings", JSON, nullable=False),  # `settings.Settings` as JSON
    Column("paused", Boolean, nullable=False),
    Column("skill_sets", JSON, nullable=False),  # the different `tasks.skills` there are
    Column("created_at", Double, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("key", Text, nullable=False),
    Column("position", Integer, nullable=False),  # in the order of the files
    Column("purpose", Text, nullable=False),  # label, gold or training
    Column("skills", Text, nullable=False),  # sorted, joined by commas
    Column("priority", Integer, nullable=False),  # higher goes first, whatever the route
    Column("urgency", Double, nullable=False),  # 0..1, by the project's route
    Column("overlap", Integer),  # answers wanted; NULL: one of each person (gold, training)
    Column("taken", Integer, nullable=False),  # answers and live leases
    Column("answered", Integer, nullable=False),
    Column("open", Boolean, nullable=False),  # taken < overlap
    Column("adjudication_id", ForeignKey("events.id")),  # the decision that counts, if there was one
    # Long texts stand last: SQLite reads through what stands before a column.
    Column("prompt", JSON, nullable=False),  # messages
    Column("responses", JSON, nullable=False),  # [{text, model, id}] as they were listed
    Column("gold", JSON(none_as_null=True)),  # the known answer, by responses as listed
    Column("explanation", Text, nullable=False),  # told in training after the answer
    Column("suggestion", JSON(none_as_null=True)),  # what an AI answered
    Column("meta", JSON, nullable=False),
    UniqueConstraint("project_id", "key"),
)
Index("ix_tasks_order", tasks.c.project_id, tasks.c.purpose, tasks.c.open, tasks.c.priority.desc(), tasks.c.position)
Index(
    "ix_tasks_urgent",
    *(tasks.c.project_id, tasks.c.purpose, tasks.c.open),
    *(tasks.c.priority.desc(), tasks.c.urgency.desc(), tasks.c.position),
)

people = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),  # made and read by whoever checks passwords
    Column("skills", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("erased_at", Double),
    Column("sessions_from", Double, nullable=False, server_default="0"),  # sessions that began before are over
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person_id", ForeignKey("people.id"), nullable=False, index=True),
    Column("hash", Text, nullable=False, unique=True),  # SHA-256 of a random token
    Column("purpose", Text, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)

invites = Table(
    "invites",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("skills", Text, nullable=False),
    Column("invited_by", ForeignKey("people.id")),
    Column("expires_at", Double, nullable=False),
    Column("person_id", ForeignKey("people.id")),  # who came by it
)

assignments = Table(
    "assignments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("task_id", ForeignKey("tasks.id"), nullable=False),
    Column("person_id", ForeignKey("people.id"), nullable=False),
    Column("purpose", Text, nullable=False),  # that of the task
    Column("state", Text, nullable=False),  # leased, answered, skipped, expired or released
    Column("shown", JSON, nullable=False),  # place on the screen -> number of the response
    Column("claimed_at", Double, nullable=False),
    Column("leased_until", Double, nullable=False),
    Column("draft", JSON(none_as_null=True)),
    Column("event_id", ForeignKey("events.id")),  # the answer that counts
    Column("right", Boolean),  # of gold and training
    Column("told", Boolean, nullable=False, server_default=false()),  # the person knows what an AI answered
    UniqueConstraint("task_id", "person_id"),
    Index("ix_assignments_person", "person_id", "project_id", "state"),
    Index("ix_assignments_lease", "project_id", "state", "leased_until"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("person_id", ForeignKey("people.id")),
    Column("project_id", ForeignKey("projects.id")),
    Column("task_id", Integer, index=True),  # no foreign key: tasks point back at their adjudication
    Column("key", Text),  # drawn by the client, so that an answer sent twice is one
    Column("body", JSON, nullable=False),
    UniqueConstraint("person_id", "key"),
    Index("ix_events_project", "project_id", "kind"),
)

private_details = Table(
    "private_details",
    metadata,
    Column("event_id", ForeignKey("events.id"), primary_key=True),
    Column("body", JSON, nullable=False),  # what goes when a person's data is deleted: comment, network address
)
