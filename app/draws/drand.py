"""drand: public randomness of a known network, verified offline with the network's key. Pure.

A round's signature is BLS12-381 with signatures on G1 over SHA-256 of the round's number; its
randomness is SHA-256 of the signature. See drand's specification, "unchained randomness".
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from py_arkworks_bls12381 import GT, G1Point, G2Point

DOMAIN = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
ROUND_BYTES = 8


class Chain(NamedTuple):
    """A network whose rounds we can verify."""

    public_key: str
    """A point of G2, compressed, in hex."""
    genesis: datetime
    """Time of round 1."""
    period: timedelta


QUICKNET = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
CHAINS: Mapping[str, Chain] = {
    QUICKNET: Chain(
        "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c"
        "8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb"
        "5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
        datetime(2023, 8, 23, 15, 9, 27, tzinfo=UTC),
        timedelta(seconds=3),
    )
}
"""By the chain's hash, which a plan names."""


def time_of(chain: str, round_number: int) -> datetime | None:
    """Return when a round is published, or None when that lies beyond the calendar."""
    known = CHAINS[chain]
    try:
        return known.genesis + (round_number - 1) * known.period
    except OverflowError:
        return None


def randomness_of(signature: bytes) -> bytes:
    """Return the 32 random bytes of a round."""
    return hashlib.sha256(signature).digest()


def is_signed(chain: str, round_number: int, signature: bytes) -> bool:
    """Tell whether the network signed this round. Takes a few milliseconds."""
    known = CHAINS.get(chain)
    if known is None:
        return False
    try:
        point = G1Point.from_compressed_bytes(signature)
    except ValueError:
        return False
    message = hashlib.sha256(round_number.to_bytes(ROUND_BYTES, "big")).digest()
    key = G2Point.from_compressed_bytes(bytes.fromhex(known.public_key))
    return GT.pairing_check([point, -G1Point.hash_to_curve(message, DOMAIN)], [G2Point(), key])
