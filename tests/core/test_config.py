import dataclasses
from pathlib import Path

import pytest

from core.config import Method, Ties, TrainConfig, config_from, config_from_toml
from core.errors import BadConfig


def test_text_becomes_typed_values():
    config = config_from({"method": "lora", "epochs": "2", "learning_rate": "1e-4", "ties": "drop", "max_tokens": None})

    assert config == TrainConfig(method=Method.LORA, epochs=2, learning_rate=1e-4, ties=Ties.DROP)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochz": 1}, "unknown config key 'epochz'"),
        ({"epochs": "many"}, "epochs must be a whole number, got 'many'"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"learning_rate": "nan"}, "learning_rate must be a number, got 'nan'"),
        ({"label_smoothing": 0.5}, r"label_smoothing must be in \[0, 0.5\), got 0.5"),
        ({"noise_rate": 0.5}, r"noise_rate must be in \[0, 0.5\), got 0.5"),
        ({"tie_penalty": 0}, "tie_penalty must be above 0 and at most 100, got 0"),
        ({"target_margin": -0.1}, r"target_margin must be in \[0, 100\], got -0.1"),
        ({"ties": "win"}, "ties must be one of drop, half, penalise, davidson, rao-kupper, got 'win'"),
        (
            {"method": "lora", "label_smoothing": 0.1, "noise_rate": 0.1},
            "label_smoothing and noise_rate both account for flipped labels; set one of them",
        ),
        (
            {"ties": "rao-kupper"},
            "ties=rao-kupper needs method lora or full; method probe takes ties=half",
        ),
        ({"centring": 0.01}, "centring needs method lora or full, got 0.01 with method probe"),
        ({"method": "lora", "lora_dropout": 1}, r"lora_dropout must be in \[0, 1\), got 1"),
        ({"method": "full", "quantise": "4bit"}, "quantise needs method lora, got 4bit with method full"),
        ({"method": "probe", "dora": "true"}, "dora needs method lora, got True with method probe"),
        ({"method": "lora", "quantise": "8bit"}, "quantise must be one of none, 4bit, got '8bit'"),
        ({"method": "dpo"}, "method must be one of probe, lora, full, got 'dpo'"),
        ({"method": "lora", "processes": 0}, "processes must be at least 1, got 0"),
        ({"method": "lora", "shard": True}, "shard=true keeps the weights in pieces on several devices; set processes"),
        (
            {"method": "full", "shard": True, "processes": 2, "precision": "fp16"},
            "shard=true takes neither precision=fp16 nor quantise",
        ),
        ({"processes": 2}, "processes=2 needs method lora or full; a probe trains in one process"),
        ({"device": "tpu"}, "device must be auto, cpu, mps, cuda or cuda:N, got tpu"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"epochs": None}, "epochs must be a whole number, got None"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings, said):
    with pytest.raises(BadConfig, match=said):
        config_from(settings)


def test_settings_of_the_loss_are_keys_of_the_run():
    config = config_from({"method": "full", "ties": "davidson", "noise_rate": "0.1", "centring": "0.01"})

    assert (config.ties, config.noise_rate, config.centring) == (Ties.DAVIDSON, 0.1, 0.01)
    assert config.learns_ties


def test_default_learning_rate_follows_the_method():
    assert TrainConfig(method=Method.LORA).peak_learning_rate == 1e-4
    assert TrainConfig(method=Method.FULL).peak_learning_rate == 1e-5
    assert TrainConfig(method=Method.LORA, learning_rate=0.5).peak_learning_rate == 0.5


def test_a_broken_toml_file_is_one_sentence(tmp_path):
    (tmp_path / "c.toml").write_text("epochs = ")

    with pytest.raises(BadConfig, match="is not TOML"):
        config_from_toml(tmp_path / "c.toml")
    with pytest.raises(BadConfig, match="does not exist"):
        config_from_toml(tmp_path / "none.toml")
    with pytest.raises(BadConfig, match="cannot be read: Is a directory"):
        config_from_toml(tmp_path)


def test_every_setting_is_described():
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")

    assert [field.name for field in dataclasses.fields(TrainConfig) if f"`{field.name}`" not in page] == []
