import copy
import random
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    BloomConfig,
    DebertaV2Config,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    ModernBertConfig,
    Phi3Config,
    Qwen3Config,
    Qwen3NextConfig,
)

from core.config import Method, TrainConfig
from core.engine import adapters
from core.engine.attention import (
    masks_of,
    rewards_of_row,
    self_check,
    sharing_refused,
    token_budget,
    use_packed_attention,
)
from core.engine.backbone import Backbone
from core.engine.layout import pack, units_to_score, units_to_train
from core.engine.model import Loaded, RewardModel, batch_of
from core.engine.tokens import Encoded, TokenRules, encode
from tests.core.engine import tiny

WIDTH, VOCABULARY, POSITIONS, WINDOW = 16, 60, 128, 6
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": POSITIONS,
    # Ten times the usual: what stands before a token must show in its state.
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
DECODER = {**SHAPE, "num_key_value_heads": 1, "head_dim": 8}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
MIXED = ["sliding_attention", "full_attention"]
SHARING = {
    "llama": LlamaConfig(**DECODER),
    "qwen3": Qwen3Config(**DECODER),
    "gemma": GemmaConfig(**DECODER),
    "mistral": MistralConfig(**DECODER, sliding_window=None),
    "gpt2": GPT2Config(**GPT2, **NO_DROPOUT, initializer_range=0.2, bos_token_id=1, eos_token_id=2),
    "mistral, a window shorter than its texts": MistralConfig(**DECODER, sliding_window=WINDOW),
    "gemma3, windows in some layers": Gemma3TextConfig(**DECODER, sliding_window=WINDOW, layer_types=MIXED),
}
EVERY_SHARING = pytest.mark.parametrize("config", list(SHARING.values()), ids=list(SHARING))


def loaded_of(config, *, dtype=torch.float32, **settings):
    torch.manual_seed(0)
    # A copy: setting the attention of one model would set it for all of its config.
    backbone = AutoModel.from_config(copy.deepcopy(config), **settings).to(dtype).eval()
    head = torch.nn.Linear(WIDTH, 1, bias=False, dtype=dtype)
    torch.nn.init.normal_(head.weight, std=WIDTH**-0.5)
    return Loaded(
        model=RewardModel(backbone, head, pooling="last"),
        tokenizer=SimpleNamespace(pad_token_id=0),
        rules=TokenRules(max_tokens=POSITIONS, pooling="last", append_eos=False),
        device=torch.device("cpu"),
        backbone=Backbone(name="tiny", path="", revision=""),
    )


def group(prompt, responses, *, seed):
    """A prompt of so many tokens and responses of so many each."""
    chosen = random.Random(seed)
    start, *ends = (tuple(chosen.randrange(3, VOCABULARY) for _ in range(size)) for size in (prompt, *responses))
    return [Encoded(text="", input_ids=start + end, response_start=prompt, trimmed=False) for end in ends]


GROUPS = [
    group(9, (4, 7), seed=1),
    group(14, (3, 1, 8), seed=2),
    group(0, (5, 6), seed=3),
    group(5, (2,), seed=4),
    group(20, (5, 5, 5, 5), seed=5),
]


def rows_of(groups, *, budget=40):
    return pack(groups, units_to_score(groups, budget=budget), budget=budget)


def by_response(row, rewards):
    """Rewards under their group and response."""
    return {(one.group, one.response): reward for one, reward in zip(row.members, rewards, strict=True)}


def shared_rewards(loaded, rows):
    made = {}
    for row in rows:
        made |= by_response(row, rewards_of_row(loaded, row))
    return torch.stack([made[key] for key in sorted(made)])


def plain_rewards(loaded, groups):
    """Each text alone: no padding, no batch mates, no mask but the model's own."""
    texts = [one for group in groups for one in group]
    return torch.stack([loaded.model(*batch_of(loaded, [one]))[0] for one in texts])


def gradients(loaded, rewards):
    """Of a loss in which every reward has its own weight, over all trainable parameters."""
    loaded.model.zero_grad()
    (rewards * torch.linspace(-1, 1, len(rewards), dtype=rewards.dtype)).sum().backward()
    return [one.grad.clone() for one in loaded.model.parameters() if one.grad is not None]


