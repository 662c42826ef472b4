import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.config import Method, Ties, TrainConfig
from core.engine import checkpoint, export, score
from core.engine.canaries import LEAST_CANARIES
from core.engine.checkpoint import CANARIES, FACTS
from core.engine.proof import Prover
from core.engine.train import train
from core.errors import NotFound, RunFailed
from tests.core.engine import tiny

PAIRS = [tiny.pair(seed) for seed in range(12)]


def trained(load, backbone, **settings):
    """A model two steps from its start, and its config."""
    settings = {"method": Method.FULL, "learning_rate": 1e-2, "batch_pairs": 8, **settings}
    config = TrainConfig(backbone=str(backbone), **settings)
    loaded = load(backbone, **settings)
    if config.method is Method.PROBE:
        with torch.no_grad():
            loaded.model.head.weight.mul_(2.0)
        return loaded, config
    assert len(list(train(loaded, config, tiny.prepared(loaded, config, tiny.snapshot(16))))) == 3
    return loaded, config


def save(loaded, config, folder, *, pairs=PAIRS):
    checkpoint.save(loaded, config, folder, temperature=1.5, canary_pairs=pairs, card="# A card\n")
    return folder


def rewards(loaded):
    overlong = tiny.pair(50, prompt_words=600, response_words=30)
    return [
        value for one in score.score(loaded, enumerate([*PAIRS, overlong])) for value in (one.reward_a, one.reward_b)
    ]


@pytest.mark.parametrize(
    ("backbone", "method"),
    [
        ("decoder", Method.FULL),
        ("decoder", Method.LORA),
        ("padless_decoder", Method.LORA),
        ("chat_decoder", Method.PROBE),
        ("encoder", Method.FULL),
        ("encoder", Method.LORA),
    ],
)
def test_reloaded_checkpoint_scores_like_the_trained_model(load, request, tmp_path, backbone, method):
    loaded, config = trained(load, request.getfixturevalue(backbone), method=method)

    folder = save(loaded, config, tmp_path / "checkpoint")
    reloaded = checkpoint.load(folder, torch.device("cpu"))

    assert rewards(reloaded) == pytest.approx(rewards(loaded), abs=1e-4)
    assert reloaded.rules == loaded.rules
    assert reloaded.backbone == loaded.backbone
    assert reloaded.temperature == 1.5


@pytest.mark.parametrize("backbone", ["decoder", "encoder"])
@pytest.mark.parametrize("ties", [Ties.RAO_KUPPER, Ties.DAVIDSON])
def test_learned_tie_parameter_is_saved_and_reloaded(load, request, tmp_path, backbone, ties):
    loaded, config = trained(load, request.getfixturevalue(backbone), ties=ties)

    folder = save(loaded, config, tmp_path / "checkpoint")
    reloaded = checkpoint.load(folder, torch.device("cpu"))

    facts = json.loads((folder / FACTS).read_text())
    assert facts["tie_parameter"] == loaded.tie_parameter > 0
    assert reloaded.tie_parameter == pytest.approx(loaded.tie_parameter, rel=1e-6)
    assert reloaded.model.tie_parameter.ties is ties
    assert rewards(reloaded) == pytest.approx(rewards(loaded), abs=1e-4)


def test_checkpoint_without_learned_ties_has_no_tie_parameter(load, decoder, tmp_path):
    loaded, config = trained(load, decoder)

    reloaded = checkpoint.load(save(loaded, config, tmp_path / "checkpoint"), torch.device("cpu"))

    assert reloaded.tie_parameter is None


@pytest.mark.slow
def test_reloaded_checkpoint_of_the_embedded_backbone_scores_like_the_trained_model(load, tmp_path):
    loaded, config = trained(load, "minilm", method=Method.PROBE, max_tokens=64)

    reloaded = checkpoint.load(save(loaded, config, tmp_path / "checkpoint"), torch.device("cpu"))

    assert rewards(reloaded) == pytest.approx(rewards(loaded), abs=1e-4)


def test_saving_leaves_the_model_as_it_was(load, decoder, tmp_path):
    loaded, config = trained(load, decoder, method=Method.LORA)
    before = rewards(loaded)

    save(loaded, config, tmp_path / "checkpoint")

    assert rewards(loaded) == before
    assert any("lora_" in name for name, _ in loaded.model.named_parameters())


