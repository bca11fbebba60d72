"""Who hears what: each kind of caller, and those who lose or get the right to it meanwhile."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import pytest

from app.auth.revocation import revoked_hashes
from app.auth.tokens import AccessClaims, VerifiedToken, session_hash, token_hash
from app.database.engine import fetch
from app.errors import NotFound
from app.events import reading
from app.events.hub import HUB
from app.events.limits import Counted
from app.events.log import end_of_log, missed
from app.events.mover import FORGET
from app.events.reading import end_of_heard
from app.events.streams import Stream
from app.participants.service import membership
from tests import factories
from tests.events.conftest import Audience

pytestmark = pytest.mark.usefixtures("database")


def token_of(person: asyncpg.Record, *, seconds: float = 60) -> VerifiedToken:
    """Make what stands for somebody's access token."""
    now = int(time.time())
    claims = AccessClaims(
        sub=person["id"],
        userId=person["id"],
        email=person["email"],
        sid=person["id"],
        jti=person["id"],
        iss="tests",
        aud="tests",
        iat=now,
        exp=int(now + seconds),
    )
    expires_at = datetime.fromtimestamp(claims.exp, UTC)
    return VerifiedToken(claims, token_hash(person["id"]), session_hash(claims.sid), expires_at)


async def stream(
    room: asyncpg.Record, person: asyncpg.Record | None, *, seconds: float = 60
) -> Stream:
    """Open the door as the endpoint does."""
    member = await membership(None if person is None else person["id"], room["id"])
    token = None if person is None else token_of(person, seconds=seconds)
    return Stream(f"roomId {room['id']}", token, member=member)


async def caller(room: asyncpg.Record, kind: str) -> asyncpg.Record | None:
    """Make somebody; of a role, they are in the room."""
    match kind:
        case "anonymous":
            return None
        case "outsider":
            return await factories.user()
        case "platform":
            return await factories.user(isAdmin=True)
        case "expected":
            person = await factories.user()
            await factories.expected(room["id"], person["email"])
            return person
        case _:
            person = await factories.user()
            await factories.participant(room["id"], person["id"], role=kind)
            return person


async def leave(room: asyncpg.Record, person: asyncpg.Record) -> None:
    await fetch(
        'UPDATE participants SET "deletedAt" = now() WHERE "roomId" = $1 '
        'AND ("userId" = $2 OR email = $3)',
        *(room["id"], person["id"], person["email"]),
    )


async def rename(room: asyncpg.Record, name: str = "Another") -> None:
    await fetch("UPDATE rooms SET name = $2 WHERE id = $1", room["id"], name)


async def make(room: asyncpg.Record, *, public: bool) -> None:
    await fetch('UPDATE rooms SET "isPublic" = $2 WHERE id = $1', room["id"], public)


async def test_of_streams_that_begin_together_no_more_stay_than_may(audience: Audience) -> None:
    room = await factories.room()
    await audience.hear()
    counted = Counted("person somebody", 1)
    with HUB.counting(counted.name):  # the one that began before
        late = (await stream(room, None)).frames(end_of_heard(), None, [counted])
        assert [each async for each in late] == [b'event: end\ndata: {"reason":"too_many"}\n\n']
    assert not HUB.streams


INSIDERS = ["VIEWER", "PARTICIPANT", "MODERATOR", "ADMIN", "ORGANIZER", "platform", "expected"]


@pytest.mark.parametrize("kind", ["anonymous", "outsider", *INSIDERS])
async def test_everybody_hears_a_public_room(audience: Audience, kind: str) -> None:
    room = await factories.room()
    person = await caller(room, kind)
    await audience.hear()
    ear = await audience.follow(await stream(room, person))
    elsewhere = await factories.room()

    await rename(elsewhere)
    await rename(room)
    await audience.hear()

    assert await ear.until("room.updated") == ["room.updated"]
    assert elsewhere["id"] not in b"".join(ear.frames).decode()


@pytest.mark.parametrize("kind", INSIDERS)
async def test_who_may_read_a_private_room_hears_it(audience: Audience, kind: str) -> None:
    room = await factories.room(isPublic=False)
    person = await caller(room, kind)
    await audience.hear()
    ear = await audience.follow(await stream(room, person))

    await rename(room)
    await audience.hear()

    assert await ear.until("room.updated") == ["room.updated"]


@pytest.mark.parametrize("kind", ["anonymous", "outsider"])
async def test_a_private_room_is_none_for_others(audience: Audience, kind: str) -> None:
    room = await factories.room(isPublic=False)

    with pytest.raises(NotFound):
        await stream(room, await caller(room, kind))

    assert await audience.hear()


