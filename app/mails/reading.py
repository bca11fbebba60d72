"""What a mail says, as things are when it is sent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from app.auth.codes import IN_FORCE, code_of
from app.mails.queueing import (
    CODE,
    DECISION,
    INVITATION,
    PROVIDER_LINKED,
    REMINDER,
    SECURITY,
    YOU_WON,
)
from app.mails.stops import STOPPED
from app.participants.service import DELETED_PERSON
from app.settings import settings
from app.tables import ClaimStatus
from app.visible_text import cleaned_line

_NOTICED = ", ".join(f"'{kind}'" for kind in sorted(SECURITY - {CODE}))
_IS_NOTICE = f"m.kind IN ({_NOTICED})"
_TELLS_OF_WIN = f"m.kind IN ('{YOU_WON}', '{REMINDER}')"
# The address is the account's, if it is verified; who has no account has the one that they were
# brought in by. Who is invited has none: whether somebody has an account with it is not looked at.
# A code goes where it was asked for, whatever a room wants or somebody has stopped.
CONTENTS = f"""
    SELECT m.*, r.name AS room, z.name AS prize, s.address, d.number AS draw,
        d."isReadable", COALESCE(p.name, u.name) AS person,
        CASE WHEN o."deletedAt" IS NULL THEN o.name END AS organizer,
        CASE WHEN w."claimStatus" = 'PENDING' THEN w."claimBy" END AS "claimBy",
        w."claimStatus", EXISTS (SELECT FROM draw_claims n WHERE n."drawId" = w."drawId"
            AND n."prizeId" = w."prizeId" AND n."participantId" = w."participantId"
            AND n.next IS NOT NULL) AS "isPassedOn",
        c.kid, i.provider, CASE
            WHEN m.kind = '{CODE}' AND c.id IS NULL THEN 'The code is not good any more.'
            WHEN m.kind = '{CODE}' THEN NULL
            WHEN {_IS_NOTICE} AND s.address IS NULL THEN 'The account has no verified address.'
            WHEN {_IS_NOTICE} THEN NULL
            WHEN r."deletedAt" IS NOT NULL THEN 'The room was deleted.'
            WHEN NOT r."sendsMail" THEN 'The room sends no mails any more.'
            WHEN m.kind = '{DECISION}' AND (w.id IS NULL
                OR w."claimStatus" = 'CONFIRMED' AND w."deletedAt" IS NOT NULL)
                THEN 'The win was revoked.'
            WHEN m.kind = '{REMINDER}' AND w."claimStatus" = 'CONFIRMED'
                THEN 'The win was claimed.'
            WHEN {_TELLS_OF_WIN} AND w."claimStatus" = 'DECLINED' THEN 'The win was declined.'
            WHEN {_TELLS_OF_WIN} AND (w."claimStatus" = 'EXPIRED' OR w."claimStatus" = 'PENDING'
                AND w."claimBy" <= now()) THEN 'The time to claim it is over.'
            WHEN {_TELLS_OF_WIN} AND (w.id IS NULL OR w."deletedAt" IS NOT NULL)
                THEN 'The win was revoked.'
            WHEN m.kind = '{INVITATION}' AND (p.id IS NULL OR p."deletedAt" IS NOT NULL)
                THEN 'They are not in the room any more.'
            WHEN m.kind = '{INVITATION}' AND p."userId" IS NOT NULL THEN 'They have joined already.'
            WHEN m.kind = '{INVITATION}' AND r.status NOT IN ('DRAFT', 'ACTIVE')
                THEN 'The room is closed.'
            WHEN s.address IS NULL THEN 'The winner has no verified address.'
            WHEN EXISTS (SELECT FROM mail_stops WHERE id = {STOPPED}) THEN 'Nobody wants it there.'
        END AS needless
    FROM mails m LEFT JOIN rooms r ON r.id = m."roomId" LEFT JOIN users o ON o.id = r."createdBy"
    LEFT JOIN winners w ON w.id = m.cause AND m.kind IN ('{YOU_WON}', '{REMINDER}', '{DECISION}')
    LEFT JOIN sign_in_codes c ON c.id = m.cause AND m.kind = '{CODE}' AND {IN_FORCE}
    LEFT JOIN prizes z ON z.id = w."prizeId"
    LEFT JOIN participants p
        ON p.id = CASE m.kind WHEN '{INVITATION}' THEN m.cause ELSE w."participantId" END
    LEFT JOIN identities i ON i.id = m.cause AND m.kind = '{PROVIDER_LINKED}'
    LEFT JOIN users u
        ON u.id = CASE WHEN {_IS_NOTICE} THEN COALESCE(i."userId", m.cause) ELSE p."userId" END
    CROSS JOIN LATERAL (SELECT CASE
        WHEN m.kind = 'code' THEN c.email
        WHEN NOT {_IS_NOTICE} AND p."userId" IS NULL THEN p.email
        WHEN u."deletedAt" IS NULL AND u."emailVerified" IS NOT NULL THEN u.email
    END AS address) s
    LEFT JOIN LATERAL (
        SELECT x.number, r."isPublic" OR x."wasPublic" AS "isReadable" FROM draws x
        WHERE x."roomId" = r.id AND (x.id = w."drawId"
            OR x.winners @> jsonb_build_array(jsonb_build_object(
                'participantId', w."participantId", 'prizeId', w."prizeId"))
            AND to_jsonb(x.number) = w.metadata -> 'draw')
    ) d ON true
