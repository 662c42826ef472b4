"""What is told of a backbone: its licence as its folder names it, its size, and what training it would take."""

from dataclasses import replace

import pytest
import torch
from transformers import MixtralConfig, MixtralForCausalLM

from core.config import EMBEDDED_BACKBONE, Method, TrainConfig
from core.engine.backbone_facts import facts_of, licence_of
from core.engine.estimate import estimate, workload_of_texts
from core.engine.model import load_backbone
from tests.core.engine.tiny import DECODER_POSITIONS, ENCODER_POSITIONS, save_decoder, save_encoder, snapshot

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n# A model", "mit"),
        ("---\nlanguage: en\nlicense: 'apache-2.0'\n---\n", "apache-2.0"),
        ("---\nlicense:\n- mit\n- cc-by-4.0\n---\n", "mit, cc-by-4.0"),
        ("---\nlicense: other\nlicense_name: house-rules\n---\n", "house-rules"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlanguage: en\n---\nlicense: mit", None),
        ("---\nlicense: [mit\n---\n", None),
        ("---\n- license\n---\n", None),
        ("The license: mit", None),
        ("", None),
    ],
)
def test_a_licence_is_what_the_head_of_the_model_card_names(tmp_path, card, licence):
    (tmp_path / "README.md").write_text(card)

    assert licence_of("mine", tmp_path) == licence


def test_without_a_card_the_licence_is_the_first_line_of_its_file(tmp_path):
    (tmp_path / "LICENSE.txt").write_text("\n        Apache License\n   Version 2.0, January 2004\n")

    assert licence_of("mine", tmp_path) == "Apache License"


def test_a_card_is_believed_before_the_licence_file(tmp_path):
    (tmp_path / "LICENSE").write_text("MIT License\n")
    (tmp_path / "README.md").write_text("---\nlicense: bsd-3-clause\n---\n")

    assert licence_of("mine", tmp_path) == "bsd-3-clause"


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_folder_that_names_no_licence_has_none(tmp_path, text):
    (tmp_path / "LICENSE").write_text(text)

    assert licence_of("mine", tmp_path) is None
    assert licence_of(EMBEDDED_BACKBONE, tmp_path) == "apache-2.0"


@pytest.mark.parametrize(("save", "positions"), [(save_encoder, ENCODER_POSITIONS), (save_decoder, DECODER_POSITIONS)])
def test_costs_are_the_estimates_of_lora_and_full_with_the_settings_of_the_probe(tmp_path, save, positions):
    config = TrainConfig(backbone=save(tmp_path), device="cpu", batch_pairs=4)
    loaded, pairs = load_backbone(config, CPU), snapshot(12, 4)

    facts = facts_of(loaded, config, pairs)

    assert (
        facts.parameters
        == sum(weight.numel() for weight in loaded.model.parameters()) - loaded.model.head.weight.numel()
    )
    assert facts.context == positions
    for cost, method in ((facts.lora, Method.LORA), (facts.full, Method.FULL)):
        trained = replace(config, method=method)
        expected = estimate(trained, workload_of_texts(trained, pairs), CPU)
        assert cost.memory == expected.memory.total
        assert cost.minutes > 0


def test_what_cannot_be_estimated_is_none(tmp_path):
    # Experts are multiplied by a kernel that takes no tensors without memory in float32.
    save_decoder(tmp_path)
    experts = MixtralConfig(
        vocab_size=400,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=2,
    )
    MixtralForCausalLM(experts).save_pretrained(tmp_path)
    config = TrainConfig(backbone=str(tmp_path), device="cpu")

    facts = facts_of(load_backbone(config, CPU), config, snapshot(12))

    assert (facts.lora, facts.full) == (None, None)
    assert facts.parameters > 0