@EVERY_SHARING
def test_rewards_equal_those_of_separate_texts_in_float64(config):
    loaded = loaded_of(config, dtype=torch.float64)
    alone = plain_rewards(loaded, GROUPS)

    use_packed_attention(loaded)
    together = shared_rewards(loaded, rows_of(GROUPS))

    torch.testing.assert_close(together, alone, atol=1e-10, rtol=0)
    assert alone.std() > 0.1  # else the comparison would show nothing


@EVERY_SHARING
def test_rewards_equal_those_of_separate_texts_in_float32(config):
    loaded = loaded_of(config)
    alone = plain_rewards(loaded, GROUPS)

    use_packed_attention(loaded)

    torch.testing.assert_close(shared_rewards(loaded, rows_of(GROUPS)), alone, atol=1e-5, rtol=1e-5)


@EVERY_SHARING
def test_gradients_equal_those_of_separate_texts_however_they_fall_into_rows(config):
    loaded = loaded_of(config, dtype=torch.float64)
    alone = gradients(loaded, plain_rewards(loaded, GROUPS))

    use_packed_attention(loaded)

    for budget in (1, 40, 1000):
        together = gradients(loaded, shared_rewards(loaded, rows_of(GROUPS, budget=budget)))
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert max(float(one.abs().max()) for one in alone) > 0.1


LORA_KINDS = [{}, {"dora": True}, {"rank_stabilised": True}]
LLAMA_AND_GPT2 = pytest.mark.parametrize("config", [SHARING["llama"], SHARING["gpt2"]], ids=["llama", "gpt2"])


def with_adapters(loaded, **settings):
    """As a run adds them, but doing something: of fresh ones the second factor is 0."""
    loaded.model.backbone.requires_grad_(requires_grad=False)
    settings = {"method": Method.LORA, "lora_rank": 2, "lora_alpha": 4, **settings}
    loaded.model.backbone = adapters.add(loaded.model.backbone, TrainConfig(**settings)).double()
    torch.manual_seed(1)
    for name, parameter in loaded.model.backbone.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)


@LLAMA_AND_GPT2
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("lora", [None, *LORA_KINDS], ids=str)
def test_gradients_are_the_same_with_lora_and_with_gradient_checkpointing(config, checkpointing, lora):
    loaded = loaded_of(config, dtype=torch.float64)
    if checkpointing:
        loaded.model.backbone.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if lora is not None:
        with_adapters(loaded, **lora)
    loaded.model.train()
    alone = gradients(loaded, plain_rewards(loaded, GROUPS))

    use_packed_attention(loaded)
    # All rows are computed before the first is taken back, as a loss over several rows would.
    together = gradients(loaded, shared_rewards(loaded, rows_of(GROUPS)))

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@LLAMA_AND_GPT2
@pytest.mark.parametrize("lora", LORA_KINDS, ids=str)
def test_rewards_are_the_same_with_lora(config, lora):
    loaded = loaded_of(config, dtype=torch.float64)
    without = plain_rewards(loaded, GROUPS)
    with_adapters(loaded, **lora)
    loaded.model.eval()
    alone = plain_rewards(loaded, GROUPS)

    use_packed_attention(loaded)
    together = shared_rewards(loaded, rows_of(GROUPS))

    torch.testing.assert_close(together, alone, atol=1e-10, rtol=0)
    assert (alone - without).abs().max() > 0.01  # else the adapters would show nothing


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_last_layers_mlp_computes_pooled_tokens_alone(checkpointing):
    loaded = loaded_of(SHARING["llama"])
    use_packed_attention(loaded)
    if checkpointing:
        # What is computed again in the backward pass must be what was computed before.
        loaded.model.backbone.activation_checkpointing_enable()
    sizes = []
    for layer in loaded.model.backbone.layers:
        layer.mlp.gate_proj.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[1]))
    row = rows_of(GROUPS, budget=200)[0]

    rewards_of_row(loaded, row)

    pooled = len({member.pooled for member in row.members})
    assert pooled == sum(map(len, GROUPS))
    assert sizes == [row.num_tokens, row.num_tokens if checkpointing else pooled]


