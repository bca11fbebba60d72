"""Draws: announced, closed, drawn or cancelled, each step in one transaction.

Locks are taken in the order draw, room, participants, prizes, winners. Nothing else locks draws,
so that the long parts, freezing the entrants and ranking them, hold up nobody else. Of two calls
for the same draw at once, the second is refused and does not wait.
"""

import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import msgspec

from app.database.audit import acting
from app.database.engine import fetch, fetchrow, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.database.listing import Listing, PageRequest
from app.database.versions import ANY, VERSION, Precondition
from app.draws.beacon import fetch_signature
from app.draws.drand import CHAINS, is_signed, randomness_of, time_of
from app.draws.ranking import (
    HEAVIEST,
    SECRET_BYTES,
    SPEC,
    DrandEntropy,
    Entropy,
    NoEntropy,
    Outcome,
    Plan,
    PlannedPrize,
    Ranked,
    TextEntropy,
    digest,
    fill_prizes,
    key_of,
    scopes_of,
    seed_of,
)
from app.draws.record import Exclusion
from app.errors import (
    AppError,
    Conflict,
    NotFound,
    PrizeExhausted,
    RoomNotActive,
    ServiceUnavailable,
    ValidationFailed,
)
from app.metrics import AWARDS, DRAW_SECONDS, DRAW_STEPS
from app.participants.service import Membership, staff_membership
from app.tables import DrawStatus, Participant, Prize, Room, RoomStatus, Winner

LARGEST_DRAW = 100_000
"""Units in one draw: its winners are held in memory."""
ENTRANTS_PER_PART = 60
"""A part stays below 2 kB, where PostgreSQL would begin to compress it."""
PARTS_PER_READ = 500
MOST_NAMED = 100
"""Of those whose weight is refused."""
JOB = "draw-due-rounds"
"""Who draws when a drand round is due, in `audit_log`."""

# What anybody may know, for every reader: the secret leaves the table only when the draw is over.
_SHOWN = f"""
    x.id, x."roomId", x.number, x.status, x.commitment, x.prizes, x."onePrizeEach", x."weightKey",
    x.exclusions, x.entropy, x.replaces, x.immediate, x.plan, x."planDigest", x.public,
    x.signature, x.seed, x.undrawn, x.reason,
    x."announcedAt", x."closedAt", x."drawnAt", x."cancelledAt",
    CASE WHEN x.status IN ('DRAWN', 'CANCELLED') THEN x.secret END AS secret,
    x.{VERSION}
"""


class WantedPrize(msgspec.Struct, frozen=True):
    """A prize to draw; None for all that is left of it."""

    id: str
    quantity: int | None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an announcement fixes."""

    prizes: tuple[WantedPrize, ...] | None
    """In the order of the draw; None for all that is left, oldest first."""
    one_prize_each: bool
    weight_key: str | None
    exclusions: tuple[Exclusion, ...]
    entropy: Entropy
    replaces: str | None
    immediate: bool


async def list_draws(member: Membership, page: PageRequest) -> tuple[Sequence[asyncpg.Record], int]:
    """List a room's draws, newest first; one more than asked for when more follow."""
    listing = Listing(
        found=['FROM draws x WHERE x."roomId" = $1'],
        shown=_SHOWN,
        joined="JOIN draws x ON x.id = page.id",
        order_column='"announcedAt"',
        newest_first=True,
    )
    return await listing.fetch(page, member.room_id)


async def find_draw(member: Membership, number: int) -> asyncpg.Record:
    """Read a draw with its winners.

    Raises:
        NotFound: The room has no such draw.
    """
    row = await fetchrow(
        f'SELECT {_SHOWN}, x.winners FROM draws x WHERE x."roomId" = $1 AND x.number = $2',
        member.room_id,
        number,
    )
    if row is None:
        raise NotFound("There is no such draw in this room.")
    return row


async def read_entrants(draw_id: str) -> AsyncIterator[bytes]:
    """Read `entrants.txt` piece by piece, holding nothing between two pieces."""
    part = 0
    while True:
        lines = await fetchval(
            "SELECT string_agg(lines, '' ORDER BY part) FROM draw_entrants "
            'WHERE "drawId" = $1 AND part >= $2 AND part < $2 + $3',
            draw_id,
            part,
            PARTS_PER_READ,
        )
        if lines is None:
            return
        yield lines.encode()
        part += PARTS_PER_READ


