from __future__ import annotations

import chromadb
import pytest

from ragshield.errors import InputError
from ragshield.forget.plans.where import Where
from ragshield.records import Passage

PASSAGES = [
    Passage("1", "a", "web", {"k": 1}),
    Passage("2", "b", None, {"k": "x"}),
    Passage("3", "c", "Web", {"j": 2}),
    Passage("4", "d", "letters/ada.txt", {"k": 1.0, "b": True}),
]


def matching(where) -> list[str]:
    condition = Where(where)
    return [p.id for p in PASSAGES if condition.matches(p)]


@pytest.mark.parametrize(
    "where",
    [
        {"k": 1},
        {"k": {"$eq": 1}},
        {"k": {"$ne": 1}},
        {"k": {"$gt": 0}},
        {"k": {"$lte": 0.5}},
        {"k": {"$in": [1, 2]}},
        {"k": {"$nin": [1]}},
        {"b": True},
        {"$and": [{"k": 1}, {"b": True}]},
        {"$or": [{"k": "x"}, {"j": {"$gte": 2}}]},
    ],
)
def test_filters_match_what_they_match_in_chroma(where) -> None:
    client = chromadb.EphemeralClient()
    collection = client.get_or_create_collection("where", embedding_function=None)
    collection.upsert(
        ids=[p.id for p in PASSAGES],
        embeddings=[[1.0, 0.0]] * 4,
        metadatas=[dict(p.meta) for p in PASSAGES],
    )
    assert matching(where) == sorted(collection.get(where=where)["ids"])


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"source": "web"}, ["1"]),
        ({"source": {"$contains": "WEB"}}, ["1", "3"]),
        ({"id": {"$in": ["2", "3"]}}, ["2", "3"]),
        ({"$not": {"k": 1}}, ["2", "3"]),
        ({"k": 1, "b": True}, ["4"]),
        ({"b": 1}, []),
        ({"k": True}, []),
        ({"k": {"$gte": 1, "$lt": 2}}, ["1", "4"]),
    ],
)
def test_what_goes_beyond_chroma(where, ids) -> None:
    assert matching(where) == ids


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({}, "would match everything"),
        ({"k": {}}, "no operator"),
        ({"k": {"$near": 1}}, "unknown operator '\\$near'"),
        ({"$xor": []}, "unknown operator '\\$xor'"),
        ({"$and": []}, "takes a list of filters"),
        ({"$and": [{"k": {"$in": 1}}]}, r"where.\$and\[0\].k: \$in takes a list"),
        ({"k": {"$gt": True}}, "takes a number or a text"),
        ({"k": [1]}, "no text, number or truth value"),
        ({"k": {"$contains": 1}}, "takes a text"),
    ],
)
def test_a_malformed_filter_says_where(where, said) -> None:
    with pytest.raises(InputError, match=said):
        Where(where)