def test_gradients_add_up_when_rows_are_taken_back_one_by_one():
    loaded = loaded_of(SHARING["llama"], dtype=torch.float64)
    use_packed_attention(loaded)
    rows = rows_of(GROUPS, budget=30)
    at_once = gradients(loaded, torch.cat([rewards_of_row(loaded, row) for row in rows]))
    weights = torch.linspace(-1, 1, sum(len(row.members) for row in rows), dtype=torch.float64)

    loaded.model.zero_grad()
    for row, weight in zip(rows, weights.split([len(row.members) for row in rows]), strict=True):
        (rewards_of_row(loaded, row) * weight).sum().backward()

    one_by_one = [parameter.grad for parameter in loaded.model.parameters() if parameter.grad is not None]
    torch.testing.assert_close(one_by_one, at_once, atol=1e-10, rtol=0)


@EVERY_SHARING
def test_batch_mates_never_matter(config):
    loaded = loaded_of(config, dtype=torch.float64)
    use_packed_attention(loaded)
    (alone,) = rows_of(GROUPS[1:2], budget=1000)

    for others in (GROUPS, GROUPS[::-1], GROUPS[1:3] * 3):
        place = others.index(GROUPS[1])
        (row,) = rows_of(others, budget=1000)
        together = by_response(row, rewards_of_row(loaded, row))
        mine = torch.stack([together[place, response] for response in range(3)])
        torch.testing.assert_close(mine, rewards_of_row(loaded, alone), atol=1e-10, rtol=0)


def test_margins_of_labeled_pairs_are_found_by_their_places_in_the_row():
    loaded = loaded_of(SHARING["llama"])
    pairs = [[(1, 0)], [(0, 2), (2, 1)], [], [], [(3, 0)]]
    use_packed_attention(loaded)

    margins = {}
    for row in pack(GROUPS, units_to_train(GROUPS, pairs, budget=30, max_pairs=2, seed=0), budget=30):
        rewards = rewards_of_row(loaded, row)
        margins |= {(pair.group, pair.index): rewards[pair.a] - rewards[pair.b] for pair in row.pairs}

    for (place, index), margin in margins.items():
        a, b = plain_rewards(loaded, [[GROUPS[place][side] for side in pairs[place][index]]])
        torch.testing.assert_close(margin, a - b, atol=1e-5, rtol=0)
    assert len(margins) == 4


def test_padded_batches_are_computed_as_before():
    loaded = loaded_of(SHARING["llama"])
    batch = batch_of(loaded, [one for group in GROUPS for one in group])
    before = loaded.model(*batch)

    use_packed_attention(loaded)

    assert torch.equal(loaded.model(*batch), before)


def test_what_is_saved_does_not_name_our_attention(tmp_path):
    loaded = loaded_of(SHARING["llama"])
    use_packed_attention(loaded)

    loaded.model.backbone.save_pretrained(tmp_path)

    assert "tiebreak" not in (tmp_path / "config.json").read_text()


def test_eager_attention_takes_a_mask_to_add():
    loaded = loaded_of(Gemma2Config(**DECODER, sliding_window=WINDOW), attn_implementation="eager")
    alone = plain_rewards(loaded, GROUPS)

    assert use_packed_attention(loaded) == "eager"

    # True and False in place of 0 and minus infinity would hide nothing.
    torch.testing.assert_close(shared_rewards(loaded, rows_of(GROUPS)), alone, atol=1e-5, rtol=1e-5)


