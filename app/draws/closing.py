"""Closing a draw: its entrants and their weights are frozen, and with them the plan."""

from datetime import datetime

import asyncpg
import msgspec
from msgspec import UNSET

from app.database.audit import acting
from app.database.engine import fetch, fetchrow, transaction
from app.draws.drand import time_of
from app.draws.ranking import (
    HEAVIEST,
    DrandEntropy,
    Entropy,
    Plan,
    PlannedPrize,
    digest,
    scopes_of,
)
from app.draws.record import Exclusion
from app.draws.steps import actor_of, clock, lock_active_room, lock_draw, spec_of, step
from app.errors import Conflict
from app.participants.service import Membership
from app.tables import DrawStatus, Participant, Winner

ENTRANTS_PER_PART = 60
"""A part stays below 2 kB, where PostgreSQL would begin to compress it."""
MOST_NAMED = 100
"""Of those whose weight is refused."""
MOST_HASHES = 10_000_000
"""Tickets, times the orders that they are ranked in: about ten seconds of PostgreSQL's time."""


async def close(member: Membership, number: int) -> None:
    """Freeze the entrants and the plan. A draw that is closed already stays as it is.

    Raises:
        NotFound: The room has no such draw.
        RoomNotActive: Only ACTIVE rooms draw.
        Conflict: It was cancelled, another step of it is under way, somebody's weight is not
            valid, nobody has one, all tickets are too many to be ranked, or its drand round is no
            longer in the future.
    """
    async with step("close"), transaction():
        present = await lock_draw(member.room_id, number)
        if present["status"] in (DrawStatus.CLOSED, DrawStatus.READY, DrawStatus.DRAWN):
            return
        if present["status"] == DrawStatus.CANCELLED:
            raise Conflict("This draw was cancelled.")
        frozen = await _freeze_entrants(present)
        count, tickets, entrants_digest = await _describe_entrants(present)
        if count and frozen["lacks_weights"]:
            raise Conflict(
                f'Nobody has "{present["weightKey"]}" in the metadata that moderators gave: all '
                "would have one ticket. Write it there, or cancel this draw.",
            )
        room = await lock_active_room(member)
        closed_at = await clock(after=present["announcedAt"])
        plan = Plan(
            spec=spec_of(present),
            drawId=present["id"],
            roomId=member.room_id,
            app=f"{room['appId']}@{room['appManifestVersion']}",
            commitment=present["commitment"],
            entropy=_entropy_of(present, closed_at),
            prizes=msgspec.json.decode(present["prizes"], type=tuple[PlannedPrize, ...]),
            alternates=UNSET if present["alternates"] is None else present["alternates"],
            onePrizeEach=present["onePrizeEach"],
            entrantCount=count,
            entrantsDigest=entrants_digest,
        )
        _check_work(tickets, plan)
        canonical = plan.canonical()
        async with acting(actor_of(member), "close draw"):
            await fetch(
                'UPDATE draws SET status = $2, plan = $3, "planDigest" = $4, "closedAt" = $5, '
                '"leftOut" = $6, guests = $7 WHERE id = $1',
                present["id"],
                DrawStatus.CLOSED,
                canonical.decode(),
                digest(canonical),
                closed_at,
                frozen["left_out"],
                frozen["guests"],
            )