async def announce(member: Membership, terms: Terms) -> int:
    """Fix what is drawn and commit to a secret; all at once when it is immediate.

    Returns:
        The draw's number.

    Raises:
        RoomNotActive: Only ACTIVE rooms draw.
        ValidationFailed: The terms name what is not there, or contradict each other.
        PrizeExhausted: Fewer units are left than wanted.
        Conflict: Another draw of the room is open, or the unit was drawn again already.
    """
    secret = secrets.token_bytes(SECRET_BYTES)
    async with _step("announce"), transaction():
        _check_terms(terms)
        await _lock_active_room(member)
        await _check_exclusions(member, terms.exclusions)
        prizes = await _planned_prizes(member, terms)
        async with acting(_actor(member), "announce draw"):
            number = await _insert(member, terms, prizes, secret)
        if terms.immediate:
            await close(member, number)
            await draw(member, number, text=None, signature=None)
    return number


@asynccontextmanager
async def _step(name: str) -> AsyncIterator[None]:
    """Measure a step, to the end of its transaction."""
    outcome, started = "failed", time.perf_counter()
    try:
        yield
        outcome = "done"
    except AppError as error:
        if error.status < ServiceUnavailable.status:
            outcome = "refused"
        raise
    finally:
        DRAW_STEPS.labels(name, outcome).inc()
        DRAW_SECONDS.labels(name).observe(time.perf_counter() - started)


def _actor(member: Membership) -> str:
    return member.user_id or JOB


def _check_terms(terms: Terms) -> None:
    faults = {}
    if terms.immediate and not isinstance(terms.entropy, NoEntropy):
        faults["$.immediate"] = "Public entropy comes about after the close, so not at once."
    excluded = [exclusion.participantId for exclusion in terms.exclusions]
    if len(set(excluded)) < len(excluded):
        faults["$.exclusions"] = "Somebody is excluded twice."
    wanted = [prize.id for prize in terms.prizes or ()]
    if len(set(wanted)) < len(wanted):
        faults["$.prizes"] = "A prize is named twice."
    if isinstance(terms.entropy, DrandEntropy):
        if terms.entropy.chain not in CHAINS:
            faults["$.entropy.chain"] = f"Known chains: {', '.join(CHAINS)}."
        elif time_of(terms.entropy.chain, terms.entropy.round) is None:
            faults["$.entropy.round"] = "This round is too far in the future."
    if faults:
        raise ValidationFailed.at(faults)


async def _check_exclusions(member: Membership, exclusions: Sequence[Exclusion]) -> None:
    excluded = [exclusion.participantId for exclusion in exclusions]
    found = {
        row["id"]
        for row in await fetch(
            'SELECT id FROM participants WHERE "roomId" = $1 AND id = ANY($2)',
            member.room_id,
            excluded,
        )
    }
    faults = {
        f"$.exclusions[{index}].participantId": "There is no such participant in this room."
        for index, participant_id in enumerate(excluded)
        if participant_id not in found
    }
    if faults:
        raise ValidationFailed.at(faults)


async def _planned_prizes(member: Membership, terms: Terms) -> list[PlannedPrize]:
    """Resolve the wanted prizes against what is left."""
    left: dict[str, int] = {
        row["id"]: row["quantityRemaining"]
        for row in await fetch(
            f'SELECT id, "quantityRemaining" FROM {Prize.alive()} p WHERE "roomId" = $1 '
            'ORDER BY "createdAt", id',
            member.room_id,
        )
    }
    wanted = terms.prizes
    if terms.replaces is not None:
        wanted = (await _replaced_unit(member, terms),)
    if wanted is None:
        wanted = tuple(WantedPrize(id_, units) for id_, units in left.items() if units)
        if not wanted:
            raise PrizeExhausted("No prize of this room has a unit left.")
    planned = _resolve(wanted, left)
    if sum(prize.quantity for prize in planned) > LARGEST_DRAW:
        raise ValidationFailed.at({"$.prizes": f"More than {LARGEST_DRAW:,} units in one draw."})
    return planned


