"""The demo data: five people, two apps, three rooms. Running it twice changes nothing."""

import hashlib
import secrets
from typing import Any

from app.database.engine import fetch, fetchval, jsonb, transaction
from app.database.ids import new_id

PEOPLE = {
    "alice@example.com": ("Alice Johnson", False),
    "bob@example.com": ("Bob Smith", False),
    "charlie@example.com": ("Charlie Davis", False),
    "diana@example.com": ("Diana Martinez", False),
    "admin@example.com": ("Platform Administrator", True),
}

LOTTERY: dict[str, Any] = {
    "meta": {
        "name": "Lottery",
        "version": "1.0.0",
        "description": "Everybody holds a ticket; prizes are drawn on a date.",
    },
    "baseUrl": "http://localhost:3001",
    "capabilities": {
        "prizeFund": True,
        "participantRegistration": True,
        "winnerSelection": True,
        "notifications": False,
        "roomSettings": True,
    },
    "permissions": [
        "rooms:read",
        "participants:read",
        "prizes:read",
        "winners:read",
        "winners:write",
    ],
    "settings": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "ticketCount": {"type": "integer", "minimum": 1},
            "drawDate": {"type": "string", "format": "date-time"},
        },
        "required": ["ticketCount", "drawDate"],
        "additionalProperties": False,
    },
}

QUIZ: dict[str, Any] = {
    "meta": {
        "name": "Quiz",
        "version": "1.0.0",
        "description": "Questions are asked one by one; the best answers win.",
    },
    "baseUrl": "http://localhost:3002",
    "capabilities": {
        "prizeFund": True,
        "participantRegistration": True,
        "winnerSelection": True,
        "notifications": True,
        "roomSettings": True,
    },
    "permissions": [
        "users:read",
        "rooms:read",
        "rooms:write",
        "participants:read",
        "participants:write",
        "prizes:read",
        "winners:read",
        "winners:write",
        "realtime:subscribe",
        "realtime:publish",
    ],
    "settings": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "questions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string"},
                        "text": {"type": "string"},
                        "options": {"type": "array", "items": {"type": "string"}},
                        "correctIndex": {"type": "integer", "minimum": 0, "writeOnly": True},
                        "timeLimit": {"type": "number", "exclusiveMinimum": 0},
                    },
                    "required": ["id", "text", "options", "correctIndex"],
                },
            },
            "currentQuestionIndex": {"type": "integer", "minimum": -1},
            "quizStatus": {"enum": ["WAITING", "QUESTION_ACTIVE", "BETWEEN_ROUNDS", "FINISHED"]},
            "questionShownAt": {"type": ["string", "null"]},
        },
        "required": ["questions", "currentQuestionIndex", "quizStatus"],
    },
}

APPS = {"app_lottery_v1": LOTTERY, "app_quiz_v1": QUIZ}


def demo_id(name: str) -> str:
    """Return the id of something of the demo data, by which the API's examples find it."""
    return f"cdemo{name:0>20}"


NEW_YEAR, TRIVIA, OFFICE = demo_id("newyear25"), demo_id("trivia25"), demo_id("office25")
ROOMS: dict[str, dict[str, Any]] = {
    NEW_YEAR: {
        "name": "New Year Lottery 2025",
        "description": "Ring in the new year with a prize.",
        "appId": "app_lottery_v1",
        "settings": {"ticketCount": 100, "drawDate": "2025-12-31T23:00:00Z"},
        "status": "ACTIVE",
        "isPublic": True,
        "people": {
            "alice@example.com": "ORGANIZER",
            "bob@example.com": "PARTICIPANT",
            "charlie@example.com": "PARTICIPANT",
            "diana@example.com": "VIEWER",
        },
        "prizes": {"Phone": (1, 1), "Headphones": (2, 2), "Gift card": (5, 4)},
    },
    TRIVIA: {
        "name": "Christmas Trivia Quiz",
        "description": "How well do you know Christmas?",
        "appId": "app_quiz_v1",
        "settings": {
            "questions": [
                {
                    "id": "reindeer",
                    "text": "How many reindeer pull the sleigh, Rudolph included?",
                    "options": ["Eight", "Nine", "Ten"],
                    "correctIndex": 1,
                    "timeLimit": 20,
                },
                {
                    "id": "tree",
                    "text": "Which tree is the most common Christmas tree in Europe?",
                    "options": ["Oak", "Nordmann fir", "Birch", "Larch"],
                    "correctIndex": 1,
                    "timeLimit": 20,
                },
                {
                    "id": "stollen",
                    "text": "Where does Stollen come from?",
                    "options": ["Dresden", "Vienna", "Prague"],
                    "correctIndex": 0,
                    "timeLimit": 30,
                },
            ],
            "currentQuestionIndex": -1,
            "quizStatus": "WAITING",
        },
        "status": "ACTIVE",
        "isPublic": True,
        "people": {
            "bob@example.com": "ORGANIZER",
            "alice@example.com": "PARTICIPANT",
            "charlie@example.com": "PARTICIPANT",
        },
        "prizes": {"Box of chocolates": (1, 1)},
    },
    OFFICE: {
        "name": "Private Office Lottery (Draft)",
        "description": None,
        "appId": "app_lottery_v1",
        "settings": {"ticketCount": 30, "drawDate": "2026-01-15T15:00:00Z"},
        "status": "DRAFT",
        "isPublic": False,
        "people": {"charlie@example.com": "ORGANIZER"},
        "prizes": {},
    },
}


