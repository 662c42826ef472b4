"""Tiny random backbones and pairs: built from configs, saved as any pretrained model is."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from core.config import TrainConfig
from core.engine.attention import self_check
from core.engine.batches import Planner, group_pairs
from core.engine.model import Loaded
from core.engine.prepare import EncodedPair, Prepared, prepare
from core.engine.tokens import TokenPair, encode_pairs
from core.records import Message, Origin, Pair, Part, Role, SnapshotPair

WORDS = """
red blue green stone river cloud apple bread chair table window garden summer winter quick slow warm cold bright quiet
answer question number letter music paper silver golden simple honest careful because therefore
""".split()  # noqa: SIM905 - a list of words is read as words
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>\n{{ message.content | trim }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
DECODER_POSITIONS, ENCODER_POSITIONS = 128, 96


def words(number: int, *, seed: int) -> str:
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(number))


def user(text: str) -> tuple[Message, ...]:
    return (Message(Role.USER, text),)


def pair(seed: int, *, prompt_words: int = 6, response_words: int = 7) -> Pair:
    """Its prompt and responses follow from the seed; no two seeds share a text."""
    prompt = user(f"{words(prompt_words, seed=3 * seed)} {seed}?")
    a = f"{words(response_words, seed=3 * seed + 1)} {seed}."
    b = f"{words(response_words + seed % 4, seed=3 * seed + 2)} {seed}!"
    return Pair(prompt, a, b)


def snapshot_pair(
    seed: int, *, part: Part = Part.TRAIN, p_a: float | None = None, p_tie: float = 0.0, of: Pair | None = None
) -> SnapshotPair:
    """Without p_a, the side whose response has more of the letter e is better: something to be learned."""
    made = pair(seed) if of is None else of
    better_a = float(made.response_a.count("e") >= made.response_b.count("e"))
    return SnapshotPair(
        pair_id=seed,
        pair=made,
        p_a=better_a if p_a is None else p_a,
        p_tie=p_tie,
        part=part,
        origin=Origin.LABEL,
    )


def snapshot(num_train: int, num_valid: int = 0) -> list[SnapshotPair]:
    return [
        snapshot_pair(seed, part=Part.TRAIN if seed < num_train else Part.VALID)
        for seed in range(num_train + num_valid)
    ]


def encoded(loaded: Loaded, pairs: list[Pair]) -> list[TokenPair]:
    return encode_pairs(loaded.tokenizer, loaded.rules, pairs)


def prepared(loaded: Loaded, config: TrainConfig, pairs: list[SnapshotPair]) -> Prepared:
    return prepare(config, pairs, encoded(loaded, [one.pair for one in pairs]))


def planner(loaded: Loaded, config: TrainConfig, pairs: Sequence[EncodedPair]) -> Planner:
    groups = [group.texts for group in group_pairs(pairs)]
    return Planner(loaded, pairs, sharing=self_check(loaded, groups), batch_pairs=config.batch_pairs)


def save_decoder(
    folder: Path, *, chat: bool = False, pad: bool = True, positions: int = DECODER_POSITIONS, **settings: object
) -> str:
    """A Llama of two layers with a byte-level tokenizer that puts BOS before every text."""
    fast = _decoder_tokenizer(chat=chat, pad=pad)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        # Ten times the usual: what stands before a token must show in its state.
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2 if pad else None,
        **settings,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)


def save_gpt2(folder: Path) -> str:
    """A GPT-2 of two layers, whose linear layers are kept transposed; the tokenizer has no padding token."""
    fast = _decoder_tokenizer(chat=False, pad=False)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(fast),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=DECODER_POSITIONS,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)


def _decoder_tokenizer(*, chat: bool, pad: bool) -> PreTrainedTokenizerFast:
    specials = ["<s>", "</s>", *(["<pad>"] if pad else [])]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS), "user: assistant: <|user|> <|assistant|>"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", **({"pad_token": "<pad>"} if pad else {})
    )
    if chat:
        fast.chat_template = CHAT_TEMPLATE
    return fast


def save_encoder(folder: Path) -> str:
    """A BERT of two layers with a WordPiece tokenizer."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS), "user: assistant: 0 1 2 3 4 5 6 7 8 9 ? ! ."], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=ENCODER_POSITIONS,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)