def test_checkpoint_says_what_a_public_library_needs(load, chat_decoder, tmp_path):
    loaded, config = trained(load, chat_decoder, method=Method.PROBE)

    folder = save(loaded, config, tmp_path / "checkpoint")

    public = json.loads((folder / "config.json").read_text())
    assert public["architectures"] == ["LlamaForSequenceClassification"]
    assert public["problem_type"] == "regression"
    assert list(public["id2label"]) == ["0"]  # how num_labels = 1 is written
    assert public["pad_token_id"] == loaded.tokenizer.pad_token_id
    facts = json.loads((folder / FACTS).read_text())
    assert facts["pooled_token_id"] == loaded.tokenizer.eos_token_id
    assert facts["temperature"] == 1.5
    assert facts["rules"] == {"max_tokens": tiny.DECODER_POSITIONS, "pooling": "last", "append_eos": True}
    assert (folder / "chat_template.jinja").read_text() == tiny.CHAT_TEMPLATE
    assert (folder / "README.md").read_text().startswith("# A card\n\n## Load\n")
    assert not [file for file in folder.rglob("*") if file.suffix in {".bin", ".pkl", ".pt"}]


@pytest.mark.parametrize("num_pairs", [1, 12])
def test_canaries_hold_the_longest_text_and_a_trimmed_one(load, decoder, tmp_path, num_pairs):
    loaded, config = trained(load, decoder, method=Method.PROBE)
    pairs = [tiny.pair(seed, response_words=3 + seed) for seed in range(num_pairs)]

    folder = save(loaded, config, tmp_path / "checkpoint", pairs=pairs)

    canaries = [json.loads(line) for line in (folder / CANARIES).read_text().splitlines()]
    assert len(canaries) >= LEAST_CANARIES
    assert {frozenset(one) for one in canaries} == {frozenset({"prompt", "response", "text", "input_ids", "reward"})}
    longest = max((text for pair in pairs for text in (pair.response_a, pair.response_b)), key=len)
    assert longest in {one["response"] for one in canaries}
    lengths = [len(one["input_ids"]) for one in canaries]
    assert max(lengths) <= loaded.rules.max_tokens
    whole = [
        len(loaded.tokenizer("".join(turn["content"] for turn in one["prompt"]) + one["response"])["input_ids"])
        for one in canaries
    ]
    assert max(whole) > loaded.rules.max_tokens  # that one can only be there trimmed


def test_saving_again_replaces_what_was_there(load, decoder, tmp_path):
    loaded, config = trained(load, decoder, method=Method.PROBE)
    folder = save(loaded, config, tmp_path / "checkpoint")
    (folder / "left over").write_text("from before")

    save(loaded, config, folder)

    assert not (folder / "left over").exists()
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint"]


def test_folder_that_is_no_checkpoint_is_one_sentence(tmp_path):
    with pytest.raises(NotFound, match="no Tiebreak checkpoint"):
        checkpoint.load(tmp_path, torch.device("cpu"))


FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from core.config import Method, TrainConfig
from core.engine import checkpoint
from core.engine.model import load_backbone
from core.errors import RunFailed
from tests.core.engine import tiny

backbone, folder, limits = sys.argv[1], Path(sys.argv[2]), [int(limit) for limit in sys.argv[3:]]
config = TrainConfig(backbone=backbone, method=Method.PROBE)
loaded = load_backbone(config, torch.device("cpu"))
for limit in limits:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        checkpoint.save(loaded, config, folder, temperature=None, canary_pairs=[tiny.pair(1)], card="card")
    except RunFailed as refused:
        print(refused)