@pytest.mark.parametrize("kind", ["anonymous", "outsider"])
async def test_a_room_that_turns_private_is_silent_to_others(audience: Audience, kind: str) -> None:
    room = await factories.room()
    member = await caller(room, "PARTICIPANT")
    await audience.hear()
    outside = await audience.follow(await stream(room, await caller(room, kind)))
    inside = await audience.follow(await stream(room, member))

    await make(room, public=False)
    await factories.prize(room["id"])
    await audience.hear()

    assert await outside.ended() == ["end no_access"]
    assert await inside.until("prize.created") == ["room.updated", "prize.created"]


async def test_what_was_told_in_private_stays_so_when_the_room_turns_public(
    audience: Audience,
) -> None:
    room = await factories.room(isPublic=False)
    await audience.hear()
    before = await end_of_log(audience.log.connection)
    await rename(room)
    await audience.hear()
    await make(room, public=True)
    await audience.hear()

    ear = await audience.follow(await stream(room, None), before)
    await factories.prize(room["id"])
    await audience.hear()

    assert await ear.until("prize.created") == ["room.updated", "prize.created"]
    assert b"isPublic" in ear.frames[1]


@pytest.mark.parametrize("kind", ["PARTICIPANT", "ORGANIZER", "expected"])
async def test_who_is_taken_out_of_a_private_room_hears_nothing_that_came_after(
    audience: Audience, kind: str
) -> None:
    room = await factories.room(isPublic=False)
    person = await caller(room, kind)
    assert person is not None
    await audience.hear()
    ear = await audience.follow(await stream(room, person))

    await factories.prize(room["id"])
    await leave(room, person)
    await rename(room, "A secret name")
    await audience.hear()  # all at once, as after a pause

    assert await ear.ended() == ["prize.created", "participant.left", "end no_access"]


async def test_who_is_taken_out_of_a_public_room_hears_it_on(audience: Audience) -> None:
    room = await factories.room()
    person = await caller(room, "MODERATOR")
    assert person is not None
    await audience.hear()
    ear = await audience.follow(await stream(room, person))

    await leave(room, person)
    await audience.hear()
    await make(room, public=False)
    await audience.hear()

    assert await ear.ended() == ["participant.left", "end no_access"]


async def test_who_comes_back_before_it_is_noticed_hears_all(audience: Audience) -> None:
    room = await factories.room(isPublic=False)
    person = await caller(room, "PARTICIPANT")
    assert person is not None
    await audience.hear()
    ear = await audience.follow(await stream(room, person))

    await leave(room, person)
    await fetch('UPDATE participants SET "deletedAt" = NULL WHERE "userId" = $1', person["id"])
    await rename(room)
    await audience.hear()

    heard = ["participant.left", "participant.joined", "room.updated"]
    assert await ear.until("room.updated") == heard


async def test_a_role_that_is_lowered_keeps_what_everybody_in_the_room_hears(
    audience: Audience,
) -> None:
    room = await factories.room(isPublic=False)
    person = await caller(room, "MODERATOR")
    assert person is not None
    await audience.hear()
    ear = await audience.follow(await stream(room, person))

    await fetch("UPDATE participants SET role = 'VIEWER' WHERE \"userId\" = $1", person["id"])
    await rename(room)
    await audience.hear()

    assert await ear.until("room.updated") == ["participant.updated", "room.updated"]


async def test_who_joins_a_public_room_hears_it_when_it_turns_private(audience: Audience) -> None:
    room = await factories.room()
    person = await factories.user()
    await audience.hear()
    ear = await audience.follow(await stream(room, person))

    await factories.participant(room["id"], person["id"])
    await make(room, public=False)
    await audience.hear()
    await rename(room)
    await audience.hear()

    heard = ["participant.joined", "room.updated", "room.updated"]
    assert await ear.until("room.updated", times=2) == heard


async def test_who_is_another_person_of_a_row_by_now_hears_nothing_more(
    audience: Audience,
) -> None:
    room = await factories.room(isPublic=False)
    person = await caller(room, "PARTICIPANT")
    assert person is not None
    await audience.hear()
    ear = await audience.follow(await stream(room, person))

    await fetch(
        'UPDATE participants SET "userId" = $2, email = NULL WHERE "userId" = $1',
        *(person["id"], (await factories.user())["id"]),
    )
    await rename(room)
    await audience.hear()

    assert await ear.ended() == ["participant.updated", "end no_access"]


