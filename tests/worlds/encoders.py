"""Tiny encoders of texts as folders: BERT with word pieces, and RoBERTa, whose positions begin behind the padding."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from lexirec.nn.pretrained import no_bars, no_reports

POSITIONS = 48
WORDS = ["item", "similar", "items", "title", "brand", "red", "blue", "soap", "what", "would", "user", "purchase"]
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def piece_tokenizer(special: list[str] = SPECIAL) -> PreTrainedTokenizerFast:
    """Return a tokenizer of word pieces such as BERT's: without an end token, with one in front and a separator."""
    pieces = [*special, *CHARACTERS, *(f"##{each}" for each in CHARACTERS), *WORDS]
    tokenizer = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def save_encoder(folder: Path, kind: str = "bert", **settings: Any) -> str:
    """Write a tiny encoder (bert, bert-masked with the head of its pretraining and no pooler, or roberta)."""
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {"max_position_embeddings": POSITIONS} | settings
    # RoBERTa's padding is token 1
    tokenizer = piece_tokenizer(["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"] if kind == "roberta" else SPECIAL)
    sizes |= {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    with torch.random.fork_rng(devices=[]), no_bars(), no_reports():
        torch.manual_seed(0)
        model: Any = {
            "bert": lambda: BertModel(BertConfig(**sizes)),
            "bert-masked": lambda: BertForMaskedLM(BertConfig(**sizes)),
            "roberta": lambda: RobertaModel(RobertaConfig(**sizes)),
        }[kind]()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return str(folder)
