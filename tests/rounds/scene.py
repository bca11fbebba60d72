"""A quiz in a room, with people, over HTTP."""

import copy
from collections.abc import Mapping
from typing import Any

import asyncpg
import httpx

from app.database.engine import fetchval, jsonb
from app.database.seed import QUIZ, ROOMS, TRIVIA
from tests import factories
from tests.answers import Headers

FIRST, SECOND, THIRD = (each["id"] for each in ROOMS[TRIVIA]["settings"]["questions"])
RIGHT = {FIRST: 1, SECOND: 1, THIRD: 0}


def settings(**changes: Any) -> dict[str, Any]:
    """Return the demo quiz's, whose questions have time."""
    found: dict[str, Any] = copy.deepcopy(ROOMS[TRIVIA]["settings"])
    return {**found, **changes}


async def quiz_room(
    organizer: asyncpg.Record | None = None,
    manifest: Mapping[str, Any] = QUIZ,
    **values: Any,
) -> asyncpg.Record:
    """Open an ACTIVE room of the quiz app."""
    app_id = (await factories.app(manifest=jsonb(manifest)))["appId"]
    values.setdefault("appSettings", settings())
    values["appSettings"] = jsonb(values["appSettings"])
    return await factories.room(organizer, app_id, **values)


class Player:
    """Somebody in the room."""

    def __init__(self, seat: asyncpg.Record, headers: Headers) -> None:
        self.id: str = seat["id"]
        self.user_id: str = seat["userId"]
        self.headers = headers


class Quiz:
    """A room with a quiz, whose organizer and players send requests."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def open(self, **values: Any) -> "Quiz":
        self.organizer = await factories.user(name="Olga")
        self.headers = await factories.bearer(self.organizer)
        self.room = await quiz_room(self.organizer, **values)
        self.id: str = self.room["id"]
        return self

    async def player(self, name: str = "Paul", **values: Any) -> Player:
        person = await factories.user(name=name)
        seat = await factories.participant(self.id, person["id"], **values)
        return Player(seat, await factories.bearer(person))

    async def send(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        by: Player | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Send a request about the room, the organizer's if nobody is named."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**(by.headers if by else self.headers), **named}
        url = f"/api/v1/rooms/{self.id}{path}"
        return await self.http.request(method, url, json=json, headers=sent)

    async def ok(self, method: str, path: str, json: Any = None, **given: Any) -> Any:
        answer = await self.send(method, path, json, **given)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    async def ask(self, question: str = FIRST) -> str:
        """Ask a question, and return the id of its round."""
        round_id: str = (await self.ok("POST", "/rounds", {"questionId": question}))["id"]
        return round_id

    async def answer(
        self, round_id: str, by: Player, index: int = RIGHT[FIRST], **headers: str
    ) -> httpx.Response:
        body = {"answerIndex": index}
        return await self.send("POST", f"/rounds/{round_id}/answers", body, by=by, **headers)

    async def leaders(self) -> dict[str, int]:
        quiz = await self.ok("GET", "/quiz")
        return {each["participantId"]: each["wins"] for each in quiz["leaderboard"]}

    async def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ok("GET", ""))["appSettings"]
        return found


async def count(table: str) -> int:
    found: int = await fetchval(f"SELECT count(*) FROM {table}")
    return found