def _resolve(wanted: Sequence[WantedPrize], left: Mapping[str, int]) -> list[PlannedPrize]:
    unknown = {
        f"$.prizes[{index}].id": "There is no such prize in this room."
        for index, prize in enumerate(wanted)
        if prize.id not in left
    }
    if unknown:
        raise ValidationFailed.at(unknown)
    lacking = {
        prize.id: left[prize.id] for prize in wanted if left[prize.id] < (prize.quantity or 1)
    }
    if lacking:
        raise PrizeExhausted(
            "Fewer units are left than are to be drawn.", details={"left": lacking}
        )
    return [PlannedPrize(prize.id, prize.quantity or left[prize.id]) for prize in wanted]


async def _replaced_unit(member: Membership, terms: Terms) -> WantedPrize:
    """Return the one unit that a revoked winner gave back."""
    revoked = await fetchrow(
        'SELECT "prizeId", "deletedAt" FROM winners WHERE id = $1 AND "roomId" = $2',
        terms.replaces,
        member.room_id,
    )
    if revoked is None:
        raise ValidationFailed.at({"$.replaces": "There is no such winner in this room."})
    if revoked["deletedAt"] is None:
        raise Conflict("This winner is not revoked.")
    unit = WantedPrize(revoked["prizeId"], 1)
    if terms.prizes is not None and [(p.id, p.quantity or 1) for p in terms.prizes] != [
        (unit.id, 1)
    ]:
        raise ValidationFailed.at({"$.prizes": "A redraw has the revoked winner's unit alone."})
    return unit


async def _insert(
    member: Membership, terms: Terms, prizes: Sequence[PlannedPrize], secret: bytes
) -> int:
    number: int = await fetchval(
        """
        INSERT INTO draws (id, "roomId", number, secret, commitment, prizes, "onePrizeEach",
            "weightKey", exclusions, entropy, replaces, immediate, "announcedAt")
        SELECT $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6, $7, $8, $9, $10, $11,
            clock_timestamp()
        FROM draws WHERE "roomId" = $2
        RETURNING number
        """,
        new_id(),
        member.room_id,
        secret,
        digest(secret),
        jsonb(prizes),
        terms.one_prize_each,
        terms.weight_key,
        jsonb(terms.exclusions),
        jsonb(terms.entropy),
        terms.replaces,
        terms.immediate,
    )
    return number


async def close(member: Membership, number: int) -> None:
    """Freeze the entrants and the plan. A draw that is closed already stays as it is.

    Raises:
        NotFound: The room has no such draw.
        RoomNotActive: Only ACTIVE rooms draw.
        Conflict: It was cancelled, another step of it is under way, somebody's weight is not
            valid, or its drand round is no longer in the future.
    """
    async with _step("close"), transaction():
        present = await _lock_draw(member, number)
        if present["status"] in (DrawStatus.CLOSED, DrawStatus.DRAWN):
            return
        if present["status"] == DrawStatus.CANCELLED:
            raise Conflict("This draw was cancelled.")
        await _freeze_entrants(present)
        count, entrants_digest = await _describe_entrants(present["id"])
        room = await _lock_active_room(member)
        closed_at = await _clock()
        plan = Plan(
            spec=SPEC,
            drawId=present["id"],
            roomId=member.room_id,
            app=f"{room['appId']}@{room['appManifestVersion']}",
            commitment=present["commitment"],
            entropy=_entropy_of(present, closed_at),
            prizes=msgspec.json.decode(present["prizes"], type=tuple[PlannedPrize, ...]),
            onePrizeEach=present["onePrizeEach"],
            entrantCount=count,
            entrantsDigest=entrants_digest,
        )
        canonical = plan.canonical()
        async with acting(_actor(member), "close draw"):
            await fetch(
                'UPDATE draws SET status = $2, plan = $3, "planDigest" = $4, "closedAt" = $5 '
                "WHERE id = $1",
                present["id"],
                DrawStatus.CLOSED,
                canonical.decode(),
                digest(canonical),
                closed_at,
            )


