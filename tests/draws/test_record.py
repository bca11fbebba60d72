"""The check of a record names the first step that fails, and lets no forgery through."""

import json
import random
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from app.draws.ranking import Passed, Plan, PlannedPrize, Win, digest, entrants_text
from app.draws.record import (
    UNCOVERED,
    Check,
    Exclusion,
    ListMissing,
    Record,
    Revoked,
    Unawarded,
    Unclaimed,
    check,
)
from app.prizes.claims import ClaimTerms
from app.tables import DrawStatus
from tests.draws import records, vectors
from tests.draws.records import ENTRANTS_TXT, mutations

CAME_LATER = {"readyAt", "allowRevoked", "leftOut", "passed", "unawarded"}
OF_CLAIMS = {"nextInLine", "claims", "claimsDigest"}
DRAWN_STEPS = ["public", "seed", "winners"]
STEPS = ["form", "status", "times", "commitment", "entrants", "plan", *DRAWN_STEPS, "record"]


def checked(record: Record, entrants_txt: bytes | None = ENTRANTS_TXT) -> Check:
    return check(msgspec.json.encode(record), entrants_txt)


def fault(record: Record, entrants_txt: bytes | None = ENTRANTS_TXT) -> tuple[str, str]:
    last = checked(record, entrants_txt).steps[-1]
    assert last.fault is not None
    return last.name, last.fault


@pytest.mark.parametrize("record", records.all_drawn(), ids=["none", "text", "drand"])
def test_a_true_record_passes_every_step(record: Record) -> None:
    result = checked(record)
    assert result.passed
    assert [step.name for step in result.steps] == STEPS
    assert result.record == record


def test_a_cancelled_record_passes_as_far_as_it_goes() -> None:
    result = checked(records.cancelled())
    assert result.passed
    assert [step.name for step in result.steps] == [s for s in STEPS if s not in DRAWN_STEPS]


def test_a_draw_that_was_cancelled_before_its_close_has_neither_plan_nor_list() -> None:
    for nothing in (b"", None):
        result = checked(records.cancelled_early(), nothing)
        assert result.passed
        assert [step.name for step in result.steps if step.void] == ["entrants", "plan"]
    assert fault(records.cancelled_early(), ENTRANTS_TXT)[0] == "entrants"


def test_a_list_that_is_missing_is_no_wrong_one() -> None:
    for record in (records.drawn(), records.cancelled()):
        with pytest.raises(ListMissing):
            checked(record, None)
    assert checked(records.short_of_entrants(), None).passed
    # What is wrong before it is told without it.
    assert fault(replace(records.drawn(), secret="00" * 32), None)[0] == "commitment"


