"""Rows for tests: one function per table, with valid defaults."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from app.auth.sessions import Device, TokenPair, open_session
from app.auth.tokens import token_hash
from app.database.engine import fetch, fetchrow, fetchval, jsonb
from app.database.ids import new_id
from app.database.seed import LOTTERY
from app.draws.announcing import announce
from app.draws.closing import close
from app.draws.drawing import draw as draw_winners
from app.draws.schemas import AnnouncementInput
from app.encryption import encrypted
from app.participants.service import staff_membership
from app.tables import DrawStatus
from app.webhooks.signing import written_secret

SETTINGS = {"ticketCount": 100, "drawDate": "2026-12-31T23:00:00Z"}
"""Room settings that the lottery's schema accepts."""
QUESTION = {"id": "reindeer", "text": "How many?", "options": ["Eight", "Nine"]}


async def insert(table: str, **values: Any) -> asyncpg.Record:
    """Insert a row and return it whole."""
    columns = ", ".join(f'"{name}"' for name in values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    row = await fetchrow(
        f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING *", *values.values()
    )
    assert row is not None
    return row


async def user(**values: Any) -> asyncpg.Record:
    user_id = new_id()
    defaults = {
        "id": user_id,
        "email": f"{user_id}@example.org",
        "name": "Somebody",
        "emailVerified": now(),
        "updatedAt": now(),
    }
    return await insert("users", **{**defaults, **values})


async def session(user_id: str, **values: Any) -> asyncpg.Record:
    defaults = {
        "id": new_id(),
        "userId": user_id,
        "refreshToken": token_hash(secrets.token_urlsafe()),
        "expiresAt": now() + timedelta(days=30),
        "updatedAt": now(),
    }
    return await insert("sessions", **{**defaults, **values})


async def token_blacklist(token: str, user_id: str, **values: Any) -> asyncpg.Record:
    defaults = {
        "id": new_id(),
        "tokenHash": token_hash(token),
        "expiresAt": now() + timedelta(hours=1),
        "userId": user_id,
    }
    return await insert("token_blacklist", **{**defaults, **values})


async def app(**values: Any) -> asyncpg.Record:
    defaults = {
        "id": new_id(),
        "appId": f"app_{new_id()}",
        "appSecret": token_hash(secrets.token_urlsafe()),
        "manifest": jsonb(LOTTERY),
        "updatedAt": now(),
    }
    return await insert("apps", **{**defaults, **values})


async def released_app(*versions: str) -> asyncpg.Record:
    """Register an app that has published these versions, the present one last."""
    *earlier, present = [
        {"version": each, "manifest": {**LOTTERY, "meta": {**LOTTERY["meta"], "version": each}}}
        for each in versions
    ]
    return await app(
        manifest=jsonb(present["manifest"]),
        manifestVersion=present["version"],
        manifestHistory=jsonb(earlier),
    )


async def webhook(app_id: str, **values: Any) -> asyncpg.Record:
    defaults = {
        "id": new_id(),
        "appId": app_id,
        "url": "https://example.org/hooks",
        "secret": encrypted(written_secret(secrets.token_bytes(32))),
    }
    return await insert("webhooks", **{**defaults, **values})


async def delivery(webhook: asyncpg.Record, **values: Any) -> asyncpg.Record:
    """Fail to deliver something."""
    defaults = {
        "id": new_id(),
        "webhookId": webhook["id"],
        "eventId": new_id(),
        "type": "winner.awarded",
        "occurredAt": now(),
        "data": jsonb({"roomId": new_id(), "winnerId": new_id()}),
        "status": "FAILED",
        "attempts": 10,
    }
    return await insert("webhook_deliveries", **{**defaults, **values})


async def begun_log() -> None:
    """Begin the log of events, as the first server does."""
    await fetch("INSERT INTO event_log (id, epoch) VALUES (1, 'abc') ON CONFLICT DO NOTHING")


async def room(
    organizer: asyncpg.Record | None = None, app_id: str | None = None, **values: Any
) -> asyncpg.Record:
    """Open an ACTIVE, public room with its ORGANIZER."""
    organizer = organizer or await user()
    defaults = {
        "id": new_id(),
        "name": "New Year Lottery",
        "appId": app_id or (await app())["appId"],
        "appSettings": jsonb(SETTINGS),
        "status": "ACTIVE",
        "showName": "FULL",
        "createdBy": organizer["id"],
        "updatedAt": now(),
    }
    row = await insert("rooms", **{**defaults, **values})
    await participant(row["id"], organizer["id"], role="ORGANIZER")
    return row


async def participant(room_id: str, user_id: str | None = None, **values: Any) -> asyncpg.Record:
    """Let somebody join a room."""
    person = user_id or (await user())["id"]
    defaults = {
        "id": new_id(),
        "userId": person,
        "roomId": room_id,
        "email": await fetchval("SELECT email FROM users WHERE id = $1", person),
        "acceptedAt": now(),
        "updatedAt": now(),
    }
    return await insert("participants", **{**defaults, **values})


async def guest(room_id: str) -> TokenPair:
    """Let somebody without an account into a room, and return their tokens."""
    person = await user(emailVerified=None, provider="guest", guestOf=room_id)
    await participant(room_id, person["id"], email=None)
    return await open_session(
        person["id"], person["email"], Device(None, None), now(), guest_of=room_id
    )


async def expected(room_id: str, email: str) -> asyncpg.Record:
    """Bring somebody into a room by an address only."""
    return await insert(
        "participants",
        id=new_id(),
        roomId=room_id,
        email=email,
        name="Expected",
        updatedAt=now(),
    )


async def invitation(room: asyncpg.Record, **values: Any) -> asyncpg.Record:
    """Let the room's organizer invite as PARTICIPANT, with a code that nobody knows."""
    defaults = {
        "id": new_id(),
        "roomId": room["id"],
        "codeHash": token_hash(secrets.token_urlsafe()),
        "createdBy": room["createdBy"],
    }
    return await insert("invitations", **{**defaults, **values})


async def prize(room_id: str, quantity: int = 1, **values: Any) -> asyncpg.Record:
    defaults = {
        "id": new_id(),
        "roomId": room_id,
        "name": "Headphones",
        "quantity": quantity,
        "quantityRemaining": quantity,
        "updatedAt": now(),
    }
    return await insert("prizes", **{**defaults, **values})


async def winner(room_id: str, participant_id: str, prize_id: str, **values: Any) -> asyncpg.Record:
    """Record a win; the prize's stock is the caller's to set."""
    defaults = {
        "id": new_id(),
        "roomId": room_id,
        "participantId": participant_id,
        "prizeId": prize_id,
    }
    return await insert("winners", **{**defaults, **values})


async def mail(winner: asyncpg.Record, **values: Any) -> asyncpg.Record:
    """Write down a mail about a win."""
    defaults = {
        "id": new_id(),
        "kind": "you-won",
        "roomId": winner["roomId"],
        "cause": winner["id"],
        "language": "en",
        "status": "PENDING",
    }
    return await insert("mails", **{**defaults, **values})


async def draw(room_id: str, status: DrawStatus) -> None:
    """Bring the room's first draw so far."""
    staff = await staff_membership(room_id)
    await announce(staff, AnnouncementInput().terms())
    if status in {DrawStatus.CLOSED, DrawStatus.DRAWN}:
        await close(staff, 1)
    if status is DrawStatus.DRAWN:
        await draw_winners(staff, 1, text=None, signature=None)


async def token(person: asyncpg.Record) -> str:
    """Sign a person in and return the access token."""
    pair = await open_session(person["id"], person["email"], Device("tests", "127.0.0.1"), now())
    return pair.accessToken


async def bearer(person: asyncpg.Record | None) -> dict[str, str]:
    """Return the headers of a signed-in person, or of nobody."""
    return {} if person is None else {"Authorization": f"Bearer {await token(person)}"}


async def quiz(room_id: str, **values: Any) -> asyncpg.Record:
    defaults = {"id": new_id(), "roomId": room_id, "number": 1}
    return await insert("quizzes", **{**defaults, **values})


async def round_(quiz: asyncpg.Record, **values: Any) -> asyncpg.Record:
    """Ask the only question of a quiz."""
    defaults = {
        "id": new_id(),
        "roomId": quiz["roomId"],
        "quizId": quiz["id"],
        "question": jsonb(QUESTION),
        "correctIndex": 1,
        "questionIndex": 0,
        "totalQuestions": 1,
        "shownAt": now(),
    }
    return await insert("rounds", **{**defaults, **values})


async def answer(round_id: str, participant_id: str, **values: Any) -> asyncpg.Record:
    """Let somebody answer, wrongly."""
    defaults = {
        "id": new_id(),
        "roundId": round_id,
        "participantId": participant_id,
        "answerIndex": 0,
        "isCorrect": False,
        "isWinning": False,
        "responseTimeMs": 700,
        "answeredAt": now(),
    }
    return await insert("answers", **{**defaults, **values})


def now() -> datetime:
    return datetime.now(UTC)
