"""Guests: in one room, as PARTICIPANT, on one device; and theirs stays theirs when they sign in."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from litestar.routes import HTTPRoute

from app.asgi import create_app
from app.auth.service import identify, utc_now
from app.database.engine import fetch, fetchrow, fetchval
from app.errors import Conflict, Forbidden
from app.participants.erasing import forget_people
from app.tables import DrawStatus
from app.users.erasing import erase_user
from app.users.service import set_platform_administrator
from tests import factories
from tests.answers import Headers
from tests.auth.conftest import counted_statements
from tests.waiting import eventually, somebody_waits

API = "/api/v1"
OWN = "http://testserver.local"


@pytest.fixture
async def room(organizer: asyncpg.Record) -> asyncpg.Record:
    """Open an ACTIVE, public room that admits guests."""
    return await factories.room(organizer, guests=True)


async def come_in(client: httpx.AsyncClient, room: asyncpg.Record, name: str = "Ann") -> Any:
    answer = await client.post(f"{API}/rooms/{room['id']}/guests", json={"name": name})
    assert answer.status_code == 201, answer.text
    assert "no-store" in answer.headers["cache-control"]
    return answer.json()["data"]


def as_(guest: Any) -> Headers:
    return {"Authorization": f"Bearer {guest['accessToken']}"}


async def take_over(client: httpx.AsyncClient, guest: Any, headers: Headers) -> httpx.Response:
    body = {"refreshToken": guest["refreshToken"]}
    return await client.post(f"{API}/auth/guests", json=body, headers=headers)


async def keep_in_cookie(client: httpx.AsyncClient, guest: Any) -> None:
    """Have the browser keep a guest's refresh token, as a page of ours does."""
    body = {"refreshToken": guest["refreshToken"], "cookie": True}
    answer = await client.post(f"{OWN}{API}/auth/refresh", json=body, headers={"Origin": OWN})
    assert answer.status_code == 200, answer.text


async def seats(room: asyncpg.Record, user_id: str) -> list[str]:
    rows = await fetch(
        'SELECT id FROM participants WHERE "roomId" = $1 AND "userId" = $2 AND "deletedAt" IS NULL',
        *(room["id"], user_id),
    )
    return [row["id"] for row in rows]


async def win(room: asyncpg.Record, participant_id: str) -> str:
    prize = await factories.prize(room["id"], 1, quantityRemaining=0)
    won: str = (await factories.winner(room["id"], participant_id, prize["id"]))["id"]
    return won


# Coming in


async def test_a_guest_is_a_participant_of_the_room_without_an_address(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    guest = await come_in(client, room, "  Ann \t of  the hall ".replace("\t", " "))
    path = f"{API}/rooms/{room['id']}/participants"
    me = (await client.get(f"{path}/me", headers=as_(guest))).json()["data"]
    assert me["isGuest"] is True
    assert (me["id"], me["role"]) == (guest["participantId"], "PARTICIPANT")
    assert me["user"]["name"] == "Ann of the hall"
    seen = (await client.get(f"{path}/{me['id']}", headers=headers)).json()["data"]
    assert seen["email"] is None
    assert "invalid" not in (await client.get(f"{path}.csv", headers=headers)).text
    profile = await client.get(f"{API}/users/{me['userId']}", headers=headers)
    assert "email" not in profile.json()["data"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("guests = false", 403),
        ("status = 'COMPLETED'", 409),
        ('"isPublic" = false', 404),
        ('"deletedAt" = now()', 404),
    ],
)
async def test_a_room_that_admits_none_lets_none_in(
    client: httpx.AsyncClient, room: asyncpg.Record, change: str, status: int
) -> None:
    await fetch(f"UPDATE rooms SET {change}")
    before = await fetchval("SELECT count(*) FROM users")
    answer = await client.post(f"{API}/rooms/{room['id']}/guests", json={"name": "Ann"})
    assert answer.status_code == status
    assert await fetchval("SELECT count(*) FROM users") == before
    assert await fetchval("SELECT count(*) FROM sessions WHERE \"userId\" LIKE 'c%'") == 0


@pytest.mark.parametrize("name", ["", " ", "\u200b", "Ann\u202eeinna", "Ann\nBob", "x" * 101])
async def test_a_name_that_misleads_is_refused(
    client: httpx.AsyncClient, room: asyncpg.Record, name: str
) -> None:
    answer = await client.post(f"{API}/rooms/{room['id']}/guests", json={"name": name})
    assert (answer.status_code, [*answer.json()["error"]["details"]["fields"]]) == (
        400,
        ["$.name"],
    )


