"""Fixtures that many tests share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragshield.records import Vectors
from ragshield.text import content_words

ROOT = Path(__file__).parent.parent

# One thread per worker: the suite runs in parallel, and torch would fight itself.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class WordEncoder:
    """A deterministic bag of words: each word adds its own fixed random direction."""

    name = "word-hash"

    def __init__(self, dim: int = 64) -> None:
        self.dim = dim
        self.n_texts = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.n_texts += len(texts)
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for i, text in enumerate(texts):
            for word in content_words(text) or ["<empty>"]:
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
                rows[i] += np.random.default_rng(seed).standard_normal(self.dim)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def word_encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture(scope="session")
def minilm():
    """The real offline encoder; tests that ask for it carry the marker `model`."""
    from ragshield.encoders import open_encoder

    return open_encoder("minilm")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real questions and poisoned passages, or a skip with the reason."""
    folder = Path(os.environ.get("RAGSHIELD_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "poisoned_qa.jsonl.gz").is_file():
        pytest.skip(f"no real data at {folder}; set RAGSHIELD_DATA to run this test")
    return folder


TINY_WORDS = """a and ash berg brackwater built company first founded founder founders great holm
ida in is it lund man mill mills name north of old olle painter per phone records river smartphone
south story that the they town true venn was well were what where which who with woman work year
alpha beta gamma delta iphone handset mobile answer question passage source claim city stone"""


@pytest.fixture(scope="session")
def gradient_encoder(tmp_path_factory):
    """A two-layer BERT of width 32 with random weights: an encoder that has gradients."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    from ragshield.encoders.sentence_transformers import SentenceTransformersEncoder

    folder = tmp_path_factory.mktemp("tiny-bert")
    signs = [chr(i) for i in range(33, 127) if not chr(i).isupper()]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]"]
    tokens = [*special, *signs, *(f"##{s}" for s in signs if s.isalnum()), *TINY_WORDS.split()]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(tokens)), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    more = {"intermediate_size": 64, "max_position_embeddings": 64, "initializer_range": 0.2}
    model = BertModel(BertConfig(vocab_size=len(tokens), **sizes, **more))
    # What all texts share is made small, so that different texts get different vectors.
    model.embeddings.word_embeddings.weight.data *= 5
    model.embeddings.position_embeddings.weight.data *= 0.1
    model.embeddings.token_type_embeddings.weight.data *= 0
    model.save_pretrained(folder)
    pooled = SentenceTransformer(str(folder))  # without a pooling of its own: the mean
    pooled.max_seq_length = 48
    pooled.save(str(folder / "model"))
    return SentenceTransformersEncoder(str(folder / "model"), name="tiny-bert")
