import pytest
import torch

from core.config import Method
from core.engine.model import batch_of
from core.engine.tokens import encode
from core.errors import BadConfig
from tests.core.engine import tiny


def lora(load, backbone, **settings):
    return load(backbone, method=Method.LORA, **settings)


def trained_names(loaded):
    return {name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad}


def some_batch(loaded):
    pair = tiny.pair(1)
    return batch_of(loaded, encode(loaded.tokenizer, loaded.rules, pair.prompt, (pair.response_a, pair.response_b)))


def disturb(loaded):
    """Fresh adapters do nothing, so that nothing about them would show."""
    torch.manual_seed(1)
    for name, parameter in loaded.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return loaded


class TestTargets:
    def test_are_all_linear_layers_unless_told(self, load, decoder):
        names = trained_names(lora(load, decoder))

        layers = {name.split(".lora_")[0].rpartition(".")[2] for name in names - {"head.weight"}}
        assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

    def test_are_those_whose_names_end_as_told(self, load, decoder):
        names = trained_names(lora(load, decoder, lora_targets="self_attn.q_proj, up_proj"))

        layers = {name.split(".lora_")[0].rpartition("base_model.model.")[2] for name in names - {"head.weight"}}
        assert layers == {
            f"layers.{number}.{name}" for number in range(2) for name in ("self_attn.q_proj", "mlp.up_proj")
        }

    @pytest.mark.parametrize("named", ["q_projection", "roj", "score", "embed_tokens", ""])
    def test_that_are_not_there_are_one_sentence_that_names_those_that_are(self, load, decoder, named):
        with pytest.raises(BadConfig, match=f"lora_targets names '{named}'.*there are down_proj, gate_proj") as refused:
            lora(load, decoder, lora_targets=f"up_proj,{named}")

        assert "\n" not in str(refused.value)

    def test_never_keep_the_head_from_being_trained(self, load, decoder):
        for settings in ({"lora_targets": "q_proj"}, {"dora": True}, {"lora_dropout": 0.5}, {"rank_stabilised": True}):
            assert "head.weight" in trained_names(lora(load, decoder, **settings))


@pytest.mark.parametrize("backbone", ["decoder", "gpt2", "encoder"])
@pytest.mark.parametrize("dora", [False, True])
def test_fresh_adapters_change_no_reward(load, request, backbone, dora):
    loaded = lora(load, request.getfixturevalue(backbone), dora=dora)
    plain = load(request.getfixturevalue(backbone))

    with torch.no_grad():
        rewards = loaded.model(*some_batch(loaded))

    torch.testing.assert_close(rewards, plain.model(*some_batch(plain)).detach(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("rank_stabilised", "scale"), [(False, 8 / 4), (True, 8 / 4**0.5)])
def test_rank_stabilised_adapters_are_scaled_by_the_root_of_the_rank(load, decoder, rank_stabilised, scale):
    loaded = lora(load, decoder, lora_rank=4, lora_alpha=8, rank_stabilised=rank_stabilised)

    layer = loaded.model.backbone.get_base_model().layers[0].self_attn.q_proj
    x = torch.randn(1, 3, 16)
    with torch.no_grad():
        torch.nn.init.normal_(layer.lora_B["default"].weight)
        added = layer(x) - layer.base_layer(x)
        by_hand = scale * x @ layer.lora_A["default"].weight.T @ layer.lora_B["default"].weight.T

    torch.testing.assert_close(added, by_hand, atol=1e-5, rtol=0)


def test_dora_trains_the_size_of_each_weight_vector(load, decoder):
    names = trained_names(lora(load, decoder, dora=True))

    assert sum("lora_magnitude_vector" in name for name in names) == 2 * 7  # layers, linear layers in each


class TestDropout:
    def test_acts_while_training_and_only_then(self, load, tmp_path):
        # The backbone's own dropout stays off even beside it.
        backbone = tiny.save_decoder(tmp_path, attention_dropout=0.5)
        without, loaded = (disturb(lora(load, backbone, lora_dropout=share)) for share in (0.0, 0.5))

        def twice(loaded, *, training):
            loaded.model.train(training)
            return [loaded.model(*some_batch(loaded)).detach() for _ in range(2)]

        assert torch.equal(*twice(without, training=True))
        assert torch.equal(*twice(loaded, training=False))
        assert not torch.equal(*twice(loaded, training=True))

    @pytest.mark.parametrize("dora", [False, True])
    def test_leaves_the_mean_of_an_adapters_output_as_it_was(self, load, decoder, dora):
        loaded = disturb(lora(load, decoder, lora_dropout=0.5, dora=dora))
        layer = loaded.model.backbone.get_base_model().layers[0].self_attn.q_proj
        x = torch.randn(1, 1, 16)

        loaded.model.eval()
        sure = layer(x).detach()
        loaded.model.train()
        many = layer(x.expand(20_000, 1, 16)).detach()

        error = many.std(dim=0) / 20_000**0.5
        assert many.std() > 0
        assert ((many.mean(dim=0) - sure[0]).abs() < 5 * error + 1e-6).all()
