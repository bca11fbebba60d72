"""The reference: the specification's vectors, its statistics, and what must not change an order."""

import math
import random
from collections import Counter
from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.draws.ranking import (
    Entrant,
    NoEntropy,
    Plan,
    PlannedPrize,
    Ranked,
    digest,
    draw_winners,
    entrants_text,
    first_ranked,
    key_of,
    least_ticket,
    scopes_of,
    seed_of,
)
from tests.draws import vectors

WEIGHTS = {"ann": 1, "ben": 2, "cem": 3, "dan": 4}
TRIALS = 20_000
KEYS = [random.Random(seed).randbytes(32) for seed in range(TRIALS)]  # noqa: S311 - must repeat

ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00 \n"), min_size=1)
entrants = st.dictionaries(ids, st.integers(1, 20), min_size=1, max_size=8).map(
    lambda weights: [Entrant(*item) for item in weights.items()]
)
keys = st.binary(min_size=32, max_size=32)


def test_commitment_is_the_vectors() -> None:
    assert digest(vectors.SECRET) == vectors.COMMITMENT


def test_entrants_are_the_vectors_whatever_order_they_come_in() -> None:
    for order in permutations(vectors.ENTRANTS):
        assert digest(entrants_text(order)) == vectors.ENTRANTS_DIGEST


@pytest.mark.parametrize(
    ("plan", "public", "size", "plan_digest", "seed", "winners"), vectors.DRAWS
)
def test_a_draw_is_the_vectors(
    plan: Plan,
    public: bytes,
    size: int,
    plan_digest: str,
    seed: str,
    winners: list[tuple[str, str]],
) -> None:
    assert len(plan.canonical()) == size
    assert digest(plan.canonical()) == plan_digest
    computed = seed_of(vectors.SECRET, plan.canonical(), public)
    assert computed.hex() == seed
    outcome = draw_winners(plan, computed, vectors.ENTRANTS)
    assert [(win.prizeId, win.participantId) for win in outcome.winners] == winners
    assert outcome.undrawn == 0


@pytest.mark.parametrize(
    ("plan", "public", "size", "plan_digest", "seed", "winners", "in_line"), vectors.CLAIMING_DRAWS
)
def test_a_draw_with_claims_is_the_vectors(
    plan: Plan,
    public: bytes,
    size: int,
    plan_digest: str,
    seed: str,
    winners: list[tuple[str, str]],
    in_line: list[tuple[str, str]],
) -> None:
    assert (len(plan.canonical()), digest(plan.canonical())) == (size, plan_digest)
    computed = seed_of(vectors.SECRET, plan.canonical(), public)
    assert computed.hex() == seed
    outcome = draw_winners(plan, computed, vectors.ENTRANTS)
    drawn = [(win.prizeId, win.participantId) for win in outcome.winners]
    assert drawn == winners
    assert [(win.prizeId, win.participantId) for win in outcome.next_in_line] == in_line


def test_the_line_goes_on_after_the_last_winner_of_all_and_passes_who_is_gone() -> None:
    outcome = draw_winners(vectors.FIRST_CLAIMING, bytes(32), vectors.ENTRANTS)
    assert [win.place for win in (*outcome.winners, *outcome.next_in_line)] == [1, 2, 3, 4, 5]
    gone = {outcome.winners[0].participantId, outcome.next_in_line[0].participantId}
    without = draw_winners(vectors.FIRST_CLAIMING, bytes(32), vectors.ENTRANTS, gone)
    assert [win.place for win in (*without.winners, *without.next_in_line)] == [2, 3, 5]
    assert [(each.prizeId, each.place) for each in without.passed] == [("p1", 1), ("p3", 4)]


def test_places_count_through_all_prizes_or_within_each() -> None:
    through, within = (
        [win.place for win in draw_winners(plan, bytes(32), vectors.ENTRANTS).winners]
        for plan in (vectors.FIRST, vectors.SECOND)
    )
    assert through == [1, 2, 3]
    assert within == [1, 1, 2]


