from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragshield.errors import UsageError
from ragshield.proof.merkle import Inclusion, included, inclusion, merkle_root

# The test vectors of RFC 6962's reference implementation (certificate-transparency).
LONGEST = "606162636465666768696a6b6c6d6e6f"
LEAVES = [
    bytes.fromhex(x)
    for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", LONGEST)
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("n", range(1, 9))
def test_roots_are_those_of_certificate_transparency(n: int) -> None:
    assert merkle_root(LEAVES[:n]).hex() == ROOTS[n - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle_root([]) == hashlib.sha256(b"").digest()


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40), st.data())
def test_every_leaf_can_be_proven_and_nothing_else(leaves, data) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = merkle_root(leaves), inclusion(leaves, index)
    assert included(leaves[index], proof, root)
    assert not included(leaves[index] + b"x", proof, root)
    if proof.path:
        wrong = (proof.path[0][:-1] + bytes([proof.path[0][-1] ^ 1]), *proof.path[1:])
        assert not included(leaves[index], Inclusion(index, len(leaves), wrong), root)
        assert not included(leaves[index], Inclusion(index, len(leaves), proof.path[:-1]), root)
        longer = (*proof.path, proof.path[0])
        assert not included(leaves[index], Inclusion(index, len(leaves), longer), root)


def test_a_leaf_that_is_not_there_has_no_proof() -> None:
    with pytest.raises(UsageError, match="leaf 3 of 3"):
        inclusion([b"a", b"b", b"c"], 3)
