"""The first tables, and the full-text index of SQLite."""

from alembic import op

from db.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    if connection.dialect.name == "sqlite":
        # The text stands in `pairs` only; the index is filled after an import, by id range (db.search).
        op.execute(
            "CREATE VIRTUAL TABLE pair_words USING fts5("
            "prompt, response_a, response_b, content='pairs', content_rowid='id')"
        )


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        op.execute("DROP TABLE pair_words")
    metadata.drop_all(connection)
