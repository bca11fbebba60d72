"""drand's signatures, with a real round of the network."""

import hashlib
from datetime import UTC, datetime

import pytest

from app.draws.drand import CHAINS, QUICKNET, is_signed, randomness_of, time_of
from tests.draws import vectors

SIGNATURE = bytes.fromhex(vectors.SIGNATURE)


def test_a_real_round_verifies() -> None:
    assert is_signed(vectors.QUICKNET, vectors.ROUND, SIGNATURE)
    assert randomness_of(SIGNATURE).hex() == vectors.RANDOMNESS


@pytest.mark.parametrize("other", [vectors.ROUND + 1, vectors.ROUND - 1, 1, 2**53 - 1])
def test_the_signature_of_another_round_is_refused(other: int) -> None:
    assert not is_signed(vectors.QUICKNET, other, SIGNATURE)


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        SIGNATURE[:-1],
        SIGNATURE + b"\x00",
        bytes(48),
        b"\xc0" + bytes(47),  # the point at infinity
        bytes([SIGNATURE[0] ^ 0x20]) + SIGNATURE[1:],  # the mirrored point
        hashlib.sha384(b"not on the curve").digest(),
    ],
    ids=["empty", "short", "long", "zeros", "infinity", "mirrored", "random"],
)
def test_a_forged_signature_is_refused(forged: bytes) -> None:
    assert not is_signed(vectors.QUICKNET, vectors.ROUND, forged)


def test_an_unknown_chain_is_refused() -> None:
    assert not is_signed("0" * 64, vectors.ROUND, SIGNATURE)


def test_rounds_have_their_time() -> None:
    assert QUICKNET == vectors.QUICKNET
    assert time_of(QUICKNET, 1) == datetime(2023, 8, 23, 15, 9, 27, tzinfo=UTC)
    assert time_of(QUICKNET, 21) == datetime(2023, 8, 23, 15, 10, 27, tzinfo=UTC)
    assert time_of(QUICKNET, 2**53 - 1) is None
    assert len(bytes.fromhex(CHAINS[QUICKNET].public_key)) == 96