@pytest.mark.parametrize("kind", ["anonymous", "VIEWER", "platform"])
@pytest.mark.parametrize(
    "statement",
    ['UPDATE rooms SET "deletedAt" = now() WHERE id = $1', "DELETE FROM rooms WHERE id = $1"],
)
async def test_a_deleted_room_ends_its_streams(
    audience: Audience, kind: str, statement: str
) -> None:
    room = await factories.room()
    person = await caller(room, kind)
    await audience.hear()
    ear = await audience.follow(await stream(room, person))

    await fetch(statement, room["id"])
    await audience.hear()

    heard = await ear.ended()
    assert heard[-1] == "end no_access"
    if kind != "anonymous":
        assert heard == ["room.deleted", "end no_access"]


@pytest.mark.parametrize("kind", ["outsider", "ORGANIZER"])
async def test_an_expired_token_ends_the_stream(audience: Audience, kind: str) -> None:
    room = await factories.room()
    await audience.hear()
    ear = await audience.follow(await stream(room, await caller(room, kind), seconds=1))
    assert ear.stream.token is not None
    assert ear.stream.due_at <= time.monotonic() + 1

    assert (await ear.ended())[-1] == "end token_expired"
    assert time.time() >= ear.stream.token.claims.exp


async def test_a_revoked_token_ends_the_stream_before_it_hears_more(audience: Audience) -> None:
    room = await factories.room()
    await audience.hear()
    ear = await audience.follow(await stream(room, await caller(room, "ORGANIZER")))
    assert ear.stream.token is not None

    revoked_hashes.add(ear.stream.token.hashes, int(time.time()) + 60)
    await rename(room)
    await audience.hear()

    assert await ear.ended() == ["end token_revoked"]


async def test_a_revoked_token_ends_the_stream_of_a_silent_room(audience: Audience) -> None:
    room = await factories.room()
    ear = await audience.follow(await stream(room, await caller(room, "VIEWER")))
    assert ear.stream.token is not None

    revoked_hashes.add(ear.stream.token.hashes, int(time.time()) + 60)

    assert await ear.ended() == ["end token_revoked"]


async def test_a_platform_administrator_who_is_none_any_more_hears_nothing_more(
    audience: Audience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CHECK_SECONDS", 0.0)
    room = await factories.room(isPublic=False)
    person = await caller(room, "platform")
    assert person is not None
    await audience.hear()
    ear = await audience.follow(await stream(room, person))

    await fetch('UPDATE users SET "isAdmin" = false WHERE id = $1', person["id"])
    await rename(room)
    await audience.hear()

    assert await ear.ended() == ["end no_access"]


async def test_somebody_hears_what_concerns_them_in_all_rooms(audience: Audience) -> None:
    person = await factories.user()
    room, private = await factories.room(), await factories.room(isPublic=False)
    await audience.hear()
    ear = await audience.follow(Stream(f"person {person['id']}", token_of(person)))

    one = await factories.participant(room["id"], person["id"])
    other = await factories.participant(private["id"], person["id"])
    await factories.participant(room["id"])
    prize = await factories.prize(room["id"])
    await factories.winner(room["id"], one["id"], prize["id"])
    await fetch('UPDATE participants SET "deletedAt" = now() WHERE id = $1', other["id"])
    await audience.hear()

    heard = ["participant.joined", "participant.joined", "winner.awarded", "participant.left"]
    assert await ear.until("participant.left") == heard


async def test_who_was_forgotten_is_in_no_memory(audience: Audience) -> None:
    room = await factories.room()
    person = await factories.user(name="Ann Unforgettable")
    await audience.hear()
    before = await end_of_log(audience.log.connection)
    ear = await audience.follow(await stream(room, None))
    await factories.participant(room["id"], person["id"])
    await audience.hear()
    await ear.until("participant.joined")

    await fetch('UPDATE users SET "deletedAt" = now() WHERE id = $1', person["id"])
    await audience.hear()
    HUB.on_payload(FORGET)
    late = await audience.follow(await stream(room, None), before)
    await late.until("participant.joined")

    assert b"Ann Unforgettable" in b"".join(ear.frames)
    assert b"Ann Unforgettable" not in b"".join(late.frames)


async def test_who_is_overtaken_by_what_is_forgotten_is_told_so(
    audience: Audience, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await factories.room()
    await audience.hear()
    before = await end_of_log(audience.log.connection)
    for name in ("One", "Two", "Three"):
        await rename(room, name)
    await audience.hear()

    async def slowly(column: str, value: str, position: int) -> Sequence[asyncpg.Record]:
        rows = await missed(column, value, position)
        await fetch("DELETE FROM events WHERE position < (SELECT max(position) FROM events)")
        return rows

    monkeypatch.setattr(reading, "missed", slowly)
    ear = await audience.follow(await stream(room, None), before)

    assert await ear.until("reset") == ["reset"]
    await rename(room, "Four")
    await audience.hear()
    assert await ear.until("room.updated") == ["reset", "room.updated"]
