import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.config import Method
from core.engine import score
from core.engine.model import batch_of, ensure_pad_token
from core.engine.tokens import Encoded, encode
from core.errors import BadConfig, TiebreakError
from core.records import Pair
from tests.core.engine import tiny

EVERY = ["decoder", "chat_decoder", "padless_decoder", "encoder"]


@pytest.fixture(params=EVERY)
def loaded(request, load):
    return load(request.getfixturevalue(request.param))


def row(*ids):
    return Encoded(text="", input_ids=ids, response_start=0, trimmed=False)


def rows_of(loaded, pairs):
    made = [encode(loaded.tokenizer, loaded.rules, one.prompt, (one.response_a, one.response_b)) for one in pairs]
    return [one for two in made for one in two]


def swapped(pair):
    return Pair(pair.prompt, pair.response_b, pair.response_a)


def test_swapping_the_sides_negates_every_margin(loaded):
    pairs = [tiny.pair(seed) for seed in range(40)]
    # One is trimmed: what is cut must not depend on which side is called a.
    pairs.append(tiny.pair(99, prompt_words=300, response_words=30))

    margins = [one.margin for one in score.score(loaded, enumerate(pairs))]
    mirrored = [one.margin for one in score.score(loaded, enumerate(map(swapped, pairs)))]

    assert margins == pytest.approx([-one for one in mirrored], abs=1e-5)
    assert min(map(abs, margins)) > 0


def test_swapping_the_sides_swaps_what_is_encoded(loaded):
    pair = tiny.pair(5, prompt_words=300, response_words=60)

    rows, mirrored = rows_of(loaded, [pair]), rows_of(loaded, [swapped(pair)])

    assert rows == mirrored[::-1]


def test_padding_and_batch_mates_do_not_change_a_reward(loaded):
    rows = rows_of(loaded, [tiny.pair(seed, response_words=2 + 3 * seed) for seed in range(8)])

    alone = [loaded.model(*batch_of(loaded, [one])).item() for one in rows]
    together = loaded.model(*batch_of(loaded, rows)).tolist()
    mixed = score.rewards_of(loaded, rows[::-1] + rows)

    assert together == pytest.approx(alone, abs=1e-5)
    assert mixed == pytest.approx(alone[::-1] + alone, abs=1e-5)
    assert max(alone) - min(alone) > 0.1  # else the comparison would show nothing


def test_pooled_position_comes_from_the_mask_even_if_the_last_token_is_padding(load, decoder):
    loaded = load(decoder)
    pad = loaded.tokenizer.pad_token_id
    ending_in_pad, longer = row(5, 6, 7, pad), row(9, 8, 7, 6, 5, 4)

    together = loaded.model(*batch_of(loaded, [ending_in_pad, longer]))
    hidden = loaded.model.hidden(torch.tensor([ending_in_pad.input_ids]), torch.ones(1, 4, dtype=torch.long))

    by_hand = hidden[0, 3] @ loaded.model.head.weight[0]
    assert together[0].item() == pytest.approx(by_hand.item(), abs=1e-5)


def test_encoder_pools_the_mean_over_real_tokens(load, encoder):
    loaded = load(encoder)
    short, longer = row(2, 9, 10, 3), row(2, 9, 10, 11, 12, 13, 3)

    together = loaded.model(*batch_of(loaded, [short, longer]))
    hidden = loaded.model.hidden(torch.tensor([short.input_ids]), torch.ones(1, 4, dtype=torch.long))

    by_hand = hidden[0].mean(dim=0) @ loaded.model.head.weight[0]
    assert together[0].item() == pytest.approx(by_hand.item(), abs=1e-5)


def test_rewards_are_float32_under_autocast(load, decoder):
    loaded = load(decoder)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        rewards = loaded.model(*batch_of(loaded, [row(5, 6, 7)]))

    assert rewards.dtype is torch.float32


def test_a_public_library_pools_the_token_that_we_pool(load, padless_decoder):
    loaded = load(padless_decoder)
    rows = rows_of(loaded, [tiny.pair(seed) for seed in range(4)])
    ids, mask = batch_of(loaded, rows)

    public = loaded.model.shell(input_ids=ids, attention_mask=mask).logits.squeeze(-1)

    torch.testing.assert_close(public, loaded.model(ids, mask), atol=1e-5, rtol=0)