"""

SIGN_IN_PATH = "/sign-in"
"""The page on which a code is used."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail says, and to whom. Names are one line each."""

    id: str
    kind: str
    language: str
    address: str
    created_at: datetime
    person: str | None = None
    room: str = ""
    organizer: str | None = None
    """Of the room."""
    room_url: str = ""
    """Where one signs in to see the room."""
    prize: str = ""
    draw: int | None = None
    """The number of the draw that it was won in."""
    draw_url: str | None = None
    """Where anybody sees that draw."""
    claim_by: datetime | None = None
    """By when the winner has to say that they take it, if they still have to."""
    claim: ClaimStatus | None = None
    """What has become of the win, if it had to be claimed."""
    is_passed_on: bool = False
    """Whether somebody else has it by now."""
    provider: str = ""
    """At which the person has an identity from now on."""
    code: str | None = None
    """What one signs in with."""
    code_url: str | None = None
    """Where the code can be used without typing it."""

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Letter":
        """Make a letter of a row of CONTENTS that has an address and a cause."""
        draw, public = row["draw"], settings().links_url
        return cls(
            **_head(row),
            person=_person(row["person"]),
            room=_named(row["room"]),
            organizer=_person(row["organizer"]),
            room_url=f"{settings().join_url}?room={row['roomId']}",
            prize=_named(row["prize"] or ""),
            draw=draw,
            draw_url=f"{public}/rooms/{row['roomId']}/draws/{draw}" if row["isReadable"] else None,
            claim_by=row["claimBy"],
            claim=row["claimStatus"] and ClaimStatus(row["claimStatus"]),
            is_passed_on=row["isPassedOn"],
        )

    @classmethod
    def of_account(cls, row: asyncpg.Record) -> "Letter":
        """Make a letter of a row of CONTENTS that tells of an account."""
        provider = cleaned_line(row["provider"] or "") or ""
        return cls(**_head(row), person=_person(row["person"]), provider=provider.capitalize())

    @classmethod
    def of_code(cls, row: asyncpg.Record, code: str) -> "Letter":
        """Make a letter of a row of CONTENTS that tells a code."""
        # Behind the #, so that no server learns it, and nobody who follows links uses it up.
        url = f"{settings().links_url}{SIGN_IN_PATH}?language={row['language']}#{code}"
        return cls(**_head(row), code=code, code_url=url)


def _head(row: asyncpg.Record) -> dict[str, Any]:
    names = ("id", "kind", "language", "address")
    return {**{name: row[name] for name in names}, "created_at": row["createdAt"]}


def _person(name: str | None) -> str | None:
    return None if name in {None, DELETED_PERSON} else cleaned_line(name)


def _named(name: str) -> str:
    return cleaned_line(name) or "…"


def letters_of(rows: Sequence[asyncpg.Record]) -> dict[str, Letter | str]:
    """Return what each mail says by its id, or why it is not to be sent."""
    return {row["id"]: row["needless"] or _letter(row) for row in rows}


def _letter(row: asyncpg.Record) -> Letter | str:
    if row["kind"] in SECURITY - {CODE}:
        return Letter.of_account(row)
    if row["kind"] != CODE:
        return Letter.of(row)
    code = code_of(row["cause"], row["kid"])
    return "The code's secret is gone." if code is None else Letter.of_code(row, code)
