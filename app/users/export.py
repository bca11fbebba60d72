"""Everything that is kept about a person, for themselves (GDPR, articles 15 and 20)."""

from collections.abc import AsyncIterator, Mapping, Sequence

import asyncpg
import msgspec

from app.database.engine import fetch
from app.participants.erasing import MAILS_OF_WINS

PIECE = 200
"""Rows that are read at once: each may hold 16 kB of metadata twice."""


class Part(msgspec.Struct, frozen=True):
    """A list of the export."""

    name: str
    about: str
    columns: Mapping[str, str]
    """What each member is called, and where its value is; `id` first, which orders them."""
    found: str
    """`FROM … WHERE …`, the person being $1."""
    documents: frozenset[str] = frozenset()
    """Columns that hold JSON."""

    async def pieces(self, user_id: str) -> AsyncIterator[Sequence[asyncpg.Record]]:
        """Read it piece by piece, holding nothing between two."""
        columns = ", ".join(f'{value} AS "{name}"' for name, value in self.columns.items())
        after = ""
        while True:
            rows = await fetch(
                f"SELECT * FROM (SELECT {columns} {self.found}) x "
                f"WHERE id > $2 ORDER BY id LIMIT {PIECE}",
                user_id,
                after,
            )
            yield rows
            if len(rows) < PIECE:
                return
            after = rows[-1]["id"]


def _of(table: str, *names: str, **others: str) -> Mapping[str, str]:
    return {**{name: f'{table}."{name}"' for name in names}, **others}


# Rows that wait for the verified address are the person's, as they are when it is erased.
_MINE = """
    FROM (
        SELECT p.* FROM participants p WHERE p."userId" = $1
        UNION ALL
        SELECT p.* FROM users u JOIN participants p ON p.email = u.email
        WHERE u.id = $1 AND u."emailVerified" IS NOT NULL
          AND p."userId" IS NULL AND p."deletedAt" IS NULL
    ) p JOIN rooms r ON p."roomId" = r.id
"""
PARTS = (
    Part(
        "account",
        "Who you are here, and whether you administer the platform.",
        _of(
            "u",
            *("id", "email", "emailVerified", "name", "avatar", "provider", "providerId"),
            *("isAdmin", "createdAt", "updatedAt"),
        ),
        "FROM users u WHERE u.id = $1",
    ),
    Part(
        "identities",
        "The providers by which you sign in, and who you are there.",
        _of("i", "id", "provider", "subject", "createdAt"),
        'FROM identities i WHERE i."userId" = $1',
    ),
    Part(
        "sessions",
        "The devices on which you are signed in.",
        _of("s", "id", "deviceInfo", "ipAddress", "createdAt", "lastUsedAt", "expiresAt"),
        'FROM sessions s WHERE s."userId" = $1',
    ),
    Part(
        "memberships",
        "The rooms that you are in, have left, or were brought into by your address.",
        _of(
            "p",
            *("id", "roomId", "role", "metadata", "ownMetadata", "email", "name"),
            *("joinedAt", "acceptedAt", "updatedAt"),
            room="r.name",
            leftAt='p."deletedAt"',
        ),
        _MINE,
        frozenset({"metadata", "ownMetadata"}),
    ),
    Part(
        "wins",
        "What you won, and what of it was taken back.",
        _of(
            "w",
            *("id", "roomId", "participantId", "prizeId", "metadata", "createdAt"),
            *("claimStatus", "claimBy", "claimSettledAt", "claimSettledBy"),
            room="r.name",
            prize="z.name",
            revokedAt='w."deletedAt"',
        ),
        f"""{_MINE} JOIN winners w ON w."participantId" = p.id
            JOIN prizes z ON z.id = w."prizeId" """,
        frozenset({"metadata"}),
    ),
    Part(
        "mails",
        "The mails that you were sent, or were to be sent: of what you won, and invitations.",
        _of(
            "m",
            *("id", "kind", "roomId", "recipient", "status", "sentAt", "createdAt"),
            room="r.name",
            cause="m.cause",
        ),
        f"""{_MINE} CROSS JOIN LATERAL (
                SELECT 'invitation' AS kind, p.id AS cause
                UNION ALL SELECT kind, w.id FROM winners w, {MAILS_OF_WINS} kind
                WHERE w."participantId" = p.id
            ) c JOIN mails m USING (kind, cause)""",
    ),
    Part(
        "answers",
        "What you answered in quizzes; whether it was right once the round is over.",
        _of(
            "a",
            *("id", "roundId", "participantId", "answerIndex", "responseTimeMs", "answeredAt"),
            roomId='o."roomId"',
            question="o.question",
            isCorrect='CASE WHEN o."closedAt" IS NOT NULL THEN a."isCorrect" END',
        ),
        f"""{_MINE} JOIN answers a ON a."participantId" = p.id
            JOIN rounds o ON o.id = a."roundId" """,
        frozenset({"question"}),
    ),
    Part(
        "invitations",
        "The codes that you made to let people into rooms, without the codes.",
        _of(
            "i",
            *("id", "roomId", "role", "maxUses", "uses"),
            *("expiresAt", "revokedAt", "createdAt"),
            room="r.name",
        ),
        'FROM invitations i JOIN rooms r ON r.id = i."roomId" WHERE i."createdBy" = $1',
    ),
    Part(
        "rooms",
        "The rooms that you opened, or that were handed over to you.",
        _of(
            "r",
            *("id", "name", "description", "status", "isPublic", "appId", "appSettings"),
            *("createdAt", "updatedAt", "deletedAt"),
        ),
        'FROM rooms r WHERE r."createdBy" = $1',
        frozenset({"appSettings"}),
    ),
    Part(
        "changes",
        "What administrators did to your account.",
        {"id": "l.id::text", **_of("l", "action", "createdAt")},
        'FROM audit_log l WHERE l."tableName" = \'users\' AND l."rowId" = $1',
    ),
)