DRAWN = records.drawn()
ACCUSATIONS: list[tuple[str, dict[str, Any], str]] = [
    ("status", {"status": DrawStatus.CLOSED}, "only CLOSED"),
    ("status", {"status": DrawStatus.CANCELLED}, "drawnAt is there"),
    ("status", {"secret": None}, "the secret is missing"),
    ("status", {"winners": None}, "winners is missing"),
    ("status", {"reason": "none"}, "cancelledAt and reason"),
    ("status", {"planDigest": None}, "come together"),
    ("status", {"closedAt": None, "plan": None, "planDigest": None}, "no plan"),
    ("times", {"announcedAt": "2023-09-15T10:31:00.000Z"}, "not in the order"),
    ("times", {"announcedAt": "2023-02-30T10:31:00.000Z"}, "a time that is none"),
    ("commitment", {"secret": "00" * 32}, "SHA-256 of the secret is 66687aad"),
    ("entrants", {"exclusions": (Exclusion("bob", "late"),)}, "bob is excluded"),
    ("plan", {"drawId": "d2"}, "the plan's drawId is d1, the record says d2"),
    ("plan", {"roomId": "r2"}, "the plan's roomId"),
    ("plan", {"planDigest": "00" * 32}, "SHA-256 of the canonical plan"),
    ("plan", {"plan": replace(vectors.FIRST, app="app_lottery_v1@1.2.1")}, "canonical plan"),
    ("plan", {"plan": replace(vectors.FIRST, commitment="00" * 32)}, "the plan's commitment"),
    ("plan", {"plan": replace(vectors.FIRST, prizes=vectors.FIRST.prizes * 2)}, "a prize twice"),
    ("entrants", {"exclusions": (Exclusion("zoe", "late"),) * 2}, "excluded twice"),
    ("plan", {"replaces": "w1"}, "more than that unit"),
    ("public", {"public": "00"}, "the plan has none"),
    ("public", {"signature": "00"}, "names no drand round"),
    ("seed", {"seed": "00" * 32}, "the seed is 71cd16"),
    ("winners", {"winners": DRAWN.winners and DRAWN.winners[:2]}, "the number of winners is 3"),
    ("winners", {"undrawn": 1}, "the number of undrawn units is 0"),
    (
        "winners",
        {"winners": DRAWN.winners and (Win("p1", "alice", 1, "0" * 64), *DRAWN.winners[1:])},
        "winner 1 is bob",
    ),
    ("record", {"recordDigest": "00" * 32}, "SHA-256 of the record is"),
    ("record", {"number": 2}, "SHA-256 of the record is"),
    ("record", {"immediate": True}, "SHA-256 of the record is"),
    ("record", {"exclusions": ()}, "SHA-256 of the record is"),
    ("record", {"announcedAt": "2023-09-15T10:00:00.001Z"}, "SHA-256 of the record is"),
]


@pytest.mark.parametrize(("step", "changes", "sentence"), ACCUSATIONS)
def test_the_first_wrong_step_is_named(step: str, changes: dict[str, Any], sentence: str) -> None:
    name, told = fault(replace(DRAWN, **changes))
    assert name == step
    assert sentence in told


def test_an_immediate_draw_was_drawn_without_public_entropy() -> None:
    assert checked(records.changed(records.cancelled(), immediate=True)).passed
    text = replace(records.all_drawn()[1], immediate=True)
    assert fault(text) == ("plan", "it is immediate, but the plan has public entropy")


def test_a_cancelled_draw_has_no_signature() -> None:
    assert fault(replace(records.cancelled(), signature="00"))[0] == "status"


@pytest.mark.parametrize(
    "entrants_txt",
    [
        b"",
        ENTRANTS_TXT[:-1],
        ENTRANTS_TXT.replace(b"\n", b"\r\n"),
        ENTRANTS_TXT.replace(b"bob 3", b"bob 4"),
        ENTRANTS_TXT.replace(b"bob 3", b"bob 03"),
        ENTRANTS_TXT.replace(b"bob 3", b"bob 0"),
        ENTRANTS_TXT.replace(b"bob 3", b"bob 1001"),
        ENTRANTS_TXT.replace(b"bob 3", b"bob"),
        ENTRANTS_TXT.replace(b"bob 3", "bob ³".encode()),
        ENTRANTS_TXT + b"zoe 1\n",
        ENTRANTS_TXT + b"\xff 1\n",
        b"zoe 1\n" + ENTRANTS_TXT,
        b"alice 1\n" + ENTRANTS_TXT,
    ],
)
def test_another_list_of_entrants_is_refused(entrants_txt: bytes) -> None:
    assert fault(DRAWN, entrants_txt)[0] == "entrants"


def test_somebody_who_is_listed_twice_is_found_though_the_digest_fits() -> None:
    twice = [*vectors.ENTRANTS, vectors.ENTRANTS[1]]
    text = entrants_text(twice)
    plan = replace(vectors.FIRST, entrantCount=6, entrantsDigest=digest(text))
    forged = replace(DRAWN, plan=plan, planDigest=digest(plan.canonical()))
    assert fault(forged, text) == ("entrants", "entrants.txt names somebody twice")


