"""Requests, attempts, votes and prices of labelers that are asked; principles have names."""

import sqlalchemy as sa
from alembic import op

from db.schema import metadata, prices

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None

_ADDED = {
    "requests": ("why", "principle", "repeat"),
    "attempts": (
        "run_id",
        "reasoning",
        "log_probs",
        "finish_reason",
        "http_status",
        "model_returned",
        "tokens_expected",
        "tokens_in",
        "tokens_cached",
        "tokens_out",
        "cost",
        "seconds",
    ),
    "votes": ("principle", "weight", "off_format", "contradicts", "by_principle"),
    "principles": ("name",),
}
_INDEXES = ("requests_by_run", "requests_by_labeler", "requests_by_pair", "attempts_by_run")


def upgrade() -> None:
    connection = op.get_bind()
    if "why" in {column["name"] for column in sa.inspect(connection).get_columns("requests")}:
        return  # a new store: 0001 makes the tables as they are today
    prices.create(connection)
    for table, names in _ADDED.items():
        for name in names:
            column = metadata.tables[table].c[name]
            op.add_column(
                table, sa.Column(name, column.type, nullable=column.nullable, server_default=column.server_default)
            )
    if connection.dialect.name == "postgresql":  # SQLite keeps a longer word than its column says
        op.alter_column("requests", "state", type_=sa.String(9))
    for table in _ADDED:
        for index in metadata.tables[table].indexes:
            if index.name in _INDEXES:
                index.create(connection)


def downgrade() -> None:
    prices.drop(op.get_bind())
    for name in _INDEXES:
        op.drop_index(name)
    for table, names in _ADDED.items():
        # In a batch: SQLite does not drop a column that refers to another table.
        with op.batch_alter_table(table, recreate="auto" if table == "attempts" else "never") as batch:
            for name in names:
                batch.drop_column(name)
