"""An import names its process and who may write for it; what concurrent imports share is written down."""

import sqlalchemy as sa
from alembic import op

from db.schema import borrowed_votes, late_labels

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = ("token", "host", "pid", "pid_started")


def upgrade() -> None:
    connection = op.get_bind()
    if "token" in {column["name"] for column in sa.inspect(connection).get_columns("imports")}:
        return  # a new store: 0001 makes the tables as they are today
    op.add_column("imports", sa.Column("token", sa.String(32), nullable=False, server_default=""))
    op.add_column("imports", sa.Column("host", sa.Text))
    op.add_column("imports", sa.Column("pid", sa.Integer))
    op.add_column("imports", sa.Column("pid_started", sa.Float))
    borrowed_votes.create(connection)
    late_labels.create(connection)


def downgrade() -> None:
    connection = op.get_bind()
    late_labels.drop(connection)
    borrowed_votes.drop(connection)
    for name in _COLUMNS:
        op.drop_column("imports", name)