class TestPadToken:
    """No pooled position may have its id: public libraries pool the last id that is not padding."""

    @pytest.mark.parametrize("borrowed", ["eos_token", "bos_token", "unk_token"])
    def test_pad_that_is_another_special_token_is_replaced(self, padless_decoder, borrowed):
        tokenizer, shell = fresh(padless_decoder)
        tokenizer.unk_token = "Ġblue"
        tokenizer.pad_token = getattr(tokenizer, borrowed)

        ensure_pad_token(tokenizer, shell)

        others = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id}
        assert tokenizer.pad_token_id not in others
        assert_usable(tokenizer, shell)

    def test_a_special_padding_token_that_is_there_is_used(self, decoder):
        tokenizer, shell = fresh(decoder)
        before = shell.get_input_embeddings().num_embeddings
        tokenizer.pad_token = tokenizer.eos_token

        ensure_pad_token(tokenizer, shell)

        assert tokenizer.pad_token == "<pad>"
        assert shell.get_input_embeddings().num_embeddings == before

    def test_missing_pad_is_added_and_the_embedding_grows_by_its_row(self, padless_decoder):
        tokenizer, shell = fresh(padless_decoder)
        before = shell.get_input_embeddings().num_embeddings

        ensure_pad_token(tokenizer, shell)

        assert tokenizer.pad_token == "[PAD]"
        assert shell.get_input_embeddings().num_embeddings == before + 1
        assert_usable(tokenizer, shell)

    def test_missing_pad_beside_an_unknown_token_does_not_become_the_unknown_token(self, padless_decoder):
        tokenizer, shell = fresh(padless_decoder)
        tokenizer.unk_token = "Ġblue"

        ensure_pad_token(tokenizer, shell)

        assert tokenizer.pad_token_id != tokenizer.unk_token_id
        assert_usable(tokenizer, shell)

    def test_embedding_rows_beyond_the_vocabulary_are_kept(self, padless_decoder):
        tokenizer, shell = fresh(padless_decoder)
        shell.resize_token_embeddings(512, mean_resizing=False)  # as Qwen and others round theirs up

        ensure_pad_token(tokenizer, shell)

        assert shell.get_input_embeddings().num_embeddings == 512
        assert_usable(tokenizer, shell)


def fresh(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shell = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    return tokenizer, shell


def assert_usable(tokenizer, shell):
    text = tokenizer("red blue </s> <s> [pad] pad")["input_ids"]
    assert tokenizer.pad_token_id not in text
    assert tokenizer.pad_token_id < shell.get_input_embeddings().num_embeddings
    assert shell.config.pad_token_id == tokenizer.pad_token_id


def test_same_seed_makes_the_same_head_and_another_seed_another(load, decoder):
    weights = [load(decoder, seed=seed).model.head.weight for seed in (1, 1, 2)]

    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("method", list(Method))
def test_method_decides_what_is_trained_and_the_head_always_is(load, decoder, method):
    model = load(decoder, method=method).model

    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    assert "head.weight" in trainable
    in_backbone = {name for name in trainable if name.startswith("backbone.")}
    everything = {name for name, _ in model.named_parameters() if name.startswith("backbone.")}
    adapters = {name for name in everything if "lora_" in name}
    assert in_backbone == {Method.PROBE: set(), Method.LORA: adapters, Method.FULL: everything}[method]
    assert bool(adapters) is (method is Method.LORA)


def test_no_dropout_while_training_even_where_attention_has_its_own(tmp_path, load):
    loaded = load(tiny.save_decoder(tmp_path, attention_dropout=0.5))
    ids, mask = batch_of(loaded, rows_of(loaded, [tiny.pair(1)]))
    loaded.model.train()

    # A pair's rewards must differ by its responses, not by two random masks.
    assert torch.equal(loaded.model(ids, mask), loaded.model(ids, mask))


def test_max_tokens_defaults_to_the_models_positions(load, decoder, encoder):
    assert load(decoder).rules.max_tokens == tiny.DECODER_POSITIONS
    assert load(encoder).rules.max_tokens == tiny.ENCODER_POSITIONS


def test_more_max_tokens_than_positions_is_refused(load, encoder):
    with pytest.raises(BadConfig, match=str(tiny.ENCODER_POSITIONS)):
        load(encoder, max_tokens=tiny.ENCODER_POSITIONS + 1)


def test_head_starts_so_that_rewards_are_of_order_one(load, decoder):
    weight = load(decoder).model.head.weight

    # N(0, 1 / (D + 1)): the norm of D such weights is near 1.
    assert math.sqrt(weight.square().sum().item()) == pytest.approx(1, abs=0.5)


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def broken_weights(folder):
    (folder / "model.safetensors").write_bytes(b"no weights")


def broken_config(folder):
    (folder / "config.json").write_text("{")


def unknown_architecture(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "abacus"}))


def without_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()


@pytest.mark.parametrize(
    "damage", [without_weights, broken_weights, broken_config, unknown_architecture, without_tokenizer]
)
def test_damaged_backbone_is_one_sentence_that_names_it(tmp_path, load, decoder, damage):
    folder = Path(shutil.copytree(decoder, tmp_path / "damaged"))
    damage(folder)

    with pytest.raises(TiebreakError, match="damaged") as refused:
        load(folder)

    assert "\n" not in str(refused.value)
