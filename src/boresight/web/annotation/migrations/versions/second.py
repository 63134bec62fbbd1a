"""People's sessions end with their password, and a name that was erased and given again opens no old ones."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("people", sa.Column("sessions_from", sa.Double(), nullable=False, server_default="0"))