def _entropy_of(present: asyncpg.Record, closed_at: datetime) -> Entropy:
    entropy: Entropy = msgspec.json.decode(present["entropy"], type=Entropy)
    if isinstance(entropy, DrandEntropy):
        due = time_of(entropy.chain, entropy.round)
        if due is None or due <= closed_at:
            raise Conflict(
                "The drand round is not in the future any more: its randomness is known. "
                "Cancel this draw and announce another one.",
            )
    return entropy


# One statement, so one moment: who is in, who is excluded, who holds a prize, and all weights.
_FREEZE = f"""
    INSERT INTO draw_entrants ("drawId", part, lines)
    SELECT $1, part, string_agg(id || ' ' || weight || E'\\n', '' ORDER BY id)
    FROM (
        SELECT p.id COLLATE "C" AS id,
               coalesce((p.metadata -> $4::text)::text, '1') AS weight,
               (row_number() OVER (ORDER BY p.id COLLATE "C") - 1) / $6::int AS part
        FROM {Participant.alive()} p
        WHERE p."roomId" = $2 AND p.role = 'PARTICIPANT'
          AND NOT EXISTS (SELECT FROM unnest($3::text[]) excluded WHERE excluded = p.id)
          AND NOT EXISTS (
              SELECT FROM {Winner.alive()} w
              WHERE w."participantId" = p.id AND w."roomId" = $2 AND $5::boolean
          )
    ) entrant
    GROUP BY part
"""


async def _freeze_entrants(present: asyncpg.Record) -> None:
    exclusions = msgspec.json.decode(present["exclusions"], type=list[Exclusion])
    await fetch(
        _FREEZE,
        present["id"],
        present["roomId"],
        [exclusion.participantId for exclusion in exclusions],
        present["weightKey"],
        present["onePrizeEach"],
        ENTRANTS_PER_PART,
    )
    if present["weightKey"] is not None:
        await _check_weights(present["id"])


async def _check_weights(draw_id: str) -> None:
    """Refuse weights that are not integers from 1 to 1000, as they were frozen."""
    refused = await fetch(
        r"""
        SELECT split_part(line, ' ', 1) AS id, count(*) OVER () AS total
        FROM draw_entrants, string_to_table(rtrim(lines, E'\n'), E'\n') line
        WHERE "drawId" = $1 AND line !~ '^[^ ]+ ([1-9][0-9]{0,2}|1000)$' LIMIT $2
        """,
        draw_id,
        MOST_NAMED,
    )
    if refused:
        raise Conflict(
            f"{refused[0]['total']} participant(s) have a weight that is not an integer from 1 "
            f"to {HEAVIEST}.",
            details={"participants": [row["id"] for row in refused]},
        )


async def _describe_entrants(draw_id: str) -> tuple[int, str]:
    row = await fetchrow(
        r"""
        SELECT coalesce(sum(cardinality(string_to_array(lines, E'\n')) - 1), 0)::int AS entrants,
               encode(sha256(convert_to(
                   coalesce(string_agg(lines, '' ORDER BY part), ''), 'UTF8')), 'hex') AS digest
        FROM draw_entrants WHERE "drawId" = $1
        """,
        draw_id,
    )
    if row is None:
        raise AssertionError("an aggregate has always a row")
    return row["entrants"], row["digest"]


async def draw(member: Membership, number: int, *, text: str | None, signature: str | None) -> None:
    """Let the public entropy in, award the winners and reveal the secret, all of it or nothing.

    A draw that was drawn with the same public entropy stays as it is.

    Args:
        member: A moderator's.
        number: The draw's.
        text: What came about in public, for a plan with a text.
        signature: The drand round's, in hex; without it DRAND_URL is asked.

    Raises:
        NotFound: The room has no such draw.
        ValidationFailed: The public entropy is not of the announced kind, or not genuine.
        RoomNotActive: Only ACTIVE rooms draw.
        Conflict: It is not closed, it was drawn with other entropy, another step is under way,
            a prize lacks units, or a winner holds the prize already.
        ServiceUnavailable: The drand relay does not answer.
    """
    async with _step("draw"):
        announced = await find_draw(member, number)
        public, signature = await _public_entropy(announced, text, signature)
        await _draw_with(member, number, public, signature)


