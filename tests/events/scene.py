"""A room with somebody of each kind, over HTTP."""

import copy
from collections.abc import Mapping
from typing import Any

import asyncpg
import httpx

from app.database.engine import fetchval, jsonb
from app.database.seed import LOTTERY, QUIZ
from tests import factories
from tests.answers import Headers

HIDDEN = "the-right-answer"
"""In the settings of the room, for moderators alone."""
QUESTIONS = [
    {**factories.QUESTION, "correctIndex": 1},
    {**factories.QUESTION, "id": "tree", "correctIndex": 1},
]
SETTINGS = {**factories.SETTINGS, "answer": HIDDEN, "questions": QUESTIONS}


def manifest(version: str = "1.0.0") -> dict[str, Any]:
    """Return a lottery's that keeps an answer hidden."""
    hiding = copy.deepcopy(LOTTERY)
    hiding["meta"]["version"] = version
    hiding["settings"]["properties"] |= {
        "answer": {"type": "string", "writeOnly": True},
        "questions": QUIZ["settings"]["properties"]["questions"],
    }
    return hiding


class Scene:
    """A room of an organizer with a player, an idle prize, and one that was won."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.people: dict[str, asyncpg.Record] = {}
        self.headers: dict[str, Headers] = {}
        self.rows: dict[str, asyncpg.Record] = {}

    @property
    def room(self) -> str:
        """The address of the room."""
        return f"/api/v1/rooms/{self.id_of('room')}"

    def id_of(self, name: str) -> str:
        found: str = (self.people | self.rows)[name]["id"]
        return found

    async def build(self, *, is_public: bool = True) -> "Scene":
        for name in ("olga", "paul", "nora"):
            self.people[name] = await factories.user(name=name.capitalize())
            self.headers[name] = await factories.bearer(self.people[name])
        app = await factories.app(manifest=jsonb(manifest()))
        room = await factories.room(
            self.people["olga"], app["appId"], appSettings=jsonb(SETTINGS), isPublic=is_public
        )
        room_id = room["id"]
        paul = await factories.participant(
            room_id, self.id_of("paul"), metadata=jsonb({"seat": 7}), name="Paul"
        )
        won = await factories.prize(room_id, 2, quantityRemaining=1)
        self.rows = {
            "app": app,
            "room": room,
            "player": paul,
            "won": won,
            "prize": await factories.prize(room_id, 3, metadata=jsonb({"size": "M"})),
            "winner": await factories.winner(room_id, paul["id"], won["id"]),
        }
        return self

    async def send(
        self,
        method: str,
        path: str = "",
        json: Any = None,
        *,
        by: str | None = "olga",
        **headers: str,
    ) -> httpx.Response:
        """Send a request about the room, or any other that begins with a slash and `api`."""
        url = path if path.startswith("/api") else f"{self.room}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent: Mapping[str, str] = named | (self.headers[by] if by else {})
        return await self.client.request(method, url, json=json, headers=sent)

    async def ok(self, method: str, path: str = "", json: Any = None, **given: Any) -> Any:
        answer = await self.send(method, path, json, **given)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    async def draw_secret(self) -> str:
        """Return the secret of the room's latest draw."""
        secret: bytes = await fetchval(
            'SELECT secret FROM draws WHERE "roomId" = $1 ORDER BY number DESC', self.id_of("room")
        )
        return secret.hex()