@pytest.mark.parametrize(("one_prize_each", "undrawn"), [(True, 3), (False, 2)])
def test_too_few_entrants_leave_the_rest_undrawn(one_prize_each: bool, undrawn: int) -> None:  # noqa: FBT001 - a parameter
    plan = vectors.plan(NoEntropy(), one_prize_each=one_prize_each)
    lone = [Entrant("ann", 1)]
    prizes = (PlannedPrize("p1", 2), PlannedPrize("p2", 2))
    changed = Plan(
        **{name: getattr(plan, name) for name in plan.__struct_fields__} | {"prizes": prizes}
    )
    outcome = draw_winners(changed, bytes(32), lone)
    assert outcome.undrawn == undrawn
    assert len(outcome.winners) == 4 - undrawn
    assert draw_winners(changed, bytes(32), []).undrawn == 4


def test_one_prize_each_gives_nobody_two() -> None:
    for number in range(200):
        outcome = draw_winners(vectors.FIRST, number.to_bytes(32, "big"), vectors.ENTRANTS)
        assert len({win.participantId for win in outcome.winners}) == 3


def test_orders_are_as_long_as_their_prizes() -> None:
    assert scopes_of(vectors.FIRST) == {"": 3}
    assert scopes_of(vectors.SECOND) == {"p1": 1, "p2": 2}


def test_keys_differ_by_scope() -> None:
    assert len({key_of(bytes(32), scope) for scope in ("", "p1", "p2")}) == 3


def test_equal_tickets_go_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.draws.ranking.least_ticket", lambda *_: bytes(32))
    order = first_ranked(bytes(32), vectors.ENTRANTS, 5)
    assert [ranked.id for ranked in order] == ["alice", "bob", "carol", "dave", "éva"]


def chi_square(seen: Counter[tuple[str, ...]], expected: Mapping[Any, float]) -> float:
    return sum(
        (seen[outcome] - TRIALS * chance) ** 2 / (TRIALS * chance)
        for outcome, chance in expected.items()
    )


def critical(degrees: int) -> float:
    """The value that one honest run in 10,000 exceeds (Wilson and Hilferty)."""
    z = 3.719
    return degrees * (1 - 2 / (9 * degrees) + z * math.sqrt(2 / (9 * degrees))) ** 3


def drawn(places: int, weights: dict[str, int]) -> Counter[tuple[str, ...]]:
    listed = [Entrant(*item) for item in weights.items()]
    return Counter(tuple(ranked.id for ranked in first_ranked(key, listed, places)) for key in KEYS)


def test_first_picks_match_the_weights() -> None:
    expected = {(name,): weight / 10 for name, weight in WEIGHTS.items()}
    assert chi_square(drawn(1, WEIGHTS), expected) < critical(3)


def test_ordered_pairs_match_drawing_without_replacement() -> None:
    expected = {
        (first, second): WEIGHTS[first] / 10 * WEIGHTS[second] / (10 - WEIGHTS[first])
        for first, second in permutations(WEIGHTS, 2)
    }
    assert chi_square(drawn(2, WEIGHTS), expected) < critical(11)


def test_the_statistics_would_show_a_bias() -> None:
    slightly_off = WEIGHTS | {"dan": 5}
    expected = {(name,): weight / 10 for name, weight in WEIGHTS.items()}
    assert chi_square(drawn(1, slightly_off), expected) > critical(3)


@given(keys, entrants, st.data())
def test_removing_an_entrant_leaves_the_others_order(
    key: bytes, listed: list[Entrant], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(listed))
    before = first_ranked(key, listed, len(listed))
    after = first_ranked(key, [each for each in listed if each != gone], len(listed))
    assert after == [ranked for ranked in before if ranked.id != gone.id]


@given(keys, entrants, st.data(), st.integers(1, 30))
def test_more_weight_never_worsens_a_rank(
    key: bytes, listed: list[Entrant], data: st.DataObject, more: int
) -> None:
    lucky = data.draw(st.sampled_from(listed))
    heavier = [Entrant(each.id, each.weight + more) if each == lucky else each for each in listed]
    before, after = (
        [ranked.id for ranked in first_ranked(key, group, len(group))].index(lucky.id)
        for group in (listed, heavier)
    )
    assert after <= before
    assert least_ticket(key, Entrant(lucky.id, lucky.weight + more)) <= least_ticket(key, lucky)


@given(keys, entrants, st.integers(0, 10))
def test_the_first_few_are_the_beginning_of_the_whole_order(
    key: bytes, listed: list[Entrant], count: int
) -> None:
    whole = sorted(Ranked(least_ticket(key, each), each.id) for each in listed)
    assert first_ranked(key, listed, count) == whole[:count]