async def _draw_with(member: Membership, number: int, public: bytes, signature: str | None) -> None:
    async with transaction():
        present = await _lock_draw(member, number)
        if present["status"] == DrawStatus.DRAWN:
            if present["public"] != public:
                raise Conflict("This draw was drawn with other public entropy.")
            return
        if present["status"] != DrawStatus.CLOSED:
            raise Conflict(f"This draw is {present['status']}; only a CLOSED one can be drawn.")
        plan = msgspec.json.decode(present["plan"], type=Plan)
        seed = seed_of(present["secret"], present["plan"].encode(), public)
        outcome = fill_prizes(plan, await _orders(present, plan, seed))
        await _lock_active_room(member)
        await _award(member, number, outcome)
        drawn_at = await _clock()
        async with acting(_actor(member), "draw winners"):
            await fetch(
                "UPDATE draws SET status = $2, public = $3, signature = $4, seed = $5, "
                'winners = $6, undrawn = $7, "drawnAt" = $8 WHERE id = $1',
                present["id"],
                DrawStatus.DRAWN,
                public,
                signature,
                seed,
                jsonb(outcome.winners),
                outcome.undrawn,
                drawn_at,
            )


async def _public_entropy(
    announced: asyncpg.Record, text: str | None, signature: str | None
) -> tuple[bytes, str | None]:
    """Return the public bytes, and for drand the signature that they come from."""
    entropy: Entropy = msgspec.json.decode(announced["entropy"], type=Entropy)
    faults = {}
    if text is not None and not isinstance(entropy, TextEntropy):
        faults["$.public"] = "This draw was announced without a text."
    if signature is not None and not isinstance(entropy, DrandEntropy):
        faults["$.signature"] = "This draw was announced without a drand round."
    if text is None and isinstance(entropy, TextEntropy):
        faults["$.public"] = f"Required: {entropy.label}."
    if faults:
        raise ValidationFailed.at(faults)
    if isinstance(entropy, DrandEntropy):
        return await _drand_entropy(announced, entropy, signature)
    return (text or "").encode(), None


async def _drand_entropy(
    announced: asyncpg.Record, entropy: DrandEntropy, signature: str | None
) -> tuple[bytes, str]:
    if announced["status"] == DrawStatus.DRAWN and signature is None:
        return announced["public"], announced["signature"]
    due = time_of(entropy.chain, entropy.round)
    if due is None or await _clock() < due:
        raise Conflict(
            "The drand round is not published yet.",
            details={"dueAt": due and due.isoformat(timespec="milliseconds")[:-6] + "Z"},
        )
    if signature is None:
        fetched = await fetch_signature(entropy)
        if fetched is None:
            raise ValidationFailed.at({"$.signature": "Required: this server has no DRAND_URL."})
        return randomness_of(fetched), fetched.hex()
    given = bytes.fromhex(signature)
    if not is_signed(entropy.chain, entropy.round, given):
        raise ValidationFailed.at({"$.signature": "Not the network's signature of this round."})
    return randomness_of(given), signature


async def _orders(present: asyncpg.Record, plan: Plan, seed: bytes) -> dict[str, Sequence[Ranked]]:
    weighted = present["weightKey"] is not None
    return {
        scope: await first_ranked(
            present["id"], key_of(seed, scope), min(count, plan.entrantCount), weighted=weighted
        )
        for scope, count in scopes_of(plan).items()
    }


class DueDraw(msgspec.Struct, frozen=True):
    """A CLOSED draw that waits for nothing but its drand round, which is published."""

    room_id: str
    number: int


async def due_draws() -> list[DueDraw]:
    """Find the draws of ACTIVE rooms whose drand round is due, the longest closed first."""
    now = await _clock()
    rows = await fetch(
        f'SELECT x."roomId", x.number, x.entropy FROM draws x JOIN {Room.alive()} r '
        "ON r.id = x.\"roomId\" AND r.status = 'ACTIVE' "
        "WHERE x.status = 'CLOSED' AND x.entropy ->> 'kind' = 'drand' ORDER BY x.\"closedAt\", x.id"
    )
    return [DueDraw(row["roomId"], row["number"]) for row in rows if _is_due(row, now)]


