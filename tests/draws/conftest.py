"""A room on stage: who is there, what can be won, and how they speak HTTP."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.auth.sessions import Device, open_session
from app.database.engine import fetch, fetchval, jsonb, transaction
from app.draws import drand
from app.draws.announcing import Terms
from app.draws.ranking import NoEntropy
from app.participants.roles import Rank
from app.participants.service import Membership
from app.tables import App, Participant, ParticipantRole, Prize, Room, RoomStatus, User
from tests.draws import vectors

PEOPLE = {
    "olga": ParticipantRole.ORGANIZER,
    "max": ParticipantRole.MODERATOR,
    "vic": ParticipantRole.VIEWER,
    **dict.fromkeys(("ann", "ben", "cem", "dan", "eva"), ParticipantRole.PARTICIPANT),
}
PLAYERS = ["ann", "ben", "cem", "dan", "eva"]
TEXT = {"kind": "text", "label": "Dice", "format": {"alphabet": "1-6", "length": 5}}


async def age(days: int) -> None:
    """Let so many days have passed since the draws, which no trigger would."""
    past = timedelta(days=days)
    async with transaction():
        await fetch("SET LOCAL session_replication_role = replica")
        await fetch('UPDATE winners SET "claimBy" = "claimBy" - $1::interval', past)
        await fetch("UPDATE draw_claims SET at = at - $1::interval", past)
        await fetch(
            'UPDATE draws SET "announcedAt" = "announcedAt" - $1::interval, "closedAt" = '
            '"closedAt" - $1, "readyAt" = "readyAt" - $1, "drawnAt" = "drawnAt" - $1',
            past,
        )


class Stage:
    """A room's draws over HTTP, as one of its people."""

    def __init__(self, client: httpx.AsyncClient, tokens: dict[str, str]) -> None:
        self.client = client
        self.tokens = tokens
        self.url = "/api/v1/rooms/room/draws"

    async def send(
        self, method: str, path: str = "", *, by: str | None = "max", json: Any = None
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens[by]}"} if by else {}
        return await self.client.request(method, f"{self.url}{path}", json=json, headers=headers)

    async def ok(self, method: str, path: str = "", *, json: Any = None) -> dict[str, Any]:
        response = await self.send(method, path, json=json)
        assert response.is_success, response.text
        data: dict[str, Any] = response.json()["data"]
        return data

    async def refused(self, status: int, method: str, path: str = "", *, json: Any = None) -> Any:
        """Refuse, and change nothing."""
        before = await everything()
        response = await self.send(method, path, json=json)
        assert response.status_code == status, response.text
        assert await everything() == before
        return response.json()["error"]

    async def announce(self, **announcement: Any) -> dict[str, Any]:
        return await self.ok("POST", json=announcement)

    async def drawn(self, **announcement: Any) -> dict[str, Any]:
        """Announce, close and draw."""
        number = (await self.announce(**announcement))["number"]
        await self.ok("POST", f"/{number}/close")
        return await self.ok("POST", f"/{number}/draw")

    async def files(self, number: int = 1, by: str | None = None) -> tuple[bytes, bytes]:
        record, entrants = [
            await self.send("GET", f"/{number}/{name}", by=by)
            for name in ("record", "entrants.txt")
        ]
        return record.content, entrants.content


async def everything() -> list[Sequence[asyncpg.Record]]:
    return [
        await fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
        for table in ("draws", "draw_entrants", "winners", "prizes")
    ]


async def stock(prize_id: str) -> int:
    left: int = await fetchval('SELECT "quantityRemaining" FROM prizes WHERE id = $1', prize_id)
    return left


async def check_stock() -> None:
    """Fail unless what is awarded of each prize is what its live winners hold."""
    for row in await fetch(
        'SELECT z.id, quantity - "quantityRemaining" AS awarded, (SELECT count(*) FROM winners w '
        'WHERE w."prizeId" = z.id AND w."deletedAt" IS NULL) AS live FROM prizes z'
    ):
        assert row["awarded"] == row["live"], row["id"]


async def weigh(participant_id: str, metadata: Any) -> None:
    await fetch(
        "UPDATE participants SET metadata = $2 WHERE id = $1", participant_id, jsonb(metadata)
    )


def terms(**changes: Any) -> Terms:
    defaults: dict[str, Any] = {
        "prizes": None,
        "alternates": 0,
        "one_prize_each": True,
        "weight_key": None,
        "exclusions": (),
        "entropy": NoEntropy(),
        "replaces": None,
        "allow_revoked": False,
        "immediate": False,
    }
    return Terms(**(defaults | changes))


def moderator(*, status: RoomStatus = RoomStatus.ACTIVE) -> Membership:
    return Membership(
        room_id="room",
        status=status,
        is_public=True,
        user_id="max",
        participant_id="max",
        role=ParticipantRole.MODERATOR,
        rank=Rank.MODERATOR,
    )


Publish = Callable[[timedelta], None]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Return a function that lets the round of the vectors be published so long from now.

    A signature doesn't know its time, so nobody has to wait for it.
    """
    chain = drand.CHAINS[drand.QUICKNET]

    def publish(until: timedelta) -> None:
        moment = datetime.now(UTC) + until
        due = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        genesis = due - (vectors.ROUND - 1) * chain.period
        monkeypatch.setitem(drand.CHAINS, drand.QUICKNET, chain._replace(genesis=genesis))

    publish(timedelta(hours=1))
    return publish


def drand_round(number: int = vectors.ROUND) -> dict[str, Any]:
    return {"kind": "drand", "chain": vectors.QUICKNET, "round": number}


@pytest.fixture
async def room(database: str) -> str:
    """An ACTIVE public room with a phone and two books to win."""
    people = [*PEOPLE, "outsider"]
    await User.insert(*(User(id=name, email=f"{name}@example.org", name=name) for name in people))
    await App.insert(App(id="app", appId="app_lottery_v1", appSecret="1", manifest={}))
    for room_id in ("room", "other"):
        await Room(
            id=room_id,
            name=room_id,
            showName="FULL",
            appId="app_lottery_v1",
            appSettings={},
            appManifestVersion="1.2.0",
            status=RoomStatus.ACTIVE,
            createdBy="olga",
        ).save()
    await Participant.insert(
        *(
            Participant(id=name, userId=name, roomId="room", role=role)
            for name, role in PEOPLE.items()
        ),
        Participant(id="elsewhere", userId="outsider", roomId="other"),
    )
    for second, (name, units) in enumerate({"phone": 1, "book": 2}.items()):
        await Prize(
            id=name,
            roomId="room",
            name=name,
            quantity=units,
            quantityRemaining=units,
            createdAt=datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC),
        ).save()
    await Prize(id="foreign", roomId="other", name="foreign").save()
    return database


@pytest.fixture
async def stage(room: str, client: httpx.AsyncClient) -> Stage:  # noqa: ARG001 - made there
    now = datetime.now(UTC)
    device = Device(None, None)
    tokens = {
        name: (await open_session(name, f"{name}@example.org", device, now)).accessToken
        for name in (*PEOPLE, "outsider")
    }
    return Stage(client, tokens)