async def is_empty() -> bool:
    """Tell whether nobody has ever used this database."""
    return not await fetchval("SELECT EXISTS (SELECT 1 FROM users)")


async def seed() -> None:
    """Add what is missing of the demo data, in one transaction. What is there stays as it is."""
    async with transaction():
        # One at a time: a second server that starts at once waits, and finds everything there.
        await fetch("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
        for email, (name, is_admin) in PEOPLE.items():
            await fetch(
                'INSERT INTO users (id, email, name, provider, "isAdmin", "emailVerified", '
                "\"updatedAt\") VALUES ($1, $2, $3, 'demo', $4, now(), now()) "
                "ON CONFLICT DO NOTHING",
                new_id(),
                email,
                name,
                is_admin,
            )
        for app_id, manifest in APPS.items():
            await fetch(
                'INSERT INTO apps (id, "appId", "appSecret", manifest, "manifestVersion", '
                '"updatedAt") VALUES ($1, $2, $3, $4, $5, now()) ON CONFLICT DO NOTHING',
                new_id(),
                app_id,
                hashlib.sha256(secrets.token_bytes(32)).hexdigest(),
                jsonb(manifest),
                manifest["meta"]["version"],
            )
        for room_id, room in ROOMS.items():
            await _seed_room(room_id, room)


async def _seed_room(room_id: str, room: dict[str, Any]) -> None:
    people = await fetch("SELECT email, id FROM users WHERE email = ANY($1)", list(room["people"]))
    user_ids = {row["email"]: row["id"] for row in people}
    organizer = next(email for email, role in room["people"].items() if role == "ORGANIZER")
    is_new = await fetchval(
        'INSERT INTO rooms (id, name, description, "appId", "appSettings", "appManifestVersion", '
        'status, "isPublic", "createdBy", "updatedAt") '
        "VALUES ($1, $2, $3, $4, $5, '1.0.0', $6, $7, $8, now()) "
        "ON CONFLICT DO NOTHING RETURNING id",
        room_id,
        room["name"],
        room["description"],
        room["appId"],
        jsonb(room["settings"]),
        room["status"],
        room["isPublic"],
        user_ids[organizer],
    )
    if not is_new:
        return
    what = room_id.removeprefix("cdemo").lstrip("0")
    participant_ids = {}
    for email, role in room["people"].items():
        participant_ids[email] = await fetchval(
            'INSERT INTO participants (id, "userId", "roomId", role, email, "acceptedAt", '
            '"updatedAt") VALUES ($1, $2, $3, $4, $5, now(), now()) RETURNING id',
            demo_id(f"{_first_name(email)}{what}"),
            user_ids[email],
            room_id,
            role,
            email,
        )
    for name, (quantity, remaining) in room["prizes"].items():
        prize_id = await fetchval(
            'INSERT INTO prizes (id, "roomId", name, quantity, "quantityRemaining", "updatedAt") '
            "VALUES ($1, $2, $3, $4, $5, now()) RETURNING id",
            demo_id(f"{name.replace(' ', '').lower()}{what}"[-20:]),
            room_id,
            name,
            quantity,
            remaining,
        )
        if remaining < quantity:
            await fetch(
                'INSERT INTO winners (id, "roomId", "participantId", "prizeId") '
                "VALUES ($1, $2, $3, $4)",
                demo_id(f"win{what}"),
                room_id,
                participant_ids["bob@example.com"],
                prize_id,
            )


def _first_name(email: str) -> str:
    return email.partition("@")[0]
