"""Backbones small enough to train in a second, built once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.config import Method, TrainConfig
from core.engine.model import Loaded, load_backbone
from tests.core.engine import tiny


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.save_decoder(tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="session")
def chat_decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.save_decoder(tmp_path_factory.mktemp("chat"), chat=True)


@pytest.fixture(scope="session")
def padless_decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.save_decoder(tmp_path_factory.mktemp("padless"), pad=False)


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.save_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def load() -> Callable[..., Loaded]:
    """load(backbone, **settings): a fresh model on the CPU, `full` unless told."""

    def load(backbone: str | Path, **settings: object) -> Loaded:
        config = TrainConfig(backbone=str(backbone), **{"method": Method.FULL, **settings})
        return load_backbone(config, torch.device("cpu"))

    return load
