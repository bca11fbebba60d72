"""What happened that somebody is written to about. Who moves events writes the mails down, too."""

from collections.abc import Sequence
from typing import TypeAlias

import asyncpg

from app.database.engine import fetch
from app.database.ids import new_id
from app.settings import Language, Settings
from app.tables import ClaimStatus, MailStatus, Settler

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CODE = "code"
DECISION = "decision"
INVITATION = "invitation"
REMINDER = "reminder"
YOU_WON = "you-won"
PROVIDER_LINKED = "provider-linked"
SESSION_STOLEN = "session-stolen"
SESSIONS_ENDED = "sessions-ended"
NOTICES = {
    "person.linked": PROVIDER_LINKED,
    "person.session_stolen": SESSION_STOLEN,
    "person.sessions_ended": SESSIONS_ENDED,
}
"""What is told of an account, in the outbox alone, and what is sent of it."""
SECURITY = frozenset({CODE, *NOTICES.values()})
"""Kinds that nobody can stop, and that wait for no others."""


def status_of_new(current: Settings) -> MailStatus | None:
    """Return what becomes of new mails; None: there are none."""
    if current.MAIL_URL is not None:
        return MailStatus.PENDING
    return None if current.in_production else MailStatus.KEPT


def queues(moved: str, status: str, language: str) -> tuple[str, ...]:
    """Write the mails of events that a statement moves: of each kind a statement.

    There is one mail of each cause, however often that is told. What was dropped is written again
    if its cause comes back.

    Args:
        moved: A table with the `id`, `type`, `room`, `subject`, `content` and `moment` of each
            event.
        status: The parameter of `status_of_new`.
        language: The parameter of the language.
    """
    kinds = (_of_winners, _of_claims, _of_expected)
    return tuple(write(moved, status, language) for write in kinds)


_COLUMNS = """
    INSERT INTO mails
        (kind, cause, id, "roomId", "chargedTo", "createdAt", language, status)
"""
_AGAIN = f"""
    ON CONFLICT (kind, cause) DO UPDATE SET status = EXCLUDED.status,
        attempts = 0, "lastError" = NULL, "nextAttemptAt" = now(),
        "createdAt" = EXCLUDED."createdAt", "chargedTo" = EXCLUDED."chargedTo",
        "countedAt" = NULL
        WHERE mails.status = '{MailStatus.DROPPED}'
"""


def _of_winners(moved: str, status: str, language: str) -> str:
    return f"""
        {_COLUMNS}
        SELECT DISTINCT ON (w.id)
            '{YOU_WON}', w.id, e.id, r.id, r."createdBy", e.moment, {language}, {status}
        FROM {moved} e JOIN winners w ON w.id = e.subject JOIN rooms r ON r.id = w."roomId"
        WHERE e.type = 'winner.awarded' AND w."deletedAt" IS NULL AND r."sendsMail"
        ORDER BY w.id
        {_AGAIN}
    """


def _of_claims(moved: str, status: str, language: str) -> str:
    """Write to whose win was settled by somebody else, or by the time alone."""
    return f"""
        {_COLUMNS}
        SELECT DISTINCT ON (w.id)
            '{DECISION}', w.id, e.id, r.id, r."createdBy", e.moment, {language}, {status}
        FROM {moved} e JOIN winners w ON w.id = e.subject JOIN rooms r ON r.id = w."roomId"
        WHERE e.type IN ('winner.claimed', 'winner.declined', 'winner.expired')
            AND r."sendsMail" AND (w."claimSettledBy" = '{Settler.STAFF}'
                OR w."claimStatus" = '{ClaimStatus.EXPIRED}')
        ORDER BY w.id
        {_AGAIN}
    """


def _of_expected(moved: str, status: str, language: str) -> str:
    """Write to who was brought in by an address: of many at once the event tells the range alone.

    In the range there may be others, who came in before: the time tells them apart.
    """
    return f"""
        {_COLUMNS}
        SELECT DISTINCT ON (p.id) '{INVITATION}', p.id, gen_random_uuid()::text, r.id,
            r."createdBy", e.moment, {language}, {status}
        FROM {moved} e JOIN rooms r ON r.id = e.room CROSS JOIN LATERAL (
            SELECT * FROM participants WHERE id = e.subject
            UNION ALL
            SELECT * FROM participants WHERE e.subject IS NULL AND "roomId" = e.room
                AND id BETWEEN e.content #>> '{{range,from}}' AND e.content #>> '{{range,to}}'
                AND e.moment IN ("joinedAt", "updatedAt")
        ) p
        WHERE e.type = 'participant.joined' AND p."userId" IS NULL AND p.email IS NOT NULL
            AND p."deletedAt" IS NULL AND r."sendsMail"
        ORDER BY p.id
        {_AGAIN}
    """


# One of each identity, of which a provider gives a person one; of sessions, one of a kind and
# person in a day: who makes them end again and again floods nobody's mailbox.
_NOTICES = f"""
    WITH told AS (
        DELETE FROM outbox WHERE seq = ANY($1::bigint[]) RETURNING type, subject, "createdAt"
    )
    INSERT INTO mails (kind, cause, id, "createdAt", language, status)
    SELECT DISTINCT ON (k.kind, told.subject)
        k.kind, told.subject, gen_random_uuid()::text, told."createdAt", $5, $4
    FROM told JOIN unnest($2::text[], $3::text[]) AS k (type, kind) USING (type)
    WHERE told.subject IS NOT NULL AND $4::text IS NOT NULL
    ORDER BY k.kind, told.subject, told."createdAt"
    ON CONFLICT (kind, cause) DO UPDATE SET id = EXCLUDED.id, status = EXCLUDED.status,
        attempts = 0, "lastError" = NULL, "sentAt" = NULL, "nextAttemptAt" = now(),
        "createdAt" = EXCLUDED."createdAt"
        WHERE mails.kind <> '{PROVIDER_LINKED}'
            AND mails."createdAt" < EXCLUDED."createdAt" - interval '1 day'
"""


async def queue_notices(
    connection: Connection, told: Sequence[int], status: MailStatus | None, language: Language
) -> None:
    """Write down what is told of accounts, and take it out of the outbox. One statement.

    Args:
        connection: Of who moves events.
        told: Rows of the outbox.
        status: Of `status_of_new`; None: nothing is written.
        language: What they are in.
    """
    await connection.execute(_NOTICES, told, [*NOTICES], [*NOTICES.values()], status, language)


async def queue_code(code_id: str, status: MailStatus, language: Language) -> None:
    """Write down the mail that tells a code to sign in with, within the caller's transaction."""
    await fetch(
        "INSERT INTO mails (id, kind, cause, language, status) VALUES ($1, $2, $3, $4, $5)",
        *(new_id(), CODE, code_id, language, status),
    )