async def test_a_door_that_shuts_meanwhile_keeps_guests_out(
    client: httpx.AsyncClient, database: str, room: asyncpg.Record
) -> None:
    organizer = await asyncpg.connect(database)
    async with organizer.transaction():
        await organizer.execute("UPDATE rooms SET guests = false")
        wish = client.post(f"{API}/rooms/{room['id']}/guests", json={"name": "Ann"})
        coming = asyncio.create_task(wish)
        await eventually(somebody_waits)
    await organizer.close()
    assert (await coming).status_code == 403


# Where a guest may go

IN_THE_ROOM = {
    "GET /rooms/{room_id}",
    "GET /rooms/{room_id}/participants",
    "GET /rooms/{room_id}/participants.csv",
    "GET /rooms/{room_id}/participants/{participant_id}",
    "DELETE /rooms/{room_id}/participants/{participant_id}",
    "GET /rooms/{room_id}/prizes",
    "GET /rooms/{room_id}/prizes/{prize_id}",
    "GET /rooms/{room_id}/winners",
    "GET /rooms/{room_id}/winners.csv",
    "GET /rooms/{room_id}/winners/{winner_id}",
    "POST /rooms/{room_id}/winners/{winner_id}/claim",
    "POST /rooms/{room_id}/winners/{winner_id}/decline",
    "GET /rooms/{room_id}/draws",
    "GET /rooms/{room_id}/draws/{number}",
    "GET /rooms/{room_id}/draws/{number}/record",
    "GET /rooms/{room_id}/draws/{number}/winners",
    "GET /rooms/{room_id}/draws/{number}/entrants.txt",
    "GET /rooms/{room_id}/events",
    "GET /rooms/{room_id}/quiz",
    "GET /rooms/{room_id}/rounds",
    "GET /rooms/{room_id}/rounds/{round_id}",
    "GET /rooms/{room_id}/rounds/{round_id}/answers",
    "POST /rooms/{room_id}/rounds/{round_id}/answers",
    "GET /rooms/{room_id}/rounds/{round_id}/answers/{answer_id}",
}
ELSEWHERE = {
    "GET /auth/ways",
    "GET /auth/{provider}",
    "GET /auth/{provider}/url",
    "GET /auth/{provider}/callback",
    "POST /auth/{provider}/callback",
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/logout",
    "POST /auth/email/code",
    "POST /auth/email/login",
    "GET /auth/me",
    "GET /auth/sessions",
    "DELETE /auth/sessions",
    "DELETE /auth/sessions/{session_id}",
    "DELETE /users/{user_id}",
    "GET /users/me/export",
}
"""Of oneself: signing in and out, one's devices, what is kept, and leaving for good."""


def every_operation() -> list[tuple[str, str]]:
    return sorted(
        (method, route.path_format.removeprefix(API))
        for route in create_app().routes
        if isinstance(route, HTTPRoute) and route.path_format.startswith(f"{API}/")
        for method in route.methods - {"OPTIONS", "HEAD"}
    )