def _check_work(tickets: int, plan: Plan) -> None:
    """Refuse what would keep PostgreSQL from everybody else for long."""
    orders = len(scopes_of(plan))
    if tickets * orders > MOST_HASHES:
        raise Conflict(
            f"{tickets:,} tickets in {orders:,} order(s) are more than {MOST_HASHES:,} to rank. "
            "Give smaller weights, draw fewer prizes at once, or let everybody win one prize only.",
            details={"tickets": tickets, "orders": orders, "most": MOST_HASHES},
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


# One statement, so one moment: who takes part with which weights, who does not and why.
_FREEZE = f"""
    WITH candidate AS NOT MATERIALIZED (
        SELECT p.id COLLATE "C" AS id, p.metadata -> $4::text AS weight
        FROM {Participant.alive()} p
        WHERE p."roomId" = $2 AND p.role = 'PARTICIPANT'
          AND NOT EXISTS (SELECT FROM unnest($3::text[]) excluded WHERE excluded = p.id)
    ), revoked AS (
        SELECT DISTINCT ON (w."participantId") w."participantId" AS id, w.id AS winner,
            CASE WHEN w."claimStatus" IN ('DECLINED', 'EXPIRED') THEN $10::text ELSE $9 END AS why
        FROM winners replaced JOIN winners w ON w."prizeId" = replaced."prizeId"
        WHERE replaced.id = $7 AND w."deletedAt" IS NOT NULL AND (
            w.id = replaced.id OR w."drawId" IS NOT NULL OR EXISTS (
                SELECT FROM draws d
                WHERE d."roomId" = $2 AND d.status = 'DRAWN' AND d.winners @> jsonb_build_array(
                    jsonb_build_object('prizeId', w."prizeId", 'participantId', w."participantId"))
        ))
        ORDER BY w."participantId", w.id <> replaced.id, w."createdAt" DESC
    ), revoked_candidate AS (
        SELECT id, winner, why FROM candidate JOIN revoked USING (id)
    ), holder AS (
        SELECT id FROM candidate
        WHERE $5::boolean AND id NOT IN (SELECT id FROM revoked_candidate) AND EXISTS (
            SELECT FROM {Winner.alive()} w
            WHERE w."participantId" = candidate.id AND w."roomId" = $2
        )
    ), lost AS (
        SELECT id COLLATE "C" AS id, "deletedAt" IS NULL AS is_here FROM participants
        WHERE "roomId" = $2 AND ("deletedAt" >= $8 OR "participantUntil" >= $8)
          AND (role = 'PARTICIPANT' OR "participantUntil" >= $8)
          AND NOT ("deletedAt" IS NULL AND role = 'PARTICIPANT') AND id <> ALL ($3)
    ), frozen AS (
        INSERT INTO draw_entrants ("drawId", part, lines)
        SELECT $1, part, string_agg(id || ' ' || weight || E'\n', '' ORDER BY id)
        FROM (
            SELECT id, (row_number() OVER (ORDER BY id) - 1) / $6::int AS part,
                   coalesce(CASE jsonb_typeof(weight)
                       WHEN 'number' THEN trim_scale(weight::numeric)::text
                       WHEN 'string' THEN coalesce(
                           substring(weight #>> '{{}}' FROM '^([1-9][0-9]{{0,2}}|1000)$'),
                           weight::text)
                       ELSE weight::text END, '1') AS weight
            FROM candidate
            WHERE NOT EXISTS (SELECT FROM revoked_candidate r WHERE r.id = candidate.id)
              AND NOT EXISTS (SELECT FROM holder h WHERE h.id = candidate.id)
        ) entrant
        GROUP BY part
    )
    SELECT jsonb_build_object(
        'holders', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM holder),
        'revoked', (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'participantId', id, 'winnerId', winner, 'reason', why) ORDER BY id), '[]')
            FROM revoked_candidate),
        'left', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM lost WHERE NOT is_here),
        'otherRole', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM lost WHERE is_here)
    ) AS left_out,
    (
        SELECT count(*)::int FROM users u JOIN participants p ON p."userId" = u.id
        JOIN candidate ON candidate.id = p.id
        WHERE u."guestOf" = $2 AND p.id NOT IN (SELECT id FROM revoked_candidate)
            AND p.id NOT IN (SELECT id FROM holder)
    ) AS guests,
    $4::text IS NOT NULL AND NOT EXISTS (SELECT FROM candidate WHERE weight IS NOT NULL)
        AS lacks_weights
"""
REVOKED = "Has won this prize before, and it was taken back."
NOT_TAKEN = "Has won this prize before, and did not take it."


async def _freeze_entrants(present: asyncpg.Record) -> asyncpg.Record:
    """Write down who takes part; tell who was left out (JSON), and whether weights are lacking."""
    exclusions = msgspec.json.decode(present["exclusions"], type=list[Exclusion])
    row = await fetchrow(
        _FREEZE,
        present["id"],
        present["roomId"],
        [exclusion.participantId for exclusion in exclusions],
        present["weightKey"],
        present["onePrizeEach"],
        ENTRANTS_PER_PART,
        None if present["allowRevoked"] else present["replaces"],
        present["announcedAt"],
        REVOKED,
        NOT_TAKEN,
    )
    if row is None:
        raise AssertionError("a SELECT without FROM has always a row")
    return row


# One reading. Without weights there is nothing to check, and nothing to count but lines.
_DESCRIBE = r"""
    SELECT coalesce(sum(people), 0)::int AS entrants,
        coalesce(sum(coalesce(weights.tickets, people)), 0)::bigint AS tickets,
        coalesce(sum(refused), 0)::int AS refused,
        string_agg(named, ' ' ORDER BY part) AS named, encode(sha256(convert_to(
            coalesce(string_agg(lines, '' ORDER BY part), ''), 'UTF8')), 'hex') AS digest
    FROM draw_entrants
    CROSS JOIN LATERAL (SELECT cardinality(string_to_array(lines, E'\n')) - 1 AS people) counted
    LEFT JOIN LATERAL (
        SELECT sum(split_part(line, ' ', 2)::int) FILTER (WHERE is_valid) AS tickets,
            count(*) FILTER (WHERE NOT is_valid) AS refused,
            string_agg(split_part(line, ' ', 1), ' ') FILTER (WHERE NOT is_valid) AS named
        FROM string_to_table(left(lines, -1), E'\n') line,
            LATERAL (SELECT line ~ '^[^ ]+ ([1-9][0-9]{0,2}|1000)$' AS is_valid) checked
    ) weights ON $2
    WHERE "drawId" = $1
"""


async def _describe_entrants(present: asyncpg.Record) -> tuple[int, int, str]:
    """Read what was frozen: how many take part, with how many tickets, and the digest.

    Raises:
        Conflict: Weights are not integers from 1 to 1000; names whose, as they were frozen.
    """
    row = await fetchrow(_DESCRIBE, present["id"], present["weightKey"] is not None)
    if row is None:
        raise AssertionError("an aggregate has always a row")
    if row["refused"]:
        raise Conflict(
            f'Of {row["refused"]} participant(s) "{present["weightKey"]}" is not a whole number '
            f"from 1 to {HEAVIEST}. Change it in their metadata, or cancel this draw.",
            details={"participants": row["named"].split(" ", MOST_NAMED)[:MOST_NAMED]},
        )
    return row["entrants"], row["tickets"], row["digest"]