def test_the_entrants_are_as_many_as_planned() -> None:
    plan = replace(vectors.FIRST, entrantCount=6)
    forged = replace(DRAWN, plan=plan, planDigest=digest(plan.canonical()))
    assert fault(forged)[1] == "the number of entrants is 5, the record says 6"


def test_announced_text_must_be_there_and_be_text() -> None:
    assert fault(records.drawn(vectors.SECOND, b""))[1].startswith("the text")
    assert fault(records.drawn(vectors.SECOND, b"\xff"))[1].startswith(
        "the public text is not UTF-8"
    )


def test_a_drand_round_is_signed_known_and_timely() -> None:
    genuine = records.all_drawn()[2]
    assert fault(replace(genuine, signature=None))[0] == "public"
    assert fault(replace(genuine, public="00" * 32))[0] == "public"
    late = replace(genuine, closedAt="2023-09-16T11:59:59.000Z")
    assert fault(late) == ("plan", "the drand round was published before the close")
    early = replace(genuine, drawnAt="2023-09-15T10:30:00.000Z")
    assert fault(early) == ("public", "the drand round was published after the draw")
    for step, entropy in (
        ("plan", {"chain": "00" * 32}),
        ("plan", {"round": 2**53 - 1}),
        ("public", {"round": vectors.ROUND + 1}),
    ):
        plan = replace(records.DRAND, entropy=replace(records.DRAND.entropy, **entropy))
        forged = replace(genuine, plan=plan, planDigest=digest(plan.canonical()))
        assert fault(forged)[0] == step


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"7", b"\xff", b"[" * 100_000])
def test_what_is_no_record_is_refused(content: bytes) -> None:
    result = check(content, b"")
    assert [step.name for step in result.steps] == ["form"]
    assert not result.passed
    assert result.record is None


@pytest.mark.parametrize("name", Record.__struct_fields__)
def test_every_member_matters(name: str) -> None:
    record = records.claiming() if name in OF_CLAIMS else records.complete(records.all_drawn()[2])
    document = msgspec.json.decode(msgspec.json.encode(record))
    others: tuple[Any, ...] = (None, "", "x", 0, 7, [], {}, True)
    for other in others:
        if document[name] != other:
            forged = msgspec.json.encode(document | {name: other})
            assert not check(forged, ENTRANTS_TXT).passed, other
    twice = json.dumps(document)[:-1] + f", {json.dumps(name)}: {json.dumps(document[name])}}}"
    assert check(twice.encode(), ENTRANTS_TXT).steps[0].fault is not None
    del document[name]
    without = check(msgspec.json.encode(document), ENTRANTS_TXT)
    assert not without.passed
    assert (len(without.steps) == 1) is (name not in CAME_LATER | OF_CLAIMS)


def test_the_same_data_in_another_form_passes() -> None:
    document = json.loads(msgspec.json.encode(DRAWN))
    for form in ({"indent": 2}, {"sort_keys": True}, {"ensure_ascii": True}):
        assert check(json.dumps(document, **form).encode(), ENTRANTS_TXT).passed


def test_no_changed_byte_passes() -> None:
    chance = random.Random(7)  # noqa: S311 - must repeat
    refused = 0
    for record, entrants_txt in [*records.of_every_kind(), *records.of_every_later_kind()]:
        content = msgspec.json.encode(record)
        for forged, forged_entrants in mutations(content, entrants_txt, chance):
            result = check(forged, forged_entrants)
            assert not result.passed, (forged, forged_entrants)
            refused += 1
    assert refused > 10_000


def test_whoever_computes_the_digest_anew_is_refused_for_what_they_changed() -> None:
    for record in (
        *(*records.all_drawn(), records.cancelled(), records.dice()),
        records.complete(records.cancelled()),
    ):
        document = msgspec.to_builtins(record)
        for name in set(document) - {*UNCOVERED, "recordDigest"}:
            other = {"x": 1} if document[name] is None else None
            forged = {**document, name: other}
            rest = {name: value for name, value in forged.items() if name != "recordDigest"}
            forged["recordDigest"] = digest(rfc8785.dumps(rest))
            last = check(msgspec.json.encode(forged), ENTRANTS_TXT).steps[-1]
            assert last.fault is not None
            assert last.name != "record"