async def test_a_guest_gets_nowhere_but_where_guests_may_be(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    """Every operation there is, in the own room and in another one that is as public."""
    other = await factories.room(guests=True)
    prize = await factories.prize(room["id"])
    await factories.draw(room["id"], DrawStatus.CLOSED)
    ids = {
        "participant_id": "nobody",
        "prize_id": prize["id"],
        "number": 1,
        "user_id": room["createdBy"],
        "app_id": room["appId"],
        "provider": "google",
    }

    class Anything(dict[str, Any]):
        def __missing__(self, key: str) -> str:
            return "anything"

    reached: dict[str, set[str]] = {"own": set(), "other": set()}
    for which, place in (("own", room), ("other", other)):
        for method, path in every_operation():
            guest = await come_in(client, room)
            address = path.format_map(Anything(**ids, room_id=place["id"]))
            answer = await client.request(method, f"{API}{address}", headers=as_(guest), json={})
            if answer.status_code != 403:
                reached[which].add(f"{method} {path}")
    oneself = {each for each in ELSEWHERE if each != "DELETE /users/{user_id}"}
    assert reached["own"] == IN_THE_ROOM | oneself, "the profile is somebody else's"
    assert reached["other"] == oneself


async def test_a_guests_token_opens_no_socket_and_costs_no_query(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    guest = await come_in(client, room)
    with pytest.raises(Forbidden):
        await identify(guest["accessToken"], utc_now())
    async with counted_statements() as statements:
        refused = await client.post(f"{API}/rooms", json={}, headers=as_(guest))
    assert refused.status_code == 403
    assert not [each for each in statements if "token_blacklist" not in each]


async def test_nobody_makes_more_of_a_guest(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    guest = await come_in(client, room)
    path = f"{API}/rooms/{room['id']}/participants/{guest['participantId']}"
    for role in ("MODERATOR", "ORGANIZER"):
        answer = await client.patch(path, json={"role": role}, headers=headers)
        assert answer.status_code == 409, answer.text
    assert (await client.patch(path, json={"role": "VIEWER"}, headers=headers)).status_code == 200
    person = await fetchrow('SELECT * FROM users WHERE "guestOf" IS NOT NULL')
    assert person is not None
    with pytest.raises(Conflict):
        await set_platform_administrator(person["email"], is_administrator=True)

    other = await factories.room(await factories.user())
    elsewhere = f"{API}/rooms/{other['id']}/participants"
    moderator = await fetchrow("SELECT * FROM users WHERE id = $1", other["createdBy"])
    brought = await client.post(
        elsewhere, json={"userId": person["id"]}, headers=await factories.bearer(moderator)
    )
    assert brought.status_code == 404
    with pytest.raises(Conflict):
        await factories.participant(other["id"], person["id"])


# Sessions


async def refreshed(client: httpx.AsyncClient, guest: Any) -> httpx.Response:
    body = {"refreshToken": guest["refreshToken"]}
    return await client.post(f"{API}/auth/refresh", json=body)


@pytest.mark.parametrize("change", ["guests = false", "status = 'COMPLETED'", '"isPublic" = false'])
async def test_who_is_in_stays_whatever_becomes_of_the_door(
    client: httpx.AsyncClient, room: asyncpg.Record, change: str
) -> None:
    guest = await come_in(client, room)
    await fetch(f"UPDATE rooms SET {change}")
    following = await refreshed(client, guest)
    assert following.status_code == 200
    pair = following.json()["data"]
    me = f"{API}/rooms/{room['id']}/participants/me"
    assert (await client.get(me, headers=as_(pair))).status_code == 200
    assert (await client.post(f"{API}/rooms", json={}, headers=as_(pair))).status_code == 403


async def test_a_session_ends_with_the_seat_or_the_room(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    removed, left = await come_in(client, room), await come_in(client, room)
    path = f"{API}/rooms/{room['id']}/participants"
    await client.delete(f"{path}/{removed['participantId']}", headers=headers)
    assert (await client.delete(f"{path}/me", headers=as_(left))).status_code == 200
    for guest in (removed, left):
        assert (await refreshed(client, guest)).status_code == 401
        assert (await client.post(path, headers=as_(guest))).status_code == 403, "no coming back"
    stays = await come_in(client, room)
    await fetch('UPDATE rooms SET "deletedAt" = now()')
    assert (await refreshed(client, stays)).status_code == 401


async def test_a_guest_leaves_for_good_like_everybody(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    guest = await come_in(client, room)
    me = (await client.get(f"{API}/auth/me", headers=as_(guest))).json()["data"]
    assert (await client.get(f"{API}/auth/sessions", headers=as_(guest))).status_code == 200
    gone = await client.delete(f"{API}/users/{me['id']}", headers=as_(guest))
    assert gone.status_code == 200
    assert (await client.get(f"{API}/auth/me", headers=as_(guest))).status_code == 401
    assert (await refreshed(client, guest)).status_code == 401
    assert await seats(room, me["id"]) == []


async def test_a_room_that_forgets_its_people_forgets_what_guests_were_called(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    guest = await come_in(client, room)
    await fetch("UPDATE rooms SET \"forgetAfter\" = 'P1D', status = 'COMPLETED'")
    await fetch("UPDATE rooms SET \"endedAt\" = now() - interval '2 days'")
    assert await forget_people(room["id"], utc_now(), by="a test") > 0
    assert await fetchval('SELECT name FROM users WHERE "guestOf" IS NOT NULL') is None
    account = await factories.user(name="Anna")
    taken = await take_over(client, guest, await factories.bearer(account))
    assert taken.json()["data"]["participantId"] == guest["participantId"]
    assert await seats(room, account["id"]) == [guest["participantId"]]


# Signing in later


async def test_what_a_guest_has_becomes_the_accounts(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    guest = await come_in(client, room)
    won = await win(room, guest["participantId"])
    account = await factories.user(name=None)
    headers = await factories.bearer(account)

    taken = await take_over(client, guest, headers)

    assert taken.json()["data"] == {
        "roomId": room["id"],
        "participantId": guest["participantId"],
    }
    assert await seats(room, account["id"]) == [guest["participantId"]]
    winner = await client.get(f"{API}/rooms/{room['id']}/winners/{won}")
    assert winner.json()["data"]["participant"]["userId"] == account["id"]
    assert winner.json()["data"]["participant"]["user"]["name"] == "Ann"
    assert (await client.get(f"{API}/auth/me", headers=as_(guest))).status_code == 401
    assert (await refreshed(client, guest)).status_code == 401
    assert (await take_over(client, guest, headers)).status_code == 404


@pytest.mark.parametrize("known_by", ["account", "address"])
@pytest.mark.parametrize(
    ("won_by", "stays"),
    [
        ((), "known"),
        (("guest",), "guest"),
        (("known",), "known"),
        (("guest", "known"), "known"),
    ],
)
async def test_of_two_seats_one_stays_and_no_win_is_lost(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    known_by: str,
    won_by: tuple[str, ...],
    stays: str,
) -> None:
    account = await factories.user(email="anna@example.org", name="Anna")
    if known_by == "account":
        known = await factories.participant(room["id"], account["id"], role="MODERATOR")
    else:
        known = await factories.expected(room["id"], "anna@example.org")
        await fetch("UPDATE participants SET role = 'MODERATOR' WHERE id = $1", known["id"])
    guest = await come_in(client, room)
    both = {"known": known["id"], "guest": guest["participantId"]}
    wins = [await win(room, both[each]) for each in won_by]

    taken = await take_over(client, guest, await factories.bearer(account))

    kept = both[stays]
    assert taken.json()["data"]["participantId"] == kept
    assert await seats(room, account["id"]) == [kept]
    (row,) = await fetch("SELECT * FROM participants WHERE id = $1", kept)
    assert (row["role"], row["email"]) == ("MODERATOR", "anna@example.org")
    alive = 'SELECT count(*) FROM participants WHERE "roomId" = $1 AND "deletedAt" IS NULL'
    assert await fetchval(alive, room["id"]) == 2, "the organizer, and one of the two"
    left = await fetch('SELECT id FROM winners WHERE "deletedAt" IS NULL')
    assert sorted(row["id"] for row in left) == sorted(wins)
    if len(won_by) == len(both):
        seat = await fetchrow(
            'SELECT name, "userId" FROM participants WHERE id = $1', guest["participantId"]
        )
        assert tuple(seat or ()) == ("Ann", None)
    await erase_user(account["id"], by="a test")
    names = await fetch("SELECT name FROM participants UNION ALL SELECT name FROM users")
    assert not {"Ann", "Anna", "Expected"} & {row["name"] for row in names}


async def test_what_a_seat_won_that_was_given_up_is_still_claimed_by_whose_it_was(
    client: httpx.AsyncClient, organizer: asyncpg.Record
) -> None:
    room = await factories.room(organizer, guests=True)
    account = await factories.user()
    headers = await factories.bearer(account)
    known = await factories.participant(room["id"], account["id"])
    guest = await come_in(client, room)
    await win(room, known["id"])
    prize = await factories.prize(room["id"], 1, quantityRemaining=0)
    by = factories.now() + timedelta(days=1)
    won = await factories.winner(
        *(room["id"], guest["participantId"], prize["id"]), claimStatus="PENDING", claimBy=by
    )
    assert (await take_over(client, guest, headers)).status_code == 200
    await fetch('UPDATE participants SET "deletedAt" = now() WHERE id = $1', known["id"])
    await fetch('UPDATE rooms SET "isPublic" = false')

    claim = f"{API}/rooms/{room['id']}/winners/{won['id']}/claim"
    refused = await client.post(claim, headers=await factories.bearer(await factories.user()))
    claimed = await client.post(claim, headers=headers)

    assert refused.status_code == 404
    assert claimed.status_code == 200, claimed.text
    assert claimed.json()["data"]["claim"]["settledBy"] == "WINNER"


async def test_a_role_that_was_taken_away_does_not_come_back_by_a_guests_seat(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    account = await factories.user()
    await factories.participant(room["id"], account["id"], role="VIEWER")
    guest = await come_in(client, room)
    await win(room, guest["participantId"])
    await take_over(client, guest, await factories.bearer(account))
    role = 'SELECT role FROM participants WHERE "userId" = $1'
    assert await fetchval(role, account["id"]) == "VIEWER"


async def test_who_wants_no_name_shown_has_none_shown_by_a_guests_seat(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    account = await factories.user(name="Anna Quill")
    await factories.participant(room["id"], account["id"], showName="NONE")
    guest = await come_in(client, room)
    await win(room, guest["participantId"])
    await take_over(client, guest, await factories.bearer(account))
    shown = await client.get(f"{API}/rooms/{room['id']}/participants/{guest['participantId']}")
    assert shown.json()["data"]["user"]["name"] is None


async def test_of_two_who_take_over_at_once_one_does(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    for _ in range(3):
        guest = await come_in(client, room)
        people = [await factories.user() for _ in range(4)]
        headers = [await factories.bearer(each) for each in people]
        answers = await asyncio.gather(*(take_over(client, guest, each) for each in headers))
        assert sorted(each.status_code for each in answers) == [200, 404, 404, 404]
        owners = [each["id"] for each in people if await seats(room, each["id"])]
        assert len(owners) == 1


async def test_taking_over_and_joining_at_once_makes_one_seat(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    for _ in range(5):
        guest, account = await come_in(client, room), await factories.user()
        headers = await factories.bearer(account)
        taken, joined = await asyncio.gather(
            take_over(client, guest, headers),
            client.post(f"{API}/rooms/{room['id']}/participants", headers=headers),
        )
        assert taken.status_code == 200
        assert joined.status_code in {201, 409}
        assert len(await seats(room, account["id"])) == 1


async def test_nobody_wins_twice_by_two_seats_in_a_closed_draw(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    """Both seats are entrants; the one that was given up passes its turn."""
    account = await factories.user()
    known = await factories.participant(room["id"], account["id"])
    guest = await come_in(client, room)
    await factories.prize(room["id"], 2, quantityRemaining=2)
    draws = f"{API}/rooms/{room['id']}/draws"
    assert (await client.post(draws, headers=headers, json={})).status_code == 201
    closed = await client.post(f"{draws}/1/close", headers=headers)
    assert (closed.json()["data"]["entrantCount"], closed.json()["data"]["guests"]) == (2, 1)
    await take_over(client, guest, await factories.bearer(account))
    assert (await client.post(f"{draws}/1/draw", headers=headers, json={})).status_code == 200
    won = await fetch('SELECT "participantId" FROM winners WHERE "deletedAt" IS NULL')
    assert guest["participantId"] not in {row["participantId"] for row in won}
    assert known["id"] in {row["participantId"] for row in won}


async def test_only_a_guests_own_token_takes_over(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    guest, account = await come_in(client, room), await factories.user()
    headers = await factories.bearer(account)
    theirs = {"refreshToken": "x" * 43}
    assert (await take_over(client, theirs, headers)).status_code == 404
    assert (await take_over(client, guest, as_(guest))).status_code == 403
    assert (await take_over(client, guest, {})).status_code == 401
    assert await seats(room, account["id"]) == []


# With the cookie of our own page


async def test_who_signs_in_on_the_page_keeps_what_the_cookie_proves(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    guest, outsider = await come_in(client, room), await factories.user()
    await keep_in_cookie(client, guest)
    signed_in = {"Authorization": f"Bearer {await factories.token(outsider)}", "Origin": OWN}
    answer = await client.post(f"{OWN}{API}/auth/guests", json={}, headers=signed_in)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["participantId"] == guest["participantId"]
    assert await seats(room, outsider["id"]) == [guest["participantId"]]


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", None])
async def test_another_origin_does_not_use_the_guests_cookie(
    client: httpx.AsyncClient, room: asyncpg.Record, origin: str | None
) -> None:
    await keep_in_cookie(client, await come_in(client, room))
    outsider = await factories.user()
    signed_in = {"Authorization": f"Bearer {await factories.token(outsider)}"}
    if origin is not None:
        signed_in["Origin"] = origin
    answer = await client.post(f"{OWN}{API}/auth/guests", json={}, headers=signed_in)
    assert answer.status_code == 403
    assert await seats(room, outsider["id"]) == []
