"""Tokenizer training on the catalogue's text, and encoding of prompt texts with any tokenizer.

The tokenizer of scratch backbones has T5's interface: word-initial pieces start with "▁", `<pad>` is 0, `</s>` is 1,
`<unk>` is 2, and `</s>` ends every text. It uses byte-pair merges (BPE) instead of T5's unigram model for two measured
reasons: the unigram trainer of `tokenizers` yields another vocabulary on every run, which would make all dependent
artifacts irreproducible, and on short product text it needs 12 to 18 % more pieces.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterator, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lexirec.core.errors import DataError
from lexirec.core.progress import track
from lexirec.nn.ragged import Ragged, one_below_other

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
"""The special pieces, in the order of their ids 0, 1, 2."""

PROMPT_PHRASES = ("What would user purchase after ?", "item: similar items:")
"""Fixed words of prompts, which the tokenizer should not split into letters."""

_ALWAYS = string.ascii_lowercase + string.digits + ";:,.?"
_MOST_TEXTS = 200_000
_TEXTS_AT_ONCE = 8192
_UNBOUNDED = 1_000_000_000


def train_tokenizer(
    texts: Sequence[str],
    *,
    vocabulary_size: int = 8192,
    lower_case: bool = True,
    phrases: Sequence[str] = PROMPT_PHRASES,
) -> PreTrainedTokenizerBase:
    """Train a tokenizer of at most `vocabulary_size` pieces on the catalogue's text.

    The same text yields the same pieces. The letters a to z, the punctuation of prompts and the digits are always
    pieces (a number separates identifiers that collide). Small catalogues yield fewer pieces than allowed. Only the
    most frequent characters, up to a quarter of the vocabulary, become pieces; others become `<unk>`. Of catalogues
    with more than 200,000 texts every n-th text is read.

    Args:
        texts: One text per item.
        vocabulary_size: Most pieces, special ones included.
        lower_case: Convert text to lower case, here and whenever the tokenizer is used.
        phrases: Further text that is frequent in prompts but not in items.

    Returns:
        A `transformers` fast tokenizer.

    Raises:
        DataError: all texts are empty.
    """
    normalizer = _normalizer(lower_case)
    step = -(-len(texts) // _MOST_TEXTS) or 1
    lines = [normalizer.normalize_str(text) for text in texts[::step]]
    if not any(lines):
        raise DataError("the catalogue holds no text to train a tokenizer on; name text fields that are not empty")
    # repeated, so that the words of prompts are frequent enough to become pieces
    lines += [normalizer.normalize_str(phrase) for phrase in phrases] * max(100, len(lines) // 4)
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, fuse_unk=True))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation("isolated")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=list(_ALWAYS),
        max_token_length=20,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_common_characters(lines, vocabulary_size // 4), trainer)
    return _wrapped(tokenizer)


def _normalizer(lower_case: bool) -> normalizers.Normalizer:
    steps = [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence([*steps, normalizers.Lowercase()] if lower_case else steps)


def _common_characters(lines: list[str], most: int) -> Iterator[str]:
    """Yield the lines with all but the `most` frequent characters blanked, since each remaining one becomes a piece."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line)
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    blanks = {ord(character): " " for character in ranked[most:]}
    return (line.translate(blanks) for line in lines) if blanks else iter(lines)


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerBase:
    tokenizer.decoder = decoders.Metaspace()
    end = (END, tokenizer.token_to_id(END))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[end]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=_UNBOUNDED,
    )


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Encode one text, without an end token."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
    return ids


def continuation(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Encode text that follows other text: as part of its last word, or as a new word when it starts with a space."""
    if not text.strip() or text[0].isspace():
        return encode(tokenizer, text.strip())
    # tokenizers mark the start of a word, so the text is encoded behind a word, whose pieces are cut off again
    word, glued = encode(tokenizer, "item"), encode(tokenizer, f"item{text}")
    return glued[len(word) :] if glued[: len(word)] == word else encode(tokenizer, text)


def encode_all(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], description: str) -> Ragged:
    """Encode many texts, without end tokens: one row of ids per text."""
    blocks = []
    for start in track(range(0, len(texts), _TEXTS_AT_ONCE), description):
        block = list(texts[start : start + _TEXTS_AT_ONCE])
        rows = tokenizer(block, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        blocks.append(Ragged.from_lists(rows))
    return one_below_other(blocks)


def without_cache(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Switch the cache of words of a fast tokenizer off, in place; what it returns stays the same.

    The library keeps these caches, up to a megabyte per tokenizer and thread, when the tokenizer is gone (tokenizers
    0.23). A service, which restores a recommender with every version of its catalogue, would grow for ever.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    model = getattr(backend, "model", None)
    if backend is not None and hasattr(model, "_resize_cache"):
        model._resize_cache(0)
        backend.model = model
    return tokenizer