"""


@pytest.mark.slow
def test_full_disk_leaves_nothing_and_is_one_sentence(decoder, tmp_path):
    folder = tmp_path / "runs" / "checkpoint"
    size = {file.name: file.stat().st_size for file in Path(decoder).iterdir()}
    # No byte at all; room for the configuration but not for the weights. A limit on each file stands for a full disk.
    limits = [0, size["config.json"] * 2]
    assert limits[1] < size["model.safetensors"]

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, decoder, str(folder), *map(str, limits)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )

    assert done.returncode == 0, done.stderr[-2000:]
    refused = done.stdout.splitlines()
    assert len(refused) == len(limits)
    assert all(words.startswith(f"the checkpoint could not be written to {folder}: ") for words in refused)
    assert list(folder.parent.iterdir()) == []


def test_place_that_cannot_be_written_is_one_sentence(load, decoder, tmp_path):
    loaded, config = trained(load, decoder, method=Method.PROBE)
    (tmp_path / "runs").write_text("a file where a folder should be")

    with pytest.raises(RunFailed, match="could not be written") as refused:
        save(loaded, config, tmp_path / "runs" / "checkpoint")

    assert "\n" not in str(refused.value)
    assert [one.name for one in tmp_path.iterdir()] == ["runs"]


def test_saving_leaves_nothing_of_what_was_there(load, decoder, tmp_path):
    """An adapter_config.json beside whole weights is applied to them by transformers without a word."""
    stale = save(*trained(load, decoder, method=Method.LORA), tmp_path / "checkpoint")
    assert (stale / "adapter_config.json").exists()

    loaded, config = trained(load, decoder, method=Method.FULL)
    save(loaded, config, stale)

    assert not list(stale.glob("adapter*"))
    assert rewards(checkpoint.load(stale, torch.device("cpu"))) == pytest.approx(rewards(loaded), abs=1e-4)


@pytest.mark.slow
def test_stale_adapter_beside_whole_weights_fails_the_proof(load, decoder, tmp_path):
    adapter = save(*trained(load, decoder, method=Method.LORA), tmp_path / "adapter")
    folder = save(*trained(load, decoder, method=Method.FULL), tmp_path / "checkpoint")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, folder)

    with pytest.raises(RunFailed, match=r"adapter_config\.json that is not of this checkpoint"):
        export.export(folder, tmp_path / "copy")

    assert not (tmp_path / "copy").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["padless_decoder", "encoder"])
def test_exported_copy_proves_itself_in_a_fresh_process(load, request, tmp_path, backbone):
    loaded, config = trained(load, request.getfixturevalue(backbone), method=Method.LORA)
    folder = save(loaded, config, tmp_path / "checkpoint")
    destination = tmp_path / "deep" / "copy"

    export.export(folder, destination)

    same = {file.relative_to(folder) for file in folder.rglob("*")}
    assert {file.relative_to(destination) for file in destination.rglob("*")} == same
    assert [one.name for one in destination.parent.iterdir()] == ["copy"]


@pytest.mark.slow
def test_tampered_checkpoint_fails_its_proof_and_is_set_aside(load, decoder, tmp_path):
    loaded, config = trained(load, decoder, method=Method.PROBE)
    folder = save(loaded, config, tmp_path / "checkpoint")
    lines = (folder / CANARIES).read_text().splitlines()
    canary = json.loads(lines[3])
    canary["reward"] += 0.01
    (folder / CANARIES).write_text("\n".join([*lines[:3], json.dumps(canary), *lines[4:]]) + "\n")

    with pytest.raises(RunFailed, match="canary 4") as refused:
        Prover(mean_pooled=False).prove(folder)

    assert "\n" not in str(refused.value)
    assert not folder.exists()
    assert (tmp_path / "checkpoint.unproven" / CANARIES).exists()


class TestExport:
    def test_destination_that_holds_files_is_refused_and_untouched(self, tmp_path):
        published, destination = tmp_path / "published", tmp_path / "mine"
        published.mkdir()
        destination.mkdir()
        (destination / "thesis.txt").write_text("precious")

        with pytest.raises(RunFailed, match="not empty"):
            export.export(published, destination)

        assert (destination / "thesis.txt").read_text() == "precious"
        assert sorted(one.name for one in tmp_path.iterdir()) == ["mine", "published"]

    def test_destination_that_is_a_file_is_refused(self, tmp_path):
        (tmp_path / "published").mkdir()
        (tmp_path / "mine").write_text("precious")

        with pytest.raises(RunFailed):
            export.export(tmp_path / "published", tmp_path / "mine")

        assert (tmp_path / "mine").read_text() == "precious"

    def test_checkpoint_that_is_gone_is_one_sentence(self, tmp_path):
        with pytest.raises(NotFound, match="gone"):
            export.export(tmp_path / "nothing", tmp_path / "mine")