def _is_due(row: asyncpg.Record, now: datetime) -> bool:
    entropy = msgspec.json.decode(row["entropy"], type=DrandEntropy)
    due = time_of(entropy.chain, entropy.round) if entropy.chain in CHAINS else None
    return due is not None and due <= now


async def draw_due(due: DueDraw) -> None:
    """Draw with the round that DRAND_URL is asked for.

    Raises:
        AppError: As `draw` does; the draw stays CLOSED and can be tried again.
    """
    member = await staff_membership(due.room_id)
    await draw(member, due.number, text=None, signature=None)


# Both forms are a scan of the parts, which PostgreSQL shares with a second process; with tickets
# as a subquery for each entrant it would not. A third would take the core that others' requests
# need. Right after a close PostgreSQL knows little of the parts: their number says nothing of the
# work, and compiling the statement takes longer than to run it.
_RANK_WIDELY = """
    SELECT set_config('min_parallel_table_scan_size', '0', true),
           set_config('min_parallel_index_scan_size', '0', true), set_config('jit', 'off', true),
           set_config('max_parallel_workers_per_gather', '1', true)
"""
# Without weights every line ends with " 1", and the tickets of all begin with the same bytes.
_RANK_SINGLE = """
    SELECT sha256($2::bytea || convert_to(id, 'UTF8')) t, id COLLATE "C" AS id
    FROM draw_entrants, string_to_table(left(lines, -3), E' 1\\n') id
    WHERE "drawId" = $1 ORDER BY 1, 2 LIMIT $3
"""
_RANK_WEIGHTED = """
    SELECT sha256($2::bytea || int4send(j) || convert_to(split_part(line, ' ', 1), 'UTF8')) t,
           split_part(line, ' ', 1) COLLATE "C" AS id
    FROM draw_entrants, string_to_table(left(lines, -1), E'\\n') line,
         generate_series(0, split_part(line, ' ', 2)::int - 1) j
    WHERE "drawId" = $1 ORDER BY 1, 2 LIMIT $3
"""
_FIRST_TICKET = bytes(4)
"""The number of an entrant's only ticket, as 4 bytes."""


async def first_ranked(draw_id: str, key: bytes, count: int, *, weighted: bool) -> Sequence[Ranked]:
    """Return what `ranking.first_ranked` does, for entrants who are too many to read.

    With weights an entrant's other tickets follow its least one in the order of all tickets;
    they are skipped, and where that leaves too few, twice as many are taken.

    Args:
        draw_id: A closed draw's.
        key: The order's.
        count: At most as many as there are entrants.
        weighted: Whether somebody may have more than one ticket.
    """
    await fetch(_RANK_WIDELY)
    statement, start = (_RANK_WEIGHTED, key) if weighted else (_RANK_SINGLE, key + _FIRST_TICKET)
    tickets = count
    while True:
        first: dict[str, bytes] = {}
        for row in await fetch(statement, draw_id, start, tickets):
            first.setdefault(row["id"], row["t"])
        if len(first) >= count:
            return [Ranked(ticket, id_) for id_, ticket in list(first.items())[:count]]
        tickets *= 2


