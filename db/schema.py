"""The tables. Migrations create them; this file is what queries are written against."""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

imports = Table(
    "imports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("dataset_id", ForeignKey("datasets.id"), nullable=False),
    Column("file", Text, nullable=False),
    Column("started", Float, nullable=False),  # its last sign of life; seconds since the epoch, UTC, as every time here
    Column("published", Float),  # null: nobody sees its rows, and the next start removes them
    # Who may write or remove rows under this number: SQLite gives a removed import's number again.
    Column("token", String(32), nullable=False, server_default=""),
    Column("host", Text),
    Column("pid", Integer),
    Column("pid_started", Float),  # with the pid: a reused pid is not our process
    Column("read", Integer),
    Column("added", Integer),
    Column("duplicates", Integer),
    Column("identical", Integer),
    Column("conflicts", Integer),
    Column("skipped", Integer),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created", Float, nullable=False),
    Column("removed", Float),  # hidden, can be undone
    # Rises with its pairs and labels, not with verdicts; caches key on it.
    Column("data_version", Integer, nullable=False, server_default="0"),
    Column("num_pairs", Integer, nullable=False, server_default="0"),  # published and visible
)

pairs = Table(
    "pairs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("prompt_hash", LargeBinary(32), nullable=False),
    Column("prompt", Text, nullable=False),  # JSON [[role, content], ...]; empty after a purge
    Column("response_a", Text, nullable=False),
    Column("response_b", Text, nullable=False),
    Column("length_a", Integer, nullable=False),  # characters
    Column("length_b", Integer, nullable=False),
    Column("part", String(5), nullable=False),  # train, valid, test: by hash of the prompt
    Column("import_id", ForeignKey("imports.id"), nullable=False),
    Column("purged", Boolean, nullable=False, server_default="0"),
    Index("pairs_by_import", "import_id"),
)