@pytest.mark.parametrize(
    ("record", "entrants_txt"), [*records.of_every_kind(), *records.of_every_later_kind()]
)
def test_true_records_of_every_kind_pass(record: Record, entrants_txt: bytes) -> None:
    result = checked(record, entrants_txt)
    assert result.passed, result.steps[-1]
    assert result.record == record


def test_records_of_before_have_no_member_that_came_later() -> None:
    document = json.loads(msgspec.json.encode(DRAWN))
    assert not (CAME_LATER | OF_CLAIMS) & document.keys()


LATER = records.complete(DRAWN)
ONE = (LATER.winners or ())[0]
BOB = Passed("p1", "bob", 1, "GONE")
WHY = Unawarded(ONE.prizeId, ONE.participantId, ONE.place, "NO_STOCK")
LEFT_OUT = records.LEFT_OUT
REVOKED = (Revoked("zac", "w1", "before"),)
LATER_ACCUSATIONS: list[tuple[Record, str, dict[str, Any], str]] = [
    (LATER, "status", {"readyAt": None}, "do not go with DRAWN"),
    (LATER, "status", {"passed": None, "unawarded": None, "readyAt": None}, "do not go with"),
    (LATER, "status", {"passed": UNSET}, "come together"),
    (LATER, "status", {"readyAt": UNSET, "passed": UNSET, "unawarded": UNSET}, "is missing"),
    (LATER, "status", {"leftOut": UNSET}, "is missing"),
    (LATER, "status", {"leftOut": None}, "is missing"),
    (LATER, "status", {"allowRevoked": True}, "replaces nobody"),
    (records.complete(records.cancelled()), "status", {"passed": ()}, "do not go with CANCELLED"),
    (records.complete(records.cancelled_early()), "status", {"leftOut": LEFT_OUT}, "never closed"),
    (LATER, "times", {"readyAt": "2023-09-16T12:00:00.001Z"}, "not in the order"),
    (LATER, "times", {"readyAt": "2023-09-15T10:29:59.999Z"}, "not in the order"),
    (LATER, "entrants", {"leftOut": replace(LEFT_OUT, left=("bob",))}, "bob is left out"),
    (LATER, "entrants", {"leftOut": replace(LEFT_OUT, left=("ike",))}, "left out twice"),
    (LATER, "entrants", {"leftOut": replace(LEFT_OUT, revoked=REVOKED)}, "none here"),
    (records.redrawn(), "entrants", {"allowRevoked": True}, "none here"),
    (records.dice(), "entrants", {"leftOut": LEFT_OUT}, "may win several"),
    (records.dice(), "public", {"public": b"42617".hex()}, "not 5 characters 1-6"),
    (records.dice(), "public", {"public": b"4261".hex()}, "not 5 characters 1-6"),
    (LATER, "winners", {"passed": (BOB,)}, "winner 1 is"),
    (records.passed_over({"bob"}), "winners", {"passed": ()}, "winner 1 is"),
    (records.passed_over({"bob"}), "winners", {"passed": (BOB, BOB)}, "passed over"),
    (LATER, "winners", {"passed": (Passed("p1", "nobody", 1, "GONE"),)}, "passed over"),
    (LATER, "winners", {"unawarded": (WHY, WHY)}, "did not win so"),
    (LATER, "winners", {"unawarded": (replace(WHY, place=2),)}, "did not win so"),
    (LATER, "winners", {"unawarded": (replace(WHY, participantId="dave"),)}, "did not win so"),
]


@pytest.mark.parametrize(("record", "step", "changes", "sentence"), LATER_ACCUSATIONS)
def test_the_first_wrong_step_is_named_of_what_came_later(
    record: Record, step: str, changes: dict[str, Any], sentence: str
) -> None:
    forged = records.changed(record, **changes)
    entrants_txt = b"" if record.plan is None else ENTRANTS_TXT
    name, told = fault(forged, entrants_txt)
    assert (name, sentence in told) == (step, True), told


