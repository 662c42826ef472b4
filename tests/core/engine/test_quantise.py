"""Frozen weights in 4 bits: the whole way on a CPU, where the extra `quant` is installed."""

import importlib.util
import sys

import pytest
import torch
from safetensors.torch import load_file

from core.config import Method, Precision, Quantise, TrainConfig
from core.engine import checkpoint, export, score
from core.engine.model import load_backbone
from core.engine.train import train
from core.errors import BadConfig
from tests.core.engine import tiny

IS_THERE = importlib.util.find_spec("bitsandbytes") is not None
needs_quant = pytest.mark.skipif(not IS_THERE, reason="needs bitsandbytes (extra quant)")
CPU = torch.device("cpu")
PAIRS = [tiny.pair(seed) for seed in range(6)]
SETTINGS = {"method": Method.LORA, "quantise": Quantise.FOUR_BIT, "learning_rate": 1e-2, "batch_pairs": 4, "epochs": 6}


def test_without_the_extra_it_is_one_sentence_before_anything_loads(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as Python marks what cannot be imported
    config = TrainConfig(backbone="/there/is/no/such/folder", method=Method.LORA, quantise=Quantise.FOUR_BIT)

    with pytest.raises(
        BadConfig, match=r"needs the package bitsandbytes; get it with: pip install 'tiebreak\[quant\]'"
    ):
        load_backbone(config, CPU)


@needs_quant
def test_on_a_device_that_it_does_not_know_is_one_sentence(decoder):
    with pytest.raises(BadConfig, match="not on mps; use device=cpu"):
        load_backbone(TrainConfig(backbone=decoder, **SETTINGS), torch.device("mps"))


def trained(load, backbone, **settings):
    settings = {**SETTINGS, **settings}
    config = TrainConfig(backbone=backbone, **settings)
    loaded = load(backbone, **settings)
    return loaded, config, list(train(loaded, config, tiny.prepared(loaded, config, tiny.snapshot(16))))


def rewards(loaded):
    return [value for one in score.score(loaded, enumerate(PAIRS)) for value in (one.reward_a, one.reward_b)]


KINDS = [
    ("decoder", {}),
    ("decoder", {"precision": Precision.BF16, "dora": True}),
    ("padless_decoder", {}),
    ("encoder", {"precision": Precision.BF16}),
]


@needs_quant
@pytest.mark.parametrize(("backbone", "settings"), KINDS, ids=str)
class TestFourBit:
    def test_weights_are_the_backbones_linear_layers_and_what_is_trained_is_float32(
        self, load, request, backbone, settings
    ):
        loaded, _, steps = trained(load, request.getfixturevalue(backbone), **settings)

        frozen = {p.dtype for name, p in loaded.model.named_parameters() if ".base_layer.weight" in name}
        assert frozen == {torch.uint8}
        assert {p.dtype for p in loaded.model.parameters() if p.requires_grad} == {torch.float32}
        assert loaded.model.head.weight.shape == (1, 16)
        assert steps[-1].loss < steps[1].loss

    @pytest.mark.slow
    def test_checkpoint_proves_itself_as_it_is_and_merged(self, load, request, tmp_path, backbone, settings):
        loaded, config, _ = trained(load, request.getfixturevalue(backbone), **settings)
        folder = tmp_path / "checkpoint"

        rounding = checkpoint.save(loaded, config, folder, temperature=None, canary_pairs=PAIRS, card="# A card\n")
        export.export(folder, tmp_path / "copy")
        export.export(folder, tmp_path / "merged", merge=True)

        # The run's own bf16 rounds; what is published is proven to 1e-4 either way.
        size = max(map(abs, rewards(loaded)))
        allowed = 0.1 * size if "precision" in settings else 1e-4
        assert rounding < allowed
        assert rewards(checkpoint.load(tmp_path / "merged", CPU)) == pytest.approx(rewards(loaded), abs=allowed)
        merged = load_file(tmp_path / "merged" / "model.safetensors")
        assert {one.dtype for one in merged.values()} == {torch.float32}
        assert "quantization_config" not in (tmp_path / "merged" / "config.json").read_text()
