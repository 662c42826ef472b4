"""Which backbone? Several through the command line, with real workers, and the mistakes a user can make."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from core.errors import BadConfig
from tests.core.engine.tiny import DECODER_POSITIONS, ENCODER_POSITIONS, save_decoder, save_encoder
from ui import backbones
from ui.cli import app

NUM_PAIRS = 40


def tiebreak(store: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["--store", str(store), *map(str, arguments)])


@pytest.fixture
def store(tmp_path) -> Path:
    path, file = tmp_path / "store.db", tmp_path / "things.jsonl"
    rows = [
        {"prompt": f"Which is number {n}?", "response_chosen": f"It is {n}.", "response_rejected": f"It is {n + 1}!"}
        for n in range(NUM_PAIRS)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported = tiebreak(path, "import", file, "--labeler", "rule")
    assert imported.exit_code == 0, imported.output
    return path


def named(*names: object) -> list[str]:
    return [word for name in names for word in ("--backbone", str(name))]


def count_runs(store: Path) -> int:
    return len(json.loads(tiebreak(store, "runs", "--json").stdout))


@pytest.mark.slow
def test_several_backbones_are_compared_on_one_snapshot_and_a_missing_one_stops_none(store, tmp_path):
    encoder, decoder, missing = (
        save_encoder(tmp_path / "encoder"),
        save_decoder(tmp_path / "decoder"),
        tmp_path / "none",
    )
    (tmp_path / "decoder" / "README.md").write_text("---\nlicense: mit\n---\n")
    wanted = named(missing, encoder, decoder)

    result = tiebreak(
        store, "train", "--dataset", "things", *wanted, "--policy-size", "1M", "--set", "device=cpu", "--json"
    )

    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    rows = {row["backbone"]: row for row in answer["backbones"]}
    assert answer["policy_size"] == 10**6
    assert rows.keys() == {encoder, decoder, str(missing)}
    assert [row["state"] for row in answer["backbones"]] == ["finished", "finished", "failed"]
    assert str(missing) in rows[str(missing)]["error"]
    assert rows[str(missing)]["accuracy"] is None
    first, second = answer["backbones"][:2]
    assert first["accuracy"]["value"] >= second["accuracy"]["value"]
    assert first["accuracy"]["low"] <= first["accuracy"]["value"] <= first["accuracy"]["high"]
    assert len({row["snapshot"] for row in answer["backbones"]}) == 1
    assert (rows[encoder]["context"], rows[decoder]["context"]) == (ENCODER_POSITIONS, DECODER_POSITIONS)
    assert (rows[encoder]["licence"], rows[decoder]["licence"]) == (None, "mit")
    for row in (rows[encoder], rows[decoder]):
        assert row["share_of_policy"] == row["parameters"] / 10**6
        assert all(row[method]["minutes"] > 0 and row[method]["memory"] > 0 for method in ("lora", "full"))


@pytest.mark.slow
def test_if_none_of_them_can_be_had_the_exit_is_1_and_each_is_named(store, tmp_path):
    result = tiebreak(
        store, "train", "--dataset", "things", *named(tmp_path / "p", tmp_path / "q"), "--set", "device=cpu"
    )

    assert result.exit_code == 1
    assert [str(tmp_path / name) in result.stderr for name in "pq"] == [True, True]
    assert "backbones, the most accurate first" in result.stdout


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ([*named("minilm", "x/y"), "--method", "lora"], "method probe, got lora"),
        ([*named("minilm", "x/y"), "--set", "backbone=z"], "contradict"),
        ([*named("minilm", "x/y"), "--policy-size", "huge"], "'huge'"),
        ([*named("minilm", "minilm"), "--policy-size", "8B"], "at least two"),
        (["--policy-size", "8B"], "at least two"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence_and_starts_no_run(store, options, word):
    result = tiebreak(store, "train", "--dataset", "things", *options)

    assert result.exit_code == 1, result.output
    assert word in result.stderr
    assert count_runs(store) == 0


@pytest.mark.parametrize(
    ("text", "size"),
    [("8B", 8 * 10**9), ("1.5B", 15 * 10**8), ("600M", 6 * 10**8), (" 7b ", 7 * 10**9), ("1T", 10**12)],
)
def test_a_policy_has_a_number_of_parameters(text, size):
    assert backbones.policy_size(text) == size


@pytest.mark.parametrize("text", ["", "8", "B", "0B", "-8B", "8GB", "1,5B", "1e3B", "nanB", "٨B", "999999T"])
def test_a_size_that_makes_no_sense_is_refused_with_what_would(text):
    with pytest.raises(BadConfig, match=r"such as 600M, 1\.5B or 8B"):
        backbones.policy_size(text)


def test_different_snapshots_are_said():
    rows = [{"snapshot": 4}, {"snapshot": None}, {"snapshot": 2}]

    assert backbones.snapshots_words({"backbones": rows[:2]}) == "all on snapshot 4"
    assert backbones.snapshots_words({"backbones": rows}).startswith("snapshots 2, 4 differ")
