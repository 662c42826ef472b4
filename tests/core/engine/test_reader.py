"""Training and preflight read texts through one function; it needs no weights."""

import shutil
from pathlib import Path

import pytest

from core.config import TrainConfig
from core.engine.reader import load_reader
from core.errors import NotFound
from tests.core.engine import tiny


@pytest.mark.parametrize("backbone", ["decoder", "chat_decoder", "padless_decoder", "encoder"])
def test_it_reads_as_a_loaded_model_does(request, load, backbone):
    folder = request.getfixturevalue(backbone)

    reader, loaded = load_reader(TrainConfig(backbone=folder)), load(folder)

    assert reader.rules == loaded.rules
    assert reader.tokenizer.pad_token_id == loaded.tokenizer.pad_token_id
    assert reader.backbone == loaded.backbone


def test_it_needs_no_weights(decoder, tmp_path):
    folder = shutil.copytree(decoder, tmp_path / "light")
    for file in Path(folder).glob("*.safetensors"):
        file.unlink()

    reader = load_reader(TrainConfig(backbone=str(folder)))

    assert reader.positions == tiny.DECODER_POSITIONS


def test_damaged_tokenizer_is_one_sentence(decoder, tmp_path):
    folder = shutil.copytree(decoder, tmp_path / "broken")
    (folder / "config.json").write_text("{", encoding="utf-8")

    with pytest.raises(NotFound, match="cannot be loaded"):
        load_reader(TrainConfig(backbone=str(folder)))