async def _award(member: Membership, number: int, outcome: Outcome) -> None:
    """Give the winners what they won.

    Somebody who was erased since the close stays in the record, but gets no unit.
    """
    people = sorted({win.participantId for win in outcome.winners})
    existing = {
        row["id"]
        for row in await fetch(
            "SELECT id FROM participants WHERE id = ANY($1) ORDER BY id FOR KEY SHARE", people
        )
    }
    awards = [win for win in outcome.winners if win.participantId in existing]
    units: dict[str, int] = {}
    for win in awards:
        units[win.prizeId] = units.get(win.prizeId, 0) + 1
    await _take_units(member, units)
    columns = [
        [new_id() for _ in awards],
        [win.participantId for win in awards],
        [win.prizeId for win in awards],
        [jsonb({"draw": number, "place": win.place, "ticket": win.ticket}) for win in awards],
    ]
    # The prizes are locked, so nobody is given one of them meanwhile.
    held = await fetch(
        f'SELECT w."participantId", w."prizeId" FROM {Winner.alive()} w '
        "JOIN unnest($1::text[], $2::text[]) AS a (participant, prize) "
        'ON a.participant = w."participantId" AND a.prize = w."prizeId"',
        *columns[1:3],
    )
    if held:
        raise Conflict(
            "A winner holds the prize already. Revoke that award, or cancel this draw.",
            details={"winners": [dict(row) for row in held]},
        )
    await fetch(
        'INSERT INTO winners (id, "roomId", "participantId", "prizeId", metadata, "createdAt") '
        "SELECT a.id, $1, a.participant, a.prize, a.metadata::jsonb, now() "
        "FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) "
        "AS a (id, participant, prize, metadata)",
        member.room_id,
        *columns,
    )
    AWARDS.inc(len(awards))


async def _take_units(member: Membership, units: Mapping[str, int]) -> None:
    taken = await fetch(
        f"""
        WITH wanted AS (
            SELECT * FROM unnest($2::text[], $3::int[]) AS w (id, units)
        ), locked AS (
            SELECT id FROM {Prize.alive()} p WHERE "roomId" = $1 AND id = ANY($2)
            ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE prizes z SET "quantityRemaining" = z."quantityRemaining" - wanted.units,
            "updatedAt" = now()
        FROM wanted JOIN locked USING (id)
        WHERE z.id = wanted.id AND z."quantityRemaining" >= wanted.units RETURNING z.id
        """,
        member.room_id,
        [*units],
        [*units.values()],
    )
    lacking = sorted(units.keys() - {row["id"] for row in taken})
    if lacking:
        raise Conflict(
            "Fewer units are left than the plan draws. Give the units back, or cancel this draw.",
            details={"prizes": lacking},
        )


async def cancel(
    member: Membership, number: int, reason: str, precondition: Precondition = ANY
) -> None:
    """Give a draw up, visibly. One that was cancelled for the same reason stays as it is.

    Raises:
        NotFound: The room has no such draw.
        Conflict: It was drawn, or cancelled for another reason; another step is under way.
        PreconditionFailed: It is not as the caller has read it.
    """
    async with _step("cancel"), transaction():
        present = await _lock_draw(member, number)
        precondition.check(present)
        if present["status"] == DrawStatus.DRAWN:
            raise Conflict("This draw was drawn; revoke its winners instead.")
        if present["status"] == DrawStatus.CANCELLED:
            if present["reason"] != reason:
                raise Conflict("This draw was cancelled for another reason.")
            return
        cancelled_at = await _clock()
        async with acting(_actor(member), "cancel draw"):
            await fetch(
                'UPDATE draws SET status = $2, reason = $3, "cancelledAt" = $4 WHERE id = $1',
                present["id"],
                DrawStatus.CANCELLED,
                reason,
                cancelled_at,
            )


async def _lock_draw(member: Membership, number: int) -> asyncpg.Record:
    try:
        row = await fetchrow(
            f"SELECT *, {VERSION} FROM draws "
            'WHERE "roomId" = $1 AND number = $2 FOR NO KEY UPDATE NOWAIT',
            member.room_id,
            number,
        )
    except asyncpg.LockNotAvailableError as error:
        raise Conflict("Another step of this draw is under way.") from error
    if row is None:
        raise NotFound("There is no such draw in this room.")
    return row


async def _lock_active_room(member: Membership) -> asyncpg.Record:
    """Keep the room ACTIVE until the step is committed."""
    row = await fetchrow(
        f'SELECT status, "appId", "appManifestVersion" FROM {Room.alive()} r '
        "WHERE id = $1 FOR SHARE",
        member.room_id,
    )
    if row is None or row["status"] != RoomStatus.ACTIVE:
        raise RoomNotActive
    return row


async def _clock() -> datetime:
    """Return the time by the database's clock, which all servers share."""
    moment: datetime = await fetchval("SELECT date_trunc('milliseconds', clock_timestamp())")
    return moment
