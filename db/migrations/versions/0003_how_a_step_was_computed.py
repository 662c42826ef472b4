"""A step says how fast it was and what sharing prompts saved."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = ("tokens_per_second", "shared", "padding")


def upgrade() -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("steps")}
    for name in _COLUMNS:
        if name not in there:  # a new store: 0001 makes the tables as they are today
            op.add_column("steps", sa.Column(name, sa.Float))


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_column("steps", name)
