"""What a decoder trained by lora publishes: an adapter that public libraries load to the same rewards."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.config import Method, Precision, TrainConfig
from core.engine import checkpoint, export, score
from core.engine.canaries import LEAST_CANARIES
from core.engine.checkpoint import CANARIES
from core.engine.proof import Prover
from core.engine.train import train
from core.errors import NotFound, RunFailed
from tests.core.engine import tiny

PAIRS = [tiny.pair(seed) for seed in range(8)]
CPU = torch.device("cpu")
KINDS = [
    ("decoder", {}),
    ("decoder", {"dora": True}),
    ("decoder", {"rank_stabilised": True, "lora_targets": "q_proj,up_proj", "lora_dropout": 0.1}),
    ("padless_decoder", {"dora": True}),
    ("gpt2", {}),
    ("gpt2", {"dora": True}),
]
HALF = [("decoder", {"precision": Precision.BF16}), ("padless_decoder", {"precision": Precision.FP16, "dora": True})]


def published(load, backbone, folder, **settings):
    """A model trained by lora for some steps, and the folder that it published."""
    settings = {"method": Method.LORA, "learning_rate": 3e-2, "batch_pairs": 4, "epochs": 4, **settings}
    config = TrainConfig(backbone=str(backbone), **settings)
    loaded = load(backbone, **settings)
    fresh = rewards(loaded)
    list(train(loaded, config, tiny.prepared(loaded, config, tiny.snapshot(16))))
    assert max(abs(one - other) for one, other in zip(rewards(loaded), fresh, strict=True)) > 0.1
    rounding = checkpoint.save(loaded, config, folder, temperature=1.5, canary_pairs=PAIRS, card="# A card\n")
    return loaded, folder, rounding


def rewards(loaded):
    scored = score.score(loaded, enumerate([*PAIRS, tiny.pair(50, prompt_words=600, response_words=30)]))
    return [value for one in scored for value in (one.reward_a, one.reward_b)]


def canaries(folder):
    return [json.loads(line) for line in (folder / CANARIES).read_text().splitlines()]


def rewards_by(model, folder):
    """Of the canaries, by a public library, in one padded batch."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    batch = tokenizer.pad({"input_ids": [one["input_ids"] for one in canaries(folder)]}, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**batch).logits[:, 0].tolist()


@pytest.fixture(params=KINDS, ids=str)
def made(request, load, tmp_path):
    backbone, settings = request.param
    return published(load, request.getfixturevalue(backbone), tmp_path / "checkpoint", **settings)


def test_reloaded_adapter_scores_like_the_trained_model(made):
    loaded, folder, rounding = made

    assert rewards(checkpoint.load(folder, CPU)) == pytest.approx(rewards(loaded), abs=1e-4)
    assert rounding == 0


def test_peft_alone_gives_the_rewards_by_the_calls_that_the_card_shows(made):
    _, folder, _ = made
    _, _, code = (folder / "README.md").read_text().partition("## Load\n")
    lines = [line[4:] for line in code.splitlines() if line.startswith("    ")]

    names = {"folder": folder}
    exec("\n".join(lines), names)

    assert isinstance(names["model"], torch.nn.Module)
    expected = [one["reward"] for one in canaries(folder)]
    assert rewards_by(names["model"], folder) == pytest.approx(expected, abs=1e-4)
    config = names["model"].config
    assert (config.num_labels, config.problem_type) == (1, "regression")
    assert config.pad_token_id not in {one["input_ids"][-1] for one in canaries(folder)}


@pytest.mark.parametrize("dora", [False, True])
def test_transformers_alone_gives_the_rewards_too(load, decoder, tmp_path, dora):
    _, folder, _ = published(load, decoder, tmp_path / "checkpoint", dora=dora)

    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)

    expected = [one["reward"] for one in canaries(folder)]
    assert rewards_by(model, folder) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("library", [AutoModelForSequenceClassification, AutoPeftModelForSequenceClassification])
