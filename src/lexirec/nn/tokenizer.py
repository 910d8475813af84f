"""Text to ids: a small tokenizer trained on the catalogue's own text, and how prompts use any tokenizer.

The tokenizer of backbones that start from nothing looks like T5's to whatever uses it: word-initial pieces start with
"▁", `<pad>` is 0, `</s>` is 1, `<unk>` is 2, and `</s>` is put at the end of every text. Inside it merges pairs (BPE)
instead of T5's unigram model, for two reasons that were measured: the unigram trainer of `tokenizers` gives another
vocabulary on every run, which would make every artifact below it irreproducible, and on short product text its pieces
are 12 to 18 % more numerous.
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
"""What prompts say beside the catalogue's text; it must not be spelled letter by letter in every prompt."""

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

    The same text gives the same pieces. The letters a to z, the marks of prompts and the digits are always pieces
    (identifiers that collide are told apart by a number). Small catalogues give fewer pieces than allowed. Characters
    beyond a quarter of the vocabulary, the rarest, become `<unk>`; of very large catalogues every n-th text is read.

    Args:
        texts: One text per item.
        vocabulary_size: The most pieces, special ones included.
        lower_case: Fold case, here and whenever the tokenizer is used.
        phrases: Further text that is frequent in prompts though it is in no item.

    Returns:
        A `transformers` fast tokenizer.

    Raises:
        DataError: there is no text at all.
    """
    normalizer = _normalizer(lower_case)
    step = -(-len(texts) // _MOST_TEXTS) or 1
    lines = [normalizer.normalize_str(text) for text in texts[::step]]
    if not any(lines):
        raise DataError("the catalogue holds no text to train a tokenizer on; name text fields that are not empty")
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
    """Yield the lines with all but the `most` frequent characters blanked; every character left becomes a piece."""
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
    """Encode one text, without an end."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
    return ids


def continuation(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Encode text that stands behind other text: glued to it, or a word of its own when it starts with a space."""
    if not text.strip() or text[0].isspace():
        return encode(tokenizer, text.strip())
    word, glued = encode(tokenizer, "item"), encode(tokenizer, f"item{text}")
    return glued[len(word) :] if glued[: len(word)] == word else encode(tokenizer, text)


def encode_all(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], description: str) -> Ragged:
    """Encode many texts, without ends, in blocks: one row of ids per text."""
    blocks = []
    for start in track(range(0, len(texts), _TEXTS_AT_ONCE), description):
        block = list(texts[start : start + _TEXTS_AT_ONCE])
        rows = tokenizer(block, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        blocks.append(Ragged.from_lists(rows))
    return one_below_other(blocks)