memberships = Table(
    "memberships",
    metadata,
    Column("id", Integer, primary_key=True),  # the file's order
    Column("dataset_id", ForeignKey("datasets.id"), nullable=False),
    Column("pair_id", ForeignKey("pairs.id"), nullable=False),
    Column("import_id", ForeignKey("imports.id"), nullable=False),
    Column("row_id", Text, nullable=False),  # the id of the user's file, else dataset:line
    Column("file", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("subset", Text),
    Column("swapped", Boolean, nullable=False),  # the user's a is the stored b
    Column("split", String(5)),  # declared by the import; else null and the pair's part holds
    Column("part", String(5), nullable=False),  # split, else the pair's part
    Column("meta", Text),
    UniqueConstraint("dataset_id", "pair_id"),
    Index("memberships_by_row_id", "dataset_id", "row_id"),
    Index("memberships_by_subset", "dataset_id", "subset", "id"),
    Index("memberships_by_part", "dataset_id", "part", "id"),
    Index("memberships_by_import", "import_id"),
    Index("memberships_by_pair", "pair_id"),
    Index("memberships_in_order", "dataset_id", "id"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("dataset_id", ForeignKey("datasets.id"), primary_key=True),
    Column("row_id", Text, primary_key=True),
    Column("pair_id", ForeignKey("pairs.id"), nullable=False),
    Column("import_id", ForeignKey("imports.id"), nullable=False),
    Index("aliases_by_import", "import_id"),
)

# How many of a dataset's pairs a labeler has labels on: counting a million takes a second, reading this does not.
dataset_labelers = Table(
    "dataset_labelers",
    metadata,
    Column("dataset_id", ForeignKey("datasets.id"), primary_key=True),
    Column("labeler_id", ForeignKey("labelers.id"), primary_key=True),
    Column("num_labels", Integer, nullable=False),
)

# One row: up to which pair the full-text index has come.
search_progress = Table(
    "search_progress",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("indexed_to", Integer, nullable=False),
)

constitutions = Table(
    "constitutions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("text", Text, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("name", "version"),
)

principles = Table(
    "principles",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("constitution_id", ForeignKey("constitutions.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False, server_default=""),  # its id in the constitution
    Column("text", Text, nullable=False),
    Column("weight", Float, nullable=False),
    UniqueConstraint("constitution_id", "position"),
)

labelers = Table(
    "labelers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", String(16), nullable=False),  # hash of config and constitution
    Column("kind", String(5), nullable=False),  # ai, human
    Column("config", Text, nullable=False),  # JSON
    Column("constitution_id", ForeignKey("constitutions.id")),
    Column("created", Float, nullable=False),
    UniqueConstraint("name", "version"),
)

# What a model's calls cost, as somebody looked it up; a model that is not here has no known price.
prices = Table(
    "prices",
    metadata,
    Column("model", Text, primary_key=True),
    Column("tokens_in", Float, nullable=False),  # US dollars for a million tokens, as the two that follow
    Column("tokens_cached", Float, nullable=False),
    Column("tokens_out", Float, nullable=False),
    Column("as_of", String(10), nullable=False),  # ISO date
)

# One question to a labeler, asked at most once: what it was given, who asks it, and how it ended.
requests = Table(
    "requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),  # the run that asks or asked it
    Column("pair_id", ForeignKey("pairs.id"), nullable=False),
    Column("labeler_id", ForeignKey("labelers.id"), nullable=False),
    Column("key", LargeBinary(32), nullable=False, unique=True),
    Column("shown", String(2)),
    Column("state", String(9), nullable=False),  # asked, or how its answer ended: ok, unparsed, refused, ...
    Column("why", Text),  # of every end but ok
    Column("principle", Text),  # where it is given by itself
    Column("repeat", Integer, nullable=False, server_default="0"),
    Index("requests_by_run", "run_id", "state"),
    Index("requests_by_labeler", "labeler_id", "state"),
    Index("requests_by_pair", "pair_id"),
)

# One call, as it came back; only added to.
attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("request_id", ForeignKey("requests.id"), nullable=False),
    Column("number", Integer, nullable=False),  # from 1, over all runs
    Column("reply", Text),
    Column("error", Text),
    Column("created", Float, nullable=False),
    Column("run_id", ForeignKey("runs.id")),  # the run that paid for it
    Column("reasoning", Text),
    Column("log_probs", Text),  # JSON {token: natural logarithm}
    Column("finish_reason", Text),
    Column("http_status", Integer),
    Column("model_returned", Text),
    Column("tokens_expected", Integer),
    Column("tokens_in", Integer),
    Column("tokens_cached", Integer),
    Column("tokens_out", Integer),
    Column("cost", Float),  # US dollars; null where the price is unknown
    Column("seconds", Float),
    UniqueConstraint("request_id", "number"),
    Index("attempts_by_run", "run_id"),
)

votes = Table(
    "votes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pair_id", ForeignKey("pairs.id"), nullable=False),
    Column("labeler_id", ForeignKey("labelers.id"), nullable=False),
    Column("key", LargeBinary(16), nullable=False),  # hash of what makes an imported vote the same vote
    Column("preference", String(3), nullable=False),  # in the pair's stored order
    Column("p_a", Float),
    Column("strength", Float),
    Column("shown", String(2)),  # ab, ba: which response the labeler saw first
    Column("rationale", Text),
    Column("import_id", ForeignKey("imports.id")),
    Column("request_id", ForeignKey("requests.id")),
    Column("principle", Text),  # the one it was given under, where each is asked by itself
    Column("weight", Float, nullable=False, server_default="1"),  # of that principle
    Column("off_format", Float),  # probability of tokens that are no answer
    Column("contradicts", Boolean),  # the reply's reasons or principles name another winner
    Column("by_principle", Text),  # JSON [[id, preference or null, strength or null], ...] in the stored order
    UniqueConstraint("pair_id", "labeler_id", "key"),
    Index("votes_by_import", "import_id"),
)

# A vote has one row. What an unpublished import wrote is not there yet for another that brings the same vote: that
# one names it here, and gets it when it is published first or when the writer is removed.
borrowed_votes = Table(
    "borrowed_votes",
    metadata,
    Column("vote_id", ForeignKey("votes.id"), primary_key=True),
    Column("import_id", ForeignKey("imports.id"), primary_key=True),
    Index("borrowed_votes_by_import", "import_id"),
)

# Pairs that an import did not make but has something to say about: their labels are derived once it is published.
late_labels = Table(
    "late_labels",
    metadata,
    Column("pair_id", ForeignKey("pairs.id"), primary_key=True),
    Column("import_id", ForeignKey("imports.id"), primary_key=True),
    Column("has_text_from_it", Boolean, nullable=False),  # the pair had been purged
    Index("late_labels_by_import", "import_id"),
)

labels = Table(
    "labels",
    metadata,
    Column("pair_id", ForeignKey("pairs.id"), primary_key=True),
    Column("labeler_id", ForeignKey("labelers.id"), primary_key=True),
    Column("p_a", Float, nullable=False),
    Column("p_tie", Float, nullable=False),
    Column("side", String(3)),  # a, b; null where every vote is a tie
    Column("consistency", String(13), nullable=False),
    Column("num_votes", Integer, nullable=False),
    Index("labels_by_side", "labeler_id", "side", "pair_id"),
    Index("labels_by_consistency", "labeler_id", "consistency", "pair_id"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pair_id", ForeignKey("pairs.id"), nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("decision", String(4)),  # a, b, tie, drop in the stored order; null for an undo
    Column("reason", Text),
    Column("shown", String(2), nullable=False),  # ab: the stored a stood left
    Column("blind", Boolean, nullable=False),
    Column("labeler_id", ForeignKey("labelers.id")),  # the label it was shown against
    Column("label_side", String(3)),
    Column("undoes", ForeignKey("verdicts.id"), unique=True),
    Column("created", Float, nullable=False),
    Index("verdicts_by_pair", "pair_id"),
    Index("verdicts_by_reviewer", "reviewer", "id"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("dataset_id", ForeignKey("datasets.id"), nullable=False),
    Column("labeler", Text, nullable=False),  # name, or people, or ai
    Column("targets", String(4), nullable=False),
    Column("created", Float, nullable=False),
    Column("num_pairs", Integer, nullable=False),
    Column("num_without_label", Integer, nullable=False),
    Column("num_dropped", Integer, nullable=False),
    Column("num_verdicts", Integer, nullable=False),
)

snapshot_pairs = Table(
    "snapshot_pairs",
    metadata,
    Column("snapshot_id", ForeignKey("snapshots.id"), primary_key=True),
    Column("pair_id", ForeignKey("pairs.id"), primary_key=True),
    Column("p_a", Float, nullable=False),
    Column("p_tie", Float, nullable=False),
    Column("weight", Float, nullable=False),
    Column("part", String(5), nullable=False),
    Column("origin", String(7), nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),  # RUN on the command line
    Column("kind", String(9), nullable=False),
    Column("state", String(8), nullable=False),
    Column("name", Text),
    Column("dataset_id", ForeignKey("datasets.id")),
    Column("labeler", Text),
    Column("snapshot_id", ForeignKey("snapshots.id")),
    Column("parent_id", ForeignKey("runs.id")),  # the run whose checkpoint is scored, evaluated or exported
    Column("config", Text, nullable=False),  # JSON: TrainConfig, or what this kind needs
    Column("device", Text, nullable=False, server_default="auto"),
    Column("place", Float, nullable=False),  # order in the queue
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("heartbeat", Float),
    Column("pid", Integer),
    Column("pid_started", Float),  # with the pid: a reused pid is not our process
    Column("host", Text),
    Column("stop_asked", Boolean, nullable=False, server_default="0"),
    Column("progress", Float),  # [0, 1]
    Column("progress_text", Text),
    Column("seconds_left", Float),
    Column("metrics", Text),  # JSON
    Column("checkpoint", Text),
    Column("error", Text),
    Column("unreproducible", Boolean, nullable=False, server_default="0"),  # a purge took text it trained on
    Index("runs_by_state", "state", "place"),
    Index("runs_by_dataset", "dataset_id", "kind"),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("num_steps", Integer, nullable=False),
    Column("epoch", Float, nullable=False),
    Column("loss", Float, nullable=False),
    Column("accuracy", Float),
    Column("learning_rate", Float),
    Column("gradient_norm", Float),
    Column("pairs_per_second", Float),
    Column("tokens_per_second", Float),
    Column("shared", Float),  # share of tokens that sharing prompts saved
    Column("padding", Float),  # share of computed tokens that stand for nothing
    Column("valid_nll", Float),
    Column("valid_accuracy", Float),
    Column("is_best", Boolean, nullable=False),
    Column("created", Float, nullable=False),
)

rewards = Table(
    "rewards",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("pair_id", ForeignKey("pairs.id"), primary_key=True),
    Column("reward_a", Float, nullable=False),
    Column("reward_b", Float, nullable=False),
    Column("trimmed", Boolean, nullable=False),
)

margins = Table(
    "margins",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("pair_id", ForeignKey("pairs.id"), primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("fold", Integer, nullable=False),
    Column("margin", Float, nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),  # the model
    Column("dataset_id", ForeignKey("datasets.id"), nullable=False),
    Column("part", String(5), nullable=False),
    Column("against", Text, nullable=False),  # labeler name, people, ai, or verdicts
    Column("metrics", Text, nullable=False),  # JSON of core.measure.evaluation.Evaluation
    Column("created", Float, nullable=False),
    UniqueConstraint("run_id", "dataset_id", "part", "against"),
)
