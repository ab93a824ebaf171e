"""The lab model's own vocabulary: byte-level pieces, so that any text can be written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
N_PIECES = 4096
PROMPT = "Context:\n{contexts}\nQuestion: {question}\nAnswer:"
"""How the model is asked; passages stand one below the other."""

# Words with the blank before them, digits by twos, signs. A line end stays by itself.
_PIECES = r" ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\n|[^\S\n]+(?=\S)|\s+"
# The first word of a line, a quotation or a bracket gets a blank too, so that a name has the
# same pieces wherever it stands; copying it would otherwise have to be learned twice.
_BEFORE_A_WORD = ("\n", '"', "(", "[")


def learn(texts: Iterable[str], *, n_pieces: int = N_PIECES) -> PreTrainedTokenizerFast:
    """A vocabulary of byte pairs learned from texts.

    Args:
        texts: what it is learned from.
        n_pieces: how many pieces at most, with the 256 bytes and three marks.
    """
    from tokenizers import (
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(models.BPE())
    bare.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            *(
                normalizers.Replace(Regex(re.escape(sign) + r"(?=[\p{L}\p{N}])"), sign + " ")
                for sign in _BEFORE_A_WORD
            ),
        ]
    )
    bare.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bare.decoder = decoders.ByteLevel()
    bare.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=n_pieces,
            special_tokens=[PAD, BOS, EOS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    bos = bare.token_to_id(BOS)
    bare.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, bos)]
    )
    made: Any = PreTrainedTokenizerFast  # its constructor has no types
    found: PreTrainedTokenizerFast = made(
        tokenizer_object=bare,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
    return found