CLAIMING, PASSING = records.claiming(), records.claiming_dice()
BOB_GAVE_UP, CAROL_WAS_LATE, EVA_WAS_LATE = CLAIMING.claims or ()
[CAROL_GAVE_UP] = PASSING.claims or ()
TOO_EARLY = "2023-09-23T12:29:59.999Z"
PLAN_2 = vectors.FIRST_CLAIMING


def of_claims(*claims: Unclaimed) -> dict[str, Any]:
    return {"claims": claims}


def with_plan(plan: Plan) -> dict[str, Any]:
    return {"plan": plan, "planDigest": digest(plan.canonical())}


CLAIMS_ACCUSATIONS: list[tuple[Record, str, dict[str, Any], str]] = [
    (CLAIMING, "status", {"spec": "draw/1"}, "do not go with draw/1"),
    (LATER, "status", {"spec": "draw/2"}, "do not go with draw/2"),
    (CLAIMING, "status", {"nextInLine": None}, "do not go with DRAWN"),
    (CLAIMING, "status", {"claims": None}, "do not go with DRAWN"),
    (CLAIMING, "status", {"claims": UNSET}, "do not go with draw/2"),
    (CLAIMING, "status", {"allowRevoked": UNSET}, "allowRevoked is missing"),
    (records.claiming_cancelled(), "status", {"claims": ()}, "do not go with CANCELLED"),
    (CLAIMING, "plan", with_plan(vectors.FIRST), "the plan's spec is draw/1"),
    (CLAIMING, "plan", with_plan(replace(PLAN_2, alternates=UNSET)), "does not go with draw/2"),
    (
        *(CLAIMING, "plan"),
        with_plan(replace(PLAN_2, prizes=(*PLAN_2.prizes[:2], PlannedPrize("p3", 1)))),
        "does not go with draw/2",
    ),
    (LATER, "plan", with_plan(replace(vectors.FIRST, alternates=0)), "does not go with draw/1"),
    (
        *(CLAIMING, "plan"),
        with_plan(replace(PLAN_2, prizes=(PlannedPrize("p1", 3, ClaimTerms("P999D")),))),
        "a time to claim that is none",
    ),
    (CLAIMING, "winners", {"nextInLine": (CLAIMING.nextInLine or ())[::-1]}, "alternate 1 is"),
    (CLAIMING, "winners", {"nextInLine": ()}, "the number of alternates is 2"),
    (CLAIMING, "claims", of_claims(EVA_WAS_LATE, BOB_GAVE_UP), "in the plan's order"),
    (CLAIMING, "claims", of_claims(replace(BOB_GAVE_UP, prizeId="p3")), "in the plan's order"),
    (CLAIMING, "claims", of_claims(replace(BOB_GAVE_UP, prizeId="p9")), "in the plan's order"),
    (CLAIMING, "claims", of_claims(replace(BOB_GAVE_UP, participantId="éva")), "had not won"),
    (CLAIMING, "claims", of_claims(CAROL_WAS_LATE), "carol (p1) did not take what they had not"),
    (CLAIMING, "claims", of_claims(BOB_GAVE_UP, BOB_GAVE_UP), "had given up"),
    (CLAIMING, "claims", of_claims(replace(BOB_GAVE_UP, next="dave")), "from bob (p1) is carol"),
    (CLAIMING, "claims", of_claims(replace(BOB_GAVE_UP, next=None)), "from bob (p1) is carol"),
    (
        *(CLAIMING, "claims"),
        of_claims(BOB_GAVE_UP, replace(CAROL_WAS_LATE, next="dave")),
        "from carol (p1) is None",
    ),
    (
        *(CLAIMING, "claims"),
        of_claims(BOB_GAVE_UP, replace(CAROL_WAS_LATE, at=TOO_EARLY)),
        "EXPIRED before the time was over",
    ),
    (
        *(CLAIMING, "claims"),
        of_claims(replace(BOB_GAVE_UP, status="EXPIRED", settledBy=None)),
        "EXPIRED before the time was over",
    ),
    (CLAIMING, "claims", of_claims(replace(BOB_GAVE_UP, settledBy=None)), "does not go with"),
    (CLAIMING, "claims", of_claims(replace(EVA_WAS_LATE, settledBy="STAFF")), "does not go with"),
    (
        *(CLAIMING, "claims"),
        of_claims(replace(BOB_GAVE_UP, at="2023-09-16T11:59:59.999Z")),
        "stands after what came later",
    ),
    (CLAIMING, "claims", of_claims(replace(BOB_GAVE_UP, at="2023-02-30T12:00:00.000Z")), "is none"),
    (PASSING, "claims", of_claims(replace(CAROL_GAVE_UP, passed=())), "from carol (p1) is éva"),
    (
        *(PASSING, "claims"),
        of_claims(replace(CAROL_GAVE_UP, passed=CAROL_GAVE_UP.passed[::-1])),
        "who is next in line is éva",
    ),
    (
        *(PASSING, "claims"),
        of_claims(replace(CAROL_GAVE_UP, passed=CAROL_GAVE_UP.passed * 2)),
        "who is next in line is bob",
    ),
]