def test_without_the_one_label_an_adapter_does_not_load(load, decoder, tmp_path, library):
    _, folder, _ = published(load, decoder, tmp_path / "checkpoint")

    with pytest.raises(RuntimeError, match="mismatch"):
        library.from_pretrained(folder)


def test_folder_holds_the_adapter_the_head_and_the_tokenizer_alone(load, decoder, tmp_path):
    loaded, folder, _ = published(load, decoder, tmp_path / "checkpoint")

    names = {file.name for file in folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tiebreak.json", CANARIES} <= names
    assert not names & {"config.json", "model.safetensors"}
    weights = load_file(folder / "adapter_model.safetensors")
    assert torch.equal(weights["base_model.model.score.weight"], loaded.model.head.weight)
    assert {one.dtype for one in weights.values()} == {torch.float32}
    assert all("lora_" in name or "score" in name for name in weights)
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["task_type"] == "SEQ_CLS"
    assert settings["base_model_name_or_path"] == loaded.backbone.path
    assert settings["revision"] is None  # a folder has none that a public library knows
    assert len(canaries(folder)) >= LEAST_CANARIES


def test_row_of_an_added_padding_token_is_saved(load, padless_decoder, tmp_path):
    loaded, folder, _ = published(load, padless_decoder, tmp_path / "checkpoint")

    (saved,) = (one for name, one in load_file(folder / "adapter_model.safetensors").items() if "embed" in name)
    assert torch.equal(saved[loaded.tokenizer.pad_token_id], loaded.model.shell.get_input_embeddings().weight[-1])


class TestHalfPrecision:
    """What is published is float32: the backbone as it lies on disk, with what was trained."""

    @pytest.fixture(params=HALF, ids=str)
    def made(self, request, load, tmp_path):
        backbone, settings = request.param
        return published(load, request.getfixturevalue(backbone), tmp_path / "checkpoint", **settings)

    def test_canaries_are_those_of_the_published_weights_not_of_the_rounded_ones(self, made):
        loaded, folder, rounding = made
        rows = [torch.tensor([one["input_ids"]]) for one in canaries(folder)]
        with torch.no_grad():
            of_run = [loaded.model(row, torch.ones_like(row)).item() for row in rows]
            of_published = [checkpoint.load(folder, CPU).model(row, torch.ones_like(row)).item() for row in rows]

        assert [one["reward"] for one in canaries(folder)] == pytest.approx(of_published, abs=1e-5)
        apart = max(abs(one - other) for one, other in zip(of_run, of_published, strict=True))
        assert rounding == pytest.approx(apart, abs=1e-5)
        assert 1e-4 < rounding < 0.1  # rounding, and no more than that

    @pytest.mark.slow
    @pytest.mark.parametrize("merge", [False, True])
    def test_export_proves_itself_as_strictly_as_in_float32(self, made, tmp_path, merge):
        _, folder, _ = made

        export.export(folder, tmp_path / "copy", merge=merge)

        assert {one.dtype for one in load_file(next((tmp_path / "copy").glob("*model.safetensors"))).values()} <= {
            torch.float32,
            *({torch.float16} if not merge else set()),  # an embedding that grew is kept as the run had it
        }


class TestBackboneThatIsNotThere:
    def test_is_one_sentence_when_it_is_gone(self, load, decoder, tmp_path):
        backbone = Path(shutil.copytree(decoder, tmp_path / "backbone"))
        _, folder, _ = published(load, backbone, tmp_path / "checkpoint")
        shutil.rmtree(backbone)

        with pytest.raises(NotFound, match=f"trained on is gone: put it back to {backbone}") as refused:
            checkpoint.load(folder, CPU)

        assert "\n" not in str(refused.value)

    def test_is_one_sentence_when_it_has_other_weights(self, load, decoder, tmp_path):
        backbone = Path(shutil.copytree(decoder, tmp_path / "backbone"))
        _, folder, _ = published(load, backbone, tmp_path / "checkpoint")
        weights = load_file(backbone / "model.safetensors")
        weights["model.layers.0.mlp.up_proj.weight"] *= 2
        save_file(weights, backbone / "model.safetensors", metadata={"format": "pt"})

        with pytest.raises(NotFound, match="no longer the backbone that this adapter was trained on"):
            checkpoint.load(folder, CPU)

    @pytest.mark.slow
    def test_fails_the_proof(self, load, decoder, tmp_path):
        backbone = Path(shutil.copytree(decoder, tmp_path / "backbone"))
        _, folder, _ = published(load, backbone, tmp_path / "checkpoint")
        shutil.rmtree(backbone)

        with pytest.raises(RunFailed, match="does not reproduce its rewards"):
            Prover(mean_pooled=False).prove(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "settings"), [KINDS[3], KINDS[5]], ids=str)
