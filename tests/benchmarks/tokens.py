"""What a request pays for its access token: ``python -m tests.benchmarks.tokens``.

All kinds take turns in one run, because only ratios hold from machine to machine.
"""

import statistics
import sys
import timeit
import tracemalloc
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import jwt

from app.auth.tokens import (
    TokenPolicy,
    VerifiedTokens,
    decode_access_token,
    mint_access_token,
    token_hash,
)

SECRET = "a-secret-of-the-benchmark-that-is-long-enough"
ISSUER = AUDIENCE = "http://127.0.0.1:8000"
POLICY = TokenPolicy.of((SECRET,), issuer=ISSUER, audience=AUDIENCE)
REMEMBERED = 10_000
REPEATS = 31
CALLS = 1_000


def main() -> None:
    """Print what one call of each kind costs, and what one remembered token weighs."""
    now = datetime.now(UTC)
    tokens = [mint(now, number).encode() for number in range(REMEMBERED)]
    verified, weight_bytes = remember_all(tokens, now)
    for name, cost, ratio in compare(kinds(tokens[REMEMBERED // 2], verified, now)):
        sys.stdout.write(f"{name:<44}{cost:8.2f} µs{ratio:8.3f}\n")
    sys.stdout.write(f"{'one remembered token':<44}{weight_bytes:8,.0f} bytes\n")


def mint(now: datetime, number: int) -> str:
    """Mint a token with claims as long as real ones."""
    user_id, session_id, jti = (f"c{kind}{number:023}" for kind in "usj")
    return mint_access_token(
        user_id, f"somebody{number}@example.com", session_id, policy=POLICY, now=now, jti=jti
    )


def remember_all(tokens: list[bytes], now: datetime) -> tuple[VerifiedTokens, float]:
    """Fill the memory, and weigh it in bytes per token."""
    verified = VerifiedTokens(len(tokens))
    tracemalloc.start()
    for raw in tokens:
        token = raw.decode()
        verified.add(token, decode_access_token(token, policy=POLICY, now=now))
    weight_bytes, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return verified, weight_bytes / len(tokens)


def kinds(
    raw: bytes, verified: VerifiedTokens, now: datetime
) -> Mapping[str, Callable[[], object]]:
    """Name each kind; the first is what the others are compared with.

    A header arrives as bytes, and a text made of them has no hash yet, unlike a text that is
    looked up again and again.
    """

    def bare() -> object:
        return jwt.decode(raw, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)

    return {
        "PyJWT's decode": bare,
        "decode_access_token, a new token": lambda: decode_access_token(
            raw.decode(), policy=POLICY, now=datetime.now(UTC)
        ),
        "VerifiedTokens.get, a token seen before": lambda: verified.get(
            raw.decode(), datetime.now(UTC)
        ),
        "token_hash": lambda: token_hash(raw.decode()),
        "mint_access_token": lambda: mint(now, 1),
    }


def compare(functions: Mapping[str, Callable[[], object]]) -> list[tuple[str, float, float]]:
    """Time each: its name, the median of a call in µs, and the ratio to the first."""
    timers = {name: timeit.Timer(function) for name, function in functions.items()}
    rounds = [{name: timer.timeit(CALLS) for name, timer in timers.items()} for _ in range(REPEATS)]
    costs = {name: statistics.median(each[name] for each in rounds) for name in timers}
    first = next(iter(costs.values()))
    return [(name, cost / CALLS * 1e6, cost / first) for name, cost in costs.items()]


if __name__ == "__main__":
    main()