class TestMask:
    def slowly(self, row, window):
        """Read off the texts: a token sees what its own text holds up to it, at the distance it has in that text."""
        size = row.num_tokens
        sees = torch.zeros(size, size, dtype=torch.bool)
        for start, end in row.blocks:
            prefix = [i for i in range(start, end) if row.segment_ids[i] == row.prefix_ids[i]]
            segments = {row.segment_ids[i] for i in range(start, end)} - {row.prefix_ids[start]}
            for segment in segments:
                text = [*prefix, *(i for i in range(start, end) if row.segment_ids[i] == segment)]
                for later, query in enumerate(text):
                    for earlier, key in enumerate(text[: later + 1]):
                        if window is None or later - earlier < window:
                            sees[query, key] = True
        return sees

    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize("window", [None, WINDOW])
    def test_equals_a_slow_and_obvious_one(self, seed, window):
        chosen = random.Random(seed)
        groups = [
            group(chosen.randrange(12), [chosen.randrange(1, 9) for _ in range(chosen.randrange(1, 5))], seed=i)
            for i in range(6)
        ]
        model = AutoModel.from_config(MistralConfig(**DECODER, sliding_window=window))

        for row in rows_of(groups, budget=60):
            assert torch.equal(masks_of(model, row)[0, 0], self.slowly(row, window))

    def test_is_one_for_each_kind_of_layer_where_only_some_see_a_window(self):
        model = AutoModel.from_config(copy.deepcopy(SHARING["gemma3, windows in some layers"]))
        (row,) = rows_of(GROUPS, budget=1000)

        masks = masks_of(model, row)

        assert torch.equal(masks["full_attention"][0, 0], self.slowly(row, None))
        assert torch.equal(masks["sliding_attention"][0, 0], self.slowly(row, WINDOW))

    def test_is_one_for_all_where_no_text_is_longer_than_the_window(self):
        model = AutoModel.from_config(Gemma3TextConfig(**DECODER, sliding_window=64, layer_types=MIXED))
        (row,) = rows_of(GROUPS, budget=1000)

        assert torch.equal(masks_of(model, row)[0, 0], self.slowly(row, None))

    @pytest.mark.parametrize("name", ["llama", "mistral, a window shorter than its texts"])
    def test_of_flex_attention_hides_the_same_and_what_fills_its_last_tile(self, name):
        model = AutoModel.from_config(copy.deepcopy(SHARING[name]), attn_implementation="flex_attention")
        (row,) = rows_of(GROUPS, budget=1000)
        size = row.num_tokens

        sees = masks_of(model, row, filling=256 - size).mask_mod
        places = torch.arange(256)
        dense = sees(places, places, places[:, None], places[None, :])

        assert torch.equal(dense[:size, :size], self.slowly(row, getattr(model.config, "sliding_window", None)))
        assert not dense[:size, size:].any()
        assert not dense[size:, :size].any()
        assert dense[size:].any(dim=1).all()  # a token that sees nothing would be not a number


# Inductor's own import; what it does is not ours: https://github.com/pytorch/pytorch/blob/v2.13.0/torch/utils/mkldnn.py
inductor_warns = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")


@pytest.mark.slow
@inductor_warns
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")  # on purpose, see below
def test_flex_attention_gives_the_same_rewards():
    # On a CPU it has a forward pass in float32 and no backward; uncompiled, because compiling takes half a minute.
    loaded = loaded_of(LlamaConfig(**{**DECODER, "hidden_size": 32, "head_dim": 16}), attn_implementation="sdpa")
    loaded = replace(
        loaded, model=RewardModel(loaded.model.backbone, torch.nn.Linear(32, 1, bias=False), pooling="last")
    )
    alone = plain_rewards(loaded, GROUPS)

    loaded.model.backbone.set_attn_implementation("flex_attention")
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        together = shared_rewards(loaded, rows_of(GROUPS, budget=200))

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
@inductor_warns
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", [name for name in SHARING if name != "gpt2"])
def test_flex_attention_on_cuda_gives_the_same_rewards_and_gradients(name):
    config = type(SHARING[name])(**{**SHARING[name].to_dict(), "head_dim": 16})
    loaded = loaded_of(config)
    loaded = replace(loaded, device=torch.device("cuda"), model=loaded.model.cuda())
    alone = plain_rewards(loaded, GROUPS)
    before = gradients(loaded, alone.cpu())

    assert use_packed_attention(loaded) == "flex_attention"
    together = shared_rewards(loaded, rows_of(GROUPS, budget=200))
    after = gradients(loaded, together.cpu())

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