@pytest.mark.parametrize(("record", "step", "changes", "sentence"), CLAIMS_ACCUSATIONS)
def test_the_first_wrong_step_is_named_of_claims(
    record: Record, step: str, changes: dict[str, Any], sentence: str
) -> None:
    name, told = fault(records.changed(record, **changes))
    assert (name, sentence in told) == (step, True), told


def test_claims_have_a_digest_of_their_own_and_leave_the_records() -> None:
    fresh = records.changed(CLAIMING, claims=())
    assert fresh.recordDigest == CLAIMING.recordDigest
    assert fresh.claimsDigest != CLAIMING.claimsDigest
    assert checked(fresh).passed
    forged = replace(CLAIMING, claims=(replace(BOB_GAVE_UP, settledBy="STAFF"),))
    assert fault(forged)[1].startswith("SHA-256 of the claims")
    cancelled = replace(records.claiming_cancelled(), claimsDigest="00" * 32)
    assert fault(cancelled)[0] == "claims"


def test_who_was_gone_is_skipped_and_keeps_the_place() -> None:
    before, after = DRAWN.winners or (), records.passed_over({"bob"}).winners or ()
    assert [win.participantId for win in before] == ["bob", "carol", "éva"]
    assert [(win.participantId, win.place) for win in after[:2]] == [("carol", 2), ("éva", 3)]
    assert (after[2].place, records.passed_over({"bob"}).passed) == (4, (BOB,))


def test_who_is_gone_after_the_last_winner_is_not_passed_over() -> None:
    last = [win.participantId for win in records.passed_over({"bob"}).winners or ()][-1]
    assert records.passed_over({last}).passed == ()


def test_where_all_are_gone_all_is_undrawn() -> None:
    record = records.passed_over({"alice", "bob", "carol", "dave", "éva"})
    assert (record.winners, len(record.passed or ()), record.undrawn) == ((), 5, 3)
    assert checked(record).passed


def test_a_drand_round_was_published_before_the_input_was_fixed() -> None:
    genuine = records.complete(records.all_drawn()[2])
    early = records.changed(genuine, readyAt="2023-09-15T10:30:00.000Z")
    assert fault(early) == ("public", "the drand round was published after the draw")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(texts, st.integers(1, 2**31), texts)
def test_a_record_is_sealed_as_rfc_8785_has_it(reason: str, number: int, app: str) -> None:
    record = records.changed(
        records.cancelled(), reason=reason, number=number, plan=replace(vectors.FIRST, app=app)
    )
    rest = msgspec.to_builtins(record)
    assert rest.pop("recordDigest") == digest(rfc8785.dumps(rest))