class TestMerge:
    def test_makes_a_plain_folder_with_the_same_rewards(self, load, request, tmp_path, backbone, settings):
        loaded, folder, _ = published(load, request.getfixturevalue(backbone), tmp_path / "checkpoint", **settings)

        assert export.export(folder, tmp_path / "merged", merge=True) is True

        assert canaries(tmp_path / "merged") == canaries(folder)
        assert not list((tmp_path / "merged").glob("adapter*"))
        assert [one.name for one in tmp_path.iterdir() if "partial" in one.name] == []
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
        assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
        assert model.config.pad_token_id == loaded.tokenizer.pad_token_id
        assert "AutoPeft" not in (tmp_path / "merged" / "README.md").read_text()
        assert rewards(checkpoint.load(tmp_path / "merged", CPU)) == pytest.approx(rewards(loaded), abs=1e-4)

    def test_of_what_is_merged_copies_it(self, load, request, tmp_path, backbone, settings):
        _, folder, _ = published(load, request.getfixturevalue(backbone), tmp_path / "checkpoint", **settings)
        export.export(folder, tmp_path / "merged", merge=True)

        assert export.export(tmp_path / "merged", tmp_path / "again", merge=True) is False

        assert {one.name for one in (tmp_path / "again").iterdir()} == {
            one.name for one in (tmp_path / "merged").iterdir()
        }


@pytest.mark.slow
def test_exported_adapter_proves_itself_where_it_is_copied(load, padless_decoder, tmp_path):
    _, folder, _ = published(load, padless_decoder, tmp_path / "checkpoint", dora=True)

    assert export.export(folder, tmp_path / "copy") is False

    assert {one.name for one in (tmp_path / "copy").iterdir()} == {one.name for one in folder.iterdir()}


@pytest.mark.slow
def test_tampered_adapter_fails_its_proof(load, decoder, tmp_path):
    _, folder, _ = published(load, decoder, tmp_path / "checkpoint")
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**settings, "lora_alpha": settings["lora_alpha"] * 2}))

    with pytest.raises(RunFailed, match="canary 1: reward"):
        Prover(mean_pooled=False).prove(folder)


# In a process of its own, as the place of the hub's cache is read once.
_FROM_HUB = """
import sys
from pathlib import Path
import torch
from core.config import Method, TrainConfig
from core.engine import checkpoint
from core.engine.model import load_backbone
from core.engine.proof import Prover
from tests.core.engine import tiny

folder = Path(sys.argv[1])
config = TrainConfig(backbone="somebody/tiny", method=Method.LORA)
loaded = load_backbone(config, torch.device("cpu"))
checkpoint.save(loaded, config, folder, temperature=None, canary_pairs=[tiny.pair(1)], card="")
Prover(mean_pooled=False).prove(folder)
checkpoint.load(folder, torch.device("cpu"))
"""


@pytest.mark.slow
def test_backbone_of_the_hub_is_named_by_its_id_and_commit(decoder, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--somebody--tiny"
    shutil.copytree(decoder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)

    done = subprocess.run(
        [sys.executable, "-c", _FROM_HUB, str(tmp_path / "checkpoint")],
        env=os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )

    assert done.returncode == 0, done.stderr[-2000:]
    settings = json.loads((tmp_path / "checkpoint" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "somebody/tiny"
    assert settings["revision"] == commit
