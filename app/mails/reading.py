"""What a mail says, as things are when it is sent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from app.mails.stops import STOPPED
from app.participants.service import DELETED_PERSON
from app.settings import settings
from app.visible_text import cleaned_line

# The address is the account's, if it is verified; who has no account has the one that they were
# brought in by.
CONTENTS = f"""
    SELECT m.*, r.name AS room, z.name AS prize, s.address, d.number AS draw,
        d."isReadable", COALESCE(p.name, u.name) AS person,
        CASE
            WHEN w.id IS NULL OR w."deletedAt" IS NOT NULL THEN 'The win was revoked.'
            WHEN r."deletedAt" IS NOT NULL THEN 'The room was deleted.'
            WHEN NOT r."sendsMail" THEN 'The room sends no mails any more.'
            WHEN s.address IS NULL THEN 'The winner has no verified address.'
            WHEN EXISTS (SELECT FROM mail_stops WHERE id = {STOPPED}) THEN 'Nobody wants it there.'
        END AS needless
    FROM mails m JOIN rooms r ON r.id = m."roomId" LEFT JOIN winners w ON w.id = m.cause
    LEFT JOIN prizes z ON z.id = w."prizeId" LEFT JOIN participants p ON p.id = w."participantId"
    LEFT JOIN users u ON u.id = p."userId"
    CROSS JOIN LATERAL (SELECT CASE
        WHEN p."userId" IS NULL THEN p.email
        WHEN u."deletedAt" IS NULL AND u."emailVerified" IS NOT NULL THEN u.email
    END AS address) s
    LEFT JOIN LATERAL (
        SELECT x.number, r."isPublic" OR x."wasPublic" AS "isReadable" FROM draws x
        WHERE x."roomId" = r.id AND x.winners @> jsonb_build_array(jsonb_build_object(
            'participantId', w."participantId", 'prizeId', w."prizeId"))
            AND to_jsonb(x.number) = w.metadata -> 'draw'
    ) d ON true
"""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail says, and to whom. Names are one line each."""

    id: str
    kind: str
    language: str
    address: str
    person: str | None
    room: str
    prize: str
    draw: int | None
    """The number of the draw that it was won in."""
    draw_url: str | None
    """Where anybody sees that draw."""
    created_at: datetime

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Letter":
        """Make a letter of a row of CONTENTS that has an address and a win."""
        person = row["person"]
        draw, public = row["draw"], settings().PUBLIC_URL
        return cls(
            id=row["id"],
            kind=row["kind"],
            language=row["language"],
            address=row["address"],
            person=None if person in {None, DELETED_PERSON} else cleaned_line(person),
            room=_named(row["room"]),
            prize=_named(row["prize"]),
            draw=draw,
            draw_url=f"{public}/rooms/{row['roomId']}/draws/{draw}" if row["isReadable"] else None,
            created_at=row["createdAt"],
        )


def _named(name: str) -> str:
    return cleaned_line(name) or "…"


def letters_of(rows: Sequence[asyncpg.Record]) -> dict[str, Letter | str]:
    """Return what each mail says by its id, or why it is not to be sent."""
    found: dict[str, Any] = {row["id"]: row["needless"] or Letter.of(row) for row in rows}
    return found