class TestRefused:
    @pytest.mark.parametrize("config", list(SHARING.values()), ids=list(SHARING))
    def test_decoders_that_see_all_before_them_or_a_window_are_not(self, config):
        assert sharing_refused(config, max_tokens=POSITIONS) is None

    @pytest.mark.parametrize(
        ("config", "why"),
        [
            (BertConfig(), "encoder"),
            (ModernBertConfig(), "encoder"),
            (DebertaV2Config(), "encoder"),
            (Gemma3TextConfig(use_bidirectional_attention=True), "bidirectional"),
            (LlamaConfig(is_causal=False), "bidirectional"),
            (Qwen3NextConfig(), "linear_attention"),
            (Llama4TextConfig(), "chunked_attention"),
            (MambaConfig(), "linear_attention|recurrent"),
            (BloomConfig(), "may ignore our mask"),
        ],
        ids=lambda one: getattr(one, "model_type", ""),
    )
    def test_others_are_with_a_reason_in_words(self, config, why):
        assert re.search(why, sharing_refused(config, max_tokens=64))

    def test_positions_that_are_scaled_by_the_longest_text_are_only_where_they_would_be(self):
        rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
        config = Phi3Config(
            **SHAPE,
            original_max_position_embeddings=64,
            rope_parameters={**rope, "original_max_position_embeddings": 64},
        )

        assert sharing_refused(config, max_tokens=64) is None
        assert "longest text of a batch beyond 64 tokens" in sharing_refused(config, max_tokens=65)


class TestSelfCheck:
    @EVERY_SHARING
    def test_proves_sharing_on_two_groups_and_leaves_the_model_ready_for_rows(self, config):
        loaded = loaded_of(config)

        sharing = self_check(loaded, GROUPS)

        assert sharing.refused is None
        assert 0 <= sharing.difference < 1e-5
        torch.testing.assert_close(
            shared_rewards(loaded, rows_of(GROUPS)), plain_rewards(loaded, GROUPS), atol=1e-5, rtol=1e-5
        )

    def test_of_a_model_that_sees_more_than_the_mask_allows_refuses_and_says_by_how_much(self, monkeypatch):
        loaded = loaded_of(SHARING["llama"])

        def all_alike(model, row, *, filling=0):
            return torch.ones(1, 1, row.num_tokens, row.num_tokens, dtype=torch.bool).tril()

        monkeypatch.setattr("core.engine.attention.masks_of", all_alike)
        sharing = self_check(loaded, GROUPS)

        assert "shared rewards differ from separate ones" in sharing.refused
        assert sharing.difference > 0.01
        assert loaded.model.backbone.config._attn_implementation == "sdpa"

    def test_of_a_model_that_takes_no_such_mask_refuses(self, monkeypatch):
        loaded = loaded_of(SHARING["llama"])

        monkeypatch.setattr(
            "core.engine.attention.masks_of", lambda *_, **__: {"full_attention": torch.ones(1, 1, 9, 9)}
        )
        sharing = self_check(loaded, GROUPS)

        assert "does not take our mask" in sharing.refused
        assert loaded.model.backbone.config._attn_implementation == "sdpa"

    def test_of_an_encoder_refuses_without_computing_anything(self, load, encoder):
        loaded = load(encoder)
        pairs = [tiny.pair(seed) for seed in range(3)]
        groups = [encode(loaded.tokenizer, loaded.rules, one.prompt, (one.response_a, one.response_b)) for one in pairs]

        assert "an encoder" in self_check(loaded, groups).refused

    def test_where_no_prompt_has_two_responses_has_nothing_to_share(self):
        assert "nothing to share" in self_check(loaded_of(SHARING["llama"]), [GROUPS[3]]).refused

    def test_allows_half_precision_its_rounding(self):
        loaded = loaded_of(SHARING["llama"], dtype=torch.bfloat16)

        assert self_check(loaded, GROUPS).refused is None

    def test_with_lora_on_a_backbone_loaded_from_disk(self, load, decoder):
        loaded = load(decoder, method="lora")
        pairs = [tiny.pair(seed) for seed in range(4)]
        groups = [encode(loaded.tokenizer, loaded.rules, one.prompt, (one.response_a, one.response_b)) for one in pairs]

        sharing = self_check(loaded, groups)

        assert sharing.refused is None
        assert sharing.difference < 1e-5


def test_rows_on_a_cpu_are_longer_where_attention_goes_block_by_block():
    loaded = loaded_of(SHARING["llama"])
    dense = token_budget(loaded)

    use_packed_attention(loaded)

    assert (dense, token_budget(loaded)) == (1024, 2048)
