"""Erasing people: nothing says who they were, and what was drawn still verifies."""

import asyncio
import contextvars
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.admin.changes import change_row, delete_row, restore_row
from app.auth.codes import renew
from app.database.engine import DB, fetch, fetchrow, fetchval, transaction
from app.errors import Conflict
from app.events.mover import move
from app.participants.bulk import Line, Newcomer, add_participants
from app.participants.service import staff_membership
from app.settings import settings
from app.tables import ParticipantRole, Session, User
from app.users import erasing
from app.users.erasing import erase_user
from tasks.people import ERASE_DELETED, Erasing
from tests import factories
from tests.answers import Headers, code_of
from tests.logged import LINES
from tests.rounds.scene import FIRST, RIGHT, Quiz
from tests.waiting import is_held_up

NAME, FORMER, ADDRESS = "Zebedee Quillfeather", "Quentin Formername", "zebedee@quill.example"
SUBJECT, DEVICE, PLACE = "subject-zeb-4711", "Zebphone/1.0", "203.0.113.77"
WORDS = (NAME, FORMER, ADDRESS, SUBJECT, DEVICE, PLACE, "quill.example/zeb.png", "Zebby")


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:  # noqa: ARG001 - bound there
    found = await DB.get_new_connection()
    yield found
    await found.close()


async def places_of(*words: str) -> set[str]:
    """Search each column of each table for words, and return where they are."""
    columns = await fetch(
        "SELECT n.nspname, c.relname, a.attname FROM pg_attribute a "
        "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'm') AND a.attnum > 0 AND NOT a.attisdropped "
        "AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
    )
    found = await fetch(
        " UNION ALL ".join(
            f'SELECT \'{table}.{column}\' AS place FROM "{schema}"."{table}" '
            f"WHERE EXISTS (SELECT FROM unnest($1::text[]) w "
            f'WHERE strpos(lower("{column}"::text), lower(w)) > 0 '
            f"OR strpos(lower(\"{column}\"::text), encode(convert_to(w, 'UTF8'), 'hex')) > 0)"
            for schema, table, column in columns
        ),
        list(words),
    )
    return {row["place"] for row in found}


async def person_of_everything() -> asyncpg.Record:
    return await factories.user(
        name=FORMER,
        email=ADDRESS,
        avatar="https://quill.example/zeb.png",
        provider="acme",
        providerId=SUBJECT,
    )


async def live(client: httpx.AsyncClient, person: asyncpg.Record) -> tuple[Headers, list[str]]:
    """Let somebody do everything; return their headers, and the addresses of their draws."""
    for index, provider in enumerate(("acme", "other")):
        await factories.insert(
            "identities",
            id=f"i{index}",
            userId=person["id"],
            provider=provider,
            subject=SUBJECT,
        )
    headers = await factories.bearer(person)
    device = {"deviceInfo": DEVICE, "ipAddress": PLACE}
    await factories.session(person["id"], **device)
    ended = await factories.session(person["id"], **device)
    await delete_row("root", Session, ended["id"])
    await change_row("root", User, person["id"], {"name": NAME})
    quiz = await Quiz(client).open()
    url = f"/api/v1/rooms/{quiz.id}"

    async def done(method: str, path: str, by: Headers, json: Any = None, key: str = "") -> Any:
        sent = {**by, "Idempotency-Key": key} if key else by
        answer = await client.request(method, f"/api/v1{path}", json=json, headers=sent)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    room = f"/rooms/{quiz.id}"
    joined = await done(
        "POST", f"{room}/participants", headers, {"metadata": {"nick": "Zebby"}}, "1"
    )
    await fetch(
        "UPDATE participants SET metadata = $1 WHERE id = $2", '{"by": "Zebby"}', joined["id"]
    )
    round_id = await quiz.ask()
    await done(
        "POST", f"{room}/rounds/{round_id}/answers", headers, {"answerIndex": RIGHT[FIRST]}, "2"
    )
    prize = await factories.prize(quiz.id, 5)
    award = {"participantId": joined["id"], "prizeId": prize["id"], "metadata": {"to": NAME}}
    won = await done("POST", f"{room}/winners", quiz.headers, award, "3")
    await fetch('UPDATE mails SET recipient = $1, "lastError" = $1', ADDRESS)
    await factories.mail(await win_of(won["id"]), recipient=ADDRESS, lastError=ADDRESS)

    other = await factories.room(quiz.organizer, name="Expecting")
    waiting = f"/rooms/{other['id']}"
    line = {"email": ADDRESS, "name": NAME, "metadata": {"told": "Zebby"}}
    expected = await done(
        "POST", f"{waiting}/participants/bulk", quiz.headers, {"participants": [line]}, "4"
    )
    again = {"email": "nobody@quill.example2", "name": "Somebody else"}
    await done("POST", f"{waiting}/participants", quiz.headers, again, "5")
    prizes = [await factories.prize(other["id"], 2) for _ in range(2)]
    seat = expected["lines"][0]["participantId"]
    award = {"participantId": seat, "prizeId": prizes[0]["id"], "metadata": {"to": NAME}}
    await done("POST", f"{waiting}/winners", quiz.headers, award, "6")
    await factories.insert(
        "mails",
        id="invited",
        kind="invitation",
        roomId=other["id"],
        cause=seat,
        language="en",
        status="PENDING",
        recipient=ADDRESS,
    )
    plan = {"prizes": [{"id": prizes[1]["id"], "quantity": 2}]}
    draw = await done("POST", f"{waiting}/draws", quiz.headers, plan, "7")
    for step in ("close", "draw"):
        await done("POST", f"{waiting}/draws/{draw['number']}/{step}", quiz.headers, None, step)
    await done("POST", "/events/tickets", headers)
    await renew(ADDRESS)
    await factories.insert(
        "mails",
        id="code",
        kind="code",
        cause="replaced",
        language="en",
        status="PENDING",
        recipient=ADDRESS,
    )
    await client.get("/api/v1/users/me/export", headers=headers)
    await client.get(f"{url}/participants.csv", headers=quiz.headers)
    return headers, [f"/api/v1{waiting}/draws/{draw['number']}{end}" for end in DRAWN]


async def win_of(winner_id: str) -> asyncpg.Record:
    row = await fetchrow("SELECT * FROM winners WHERE id = $1", winner_id)
    assert row is not None
    return row


DRAWN = ("/record", "/entrants.txt")


async def test_nothing_says_who_they_were_and_their_draws_stay_byte_for_byte(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    person = await person_of_everything()
    headers, draws = await live(client, person)
    await move(connection)
    before = [(await client.get(url)).content for url in draws]
    assert {each.partition(".")[0] for each in await places_of(*WORDS)} == {
        *("users", "identities", "sessions", "participants", "winners", "events", "mails"),
        *("idempotency_keys", "audit_log", "event_tickets", "sign_in_codes"),
    }

    url = f"/api/v1/users/{person['id']}"
    answer = await client.request("DELETE", url, json={"erase": True}, headers=headers)

    assert answer.json() == {"data": {"success": True}}
    assert await move(connection)
    assert await places_of(*WORDS) == set()
    assert not [line for line in LINES for word in WORDS if word in line]
    assert [(await client.get(url)).content for url in draws] == before
    assert await fetchval('SELECT count(*) FROM answers WHERE "answerIndex" IS NULL') == 1
    assert await fetchval('SELECT count(*) FROM winners WHERE "deletedAt" IS NULL') == 3
    record = await fetchrow("SELECT * FROM audit_log WHERE action = 'erase'")
    assert record is not None
    assert (record["actor"], record["tableName"], record["rowId"]) == (
        *(person["id"], "users"),
        person["id"],
    )
    assert (await client.get("/api/v1/auth/me", headers=headers)).status_code == 401


async def erase(
    client: httpx.AsyncClient, user_id: str, by: asyncpg.Record, **params: str
) -> httpx.Response:
    headers = await factories.bearer(by)
    sent = {"erase": "true", **params}
    return await client.delete(f"/api/v1/users/{user_id}", params=sent, headers=headers)


async def test_others_are_erased_by_platform_administrators_alone(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record
) -> None:
    admin = await factories.user(isAdmin=True)
    person = await factories.user(name=NAME, email=ADDRESS)
    seat = await factories.participant(room["id"], person["id"])
    before = await fetch("SELECT * FROM users ORDER BY id")

    refused = [
        await erase(client, person["id"], organizer),
        await erase(client, "nobody", organizer),
        await erase(client, organizer["id"], admin),
        await erase(client, "nobody", admin),
        await erase(client, person["id"], admin, erase="false"),
    ]

    assert [each.status_code for each in refused] == [403, 403, 409, 404, 403]
    assert await fetch("SELECT * FROM users ORDER BY id") == before
    preview = await erase(client, organizer["id"], admin, preview="true")
    assert [each["id"] for each in preview.json()["data"]["deletes"]] == [room["id"]]

    answers = [await erase(client, person["id"], admin) for _ in range(2)]

    assert [each.status_code for each in answers] == [200, 404]
    assert await places_of(NAME, ADDRESS) == set()
    url = f"/api/v1/rooms/{room['id']}/winners"
    prize = await factories.prize(room["id"])
    await factories.winner(room["id"], seat["id"], prize["id"])
    shown = await client.get(url, headers=await factories.bearer(organizer))
    assert shown.json()["data"][0]["participant"]["user"]["name"] == "Deleted person"
    assert await fetchval("SELECT actor FROM audit_log WHERE action = 'erase'") == admin["id"]


async def test_the_last_administrator_and_organizer_goes_as_in_a_deletion(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record
) -> None:
    await fetch('UPDATE users SET "isAdmin" = true WHERE id = $1', organizer["id"])
    assert (await erase(client, organizer["id"], organizer)).status_code == 200
    assert await fetchval('SELECT "deletedAt" FROM rooms WHERE id = $1', room["id"]) is not None
    assert await fetchval('SELECT count(*) FROM users WHERE "isAdmin"') == 0


async def test_who_was_erased_is_somebody_new_by_the_same_address(
    client: httpx.AsyncClient, room: asyncpg.Record
) -> None:
    person = await factories.user(email=ADDRESS)
    old = await factories.participant(room["id"], person["id"], email=ADDRESS)
    waiting = await factories.expected((await factories.room())["id"], ADDRESS)
    await erase_user(person["id"], by="test")

    [result] = await add_participants(
        await staff_membership(room["id"]),
        [Line(1, Newcomer(None, ADDRESS, "Anew", ParticipantRole.PARTICIPANT, None))],
    )
    again = await factories.user(email=ADDRESS)

    assert result.participant_id not in {None, old["id"], waiting["id"]}
    headers = await factories.bearer(again)
    joined = await client.post(f"/api/v1/rooms/{room['id']}/participants", headers=headers)
    assert joined.json()["data"]["id"] == result.participant_id
    with pytest.raises(Conflict):
        await restore_row("root", "users", person["id"])
    with pytest.raises(Conflict):
        await restore_row("root", "participants", waiting["id"])


async def test_an_address_that_nobody_vouches_for_takes_no_expected_person_along(
    database: str,  # noqa: ARG001 - bound there
    room: asyncpg.Record,
) -> None:
    person = await factories.user(email=ADDRESS, emailVerified=None)
    waiting = await factories.expected(room["id"], ADDRESS)
    await erase_user(person["id"], by="test")
    assert await fetchval("SELECT email FROM participants WHERE id = $1", waiting["id"]) == ADDRESS


@pytest.mark.parametrize("draw", ["announced", "closed"])
async def test_a_draw_that_is_open_goes_on_and_tells_that_somebody_left(
    client: httpx.AsyncClient, room: asyncpg.Record, organizer: asyncpg.Record, draw: str
) -> None:
    person = await factories.user(name=NAME, email=ADDRESS)
    await factories.participant(room["id"], person["id"], metadata='{"tickets": 3}')
    prize = await factories.prize(room["id"])
    headers = await factories.bearer(organizer)
    url = f"/api/v1/rooms/{room['id']}/draws"
    plan = {"prizes": [{"id": prize["id"], "quantity": 1}], "weightKey": "tickets"}
    (await client.post(url, json=plan, headers=headers)).raise_for_status()
    if draw == "closed":
        (await client.post(f"{url}/1/close", headers=headers)).raise_for_status()

    assert (await erase(client, person["id"], person)).status_code == 200

    steps = ["close", "draw"] if draw == "announced" else ["draw"]
    answers = [await client.post(f"{url}/1/{step}", headers=headers) for step in steps]
    assert await places_of(NAME, ADDRESS) == set()
    assert [each.status_code for each in answers] == [200] * len(steps)
    assert answers[-1].json()["data"]["winners"] == []
    assert await fetchval(
        'SELECT count(*) FROM audit_log WHERE "tableName" = \'users\' AND "rowId" = '
        "(SELECT id FROM draws) AND after IS NOT NULL"
    )


async def test_moderators_pick_no_entrants_of_a_closed_draw_by_erasing_the_others(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    expected = await factories.expected(room["id"], ADDRESS)
    prize = await factories.prize(room["id"])
    url = f"/api/v1/rooms/{room['id']}"
    plan = {"prizes": [{"id": prize["id"], "quantity": 1}]}
    (await client.post(f"{url}/draws", json=plan, headers=headers)).raise_for_status()
    (await client.post(f"{url}/draws/1/close", headers=headers)).raise_for_status()
    seat = f"{url}/participants/{expected['id']}"

    refused = await client.delete(seat, headers=headers, params={"erase": True})

    assert (refused.status_code, code_of(refused)) == (409, "CONFLICT")
    drawn = await client.post(f"{url}/draws/1/draw", headers=headers)
    won = drawn.json()["data"]["winners"]
    assert [each["participantId"] for each in won] == [expected["id"]]
    erased = await client.delete(seat, headers=headers, params={"erase": True})
    assert erased.status_code == 200


async def test_expected_people_are_erased_by_moderators_also_when_they_have_left(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    url = f"/api/v1/rooms/{room['id']}/participants"
    line = {"email": ADDRESS, "name": NAME}
    key = {**headers, "Idempotency-Key": "a"}
    added = (await client.post(url, json=line, headers=key)).json()["data"]
    member = await factories.participant(room["id"])
    prize = await factories.prize(room["id"])
    award = {"participantId": added["id"], "prizeId": prize["id"], "metadata": {"to": NAME}}
    (
        await client.post(
            f"/api/v1/rooms/{room['id']}/winners",
            json=award,
            headers=key | {"Idempotency-Key": "b"},
        )
    ).raise_for_status()
    (await client.delete(f"{url}/{added['id']}", headers=headers)).raise_for_status()
    outsider = await factories.bearer(await factories.user())
    player = await factories.user()
    await factories.participant(room["id"], player["id"])

    async def erased(participant_id: str, by: Headers) -> int:
        body = {"erase": True}
        answer = await client.request("DELETE", f"{url}/{participant_id}", json=body, headers=by)
        return answer.status_code

    assert await erased(added["id"], outsider) == 403
    assert await erased(added["id"], await factories.bearer(player)) == 403
    assert await erased(member["id"], headers) == 409
    assert NAME in await names_of(added["id"])

    assert await erased(added["id"], headers) == 200

    assert await places_of(NAME, ADDRESS) == set()
    assert await erased(added["id"], headers) == 404
    again = await client.post(url, json=line, headers=key)
    assert code_of(again) == "CONFLICT"
    assert "is not kept" in again.json()["error"]["message"]
    anew = (await client.post(url, json=line, headers=headers)).json()["data"]
    assert anew["id"] != added["id"]


async def names_of(participant_id: str) -> list[str]:
    return [
        row["name"]
        for row in await fetch("SELECT name FROM participants WHERE id = $1", participant_id)
    ]


# Coming back, and the job


async def test_the_job_erases_who_was_deleted_long_enough_ago(
    connection: asyncpg.Connection, room: asyncpg.Record
) -> None:
    now = factories.now()
    age = timedelta(days=settings().ERASURE_DAYS)
    due, early, there = [
        await factories.user(name=NAME, deletedAt=at, mayReturn=at is not None)
        for at in (now - age - timedelta(seconds=1), now - age + timedelta(minutes=5), None)
    ]
    await factories.participant(room["id"], due["id"], deletedAt=now, email=None, metadata="{}")
    step = Erasing()

    assert await step.count(connection, now) == 1
    assert [done async for done in step.batches(connection, now)] == [1]
    assert [done async for done in step.batches(connection, now)] == []
    assert [done async for done in step.batches(connection, now + timedelta(days=9))] == []

    rows = {row["id"]: row for row in await fetch("SELECT * FROM users")}
    assert rows[due["id"]]["name"] is None
    assert (rows[early["id"]]["name"], rows[there["id"]]["name"]) == (NAME, NAME)
    assert await fetchval("SELECT actor FROM audit_log WHERE action = 'erase'") == ERASE_DELETED


# Two at once


async def test_two_who_erase_at_once_do_so_once(database: str, room: asyncpg.Record) -> None:  # noqa: ARG001 - bound there
    person = await factories.user(name=NAME)
    await factories.participant(room["id"], person["id"])
    ends = await asyncio.gather(
        *(erase_user(person["id"], by=f"{number}") for number in range(4)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in ends) == ["NoneType"] + ["NotFound"] * 3
    assert await fetchval("SELECT count(*) FROM audit_log WHERE action = 'erase'") == 1


async def test_who_dies_in_the_middle_leaves_everything(database: str) -> None:  # noqa: ARG001 - bound there
    person = await factories.user(name=NAME, email=ADDRESS)
    before = await places_of(NAME, ADDRESS)

    async def die() -> None:
        async with transaction():
            await erase_user(person["id"], by="test")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await die()
    assert await places_of(NAME, ADDRESS) == before


REQUESTS = {
    "award": ("/rooms/{room}/winners", {"participantId": "{seat}", "prizeId": "{prize}"}, False),
    "join": ("/rooms/{other}/participants", {"metadata": {"nick": NAME}}, True),
    "ticket": ("/events/tickets", None, True),
    "change": (
        "/rooms/{room}/participants/bulk",
        {"participants": [{"userId": "{person}", "name": NAME}]},
        False,
    ),
}


@pytest.mark.parametrize("kind", REQUESTS)
async def test_nothing_that_goes_on_meanwhile_writes_them_back(
    client: httpx.AsyncClient,
    room: asyncpg.Record,
    headers: Headers,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """The request is sent while somebody erases, and answered when that is committed."""
    person = await factories.user(name=NAME, email=ADDRESS)
    seat = await factories.participant(room["id"], person["id"], email=ADDRESS)
    ids = {
        "room": room["id"],
        "other": (await factories.room())["id"],
        "seat": seat["id"],
        "prize": (await factories.prize(room["id"]))["id"],
        "person": person["id"],
    }
    path, body, is_theirs = REQUESTS[kind]
    sent = await factories.bearer(person) if is_theirs else headers

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return value.format(**ids)
        if isinstance(value, list):
            return [filled(each) for each in value]
        return {name: filled(each) for name, each in value.items()} if value else value

    async def not_yet(_: object) -> None:
        """Nobody hears of ended sessions before it is committed."""

    monkeypatch.setattr(erasing, "spread", not_yet)
    async with transaction():
        await erase_user(person["id"], by="test")
        request = asyncio.create_task(
            client.post(
                f"/api/v1{path.format(**ids)}",
                json=filled(body),
                headers={**sent, "Idempotency-Key": "k"},
            ),
            context=contextvars.Context(),  # not in this transaction
        )
        # What others do is seen from outside of it, too: it looks once.
        looking = asyncio.create_task(is_held_up(request), context=contextvars.Context())
        assert await looking, request.result().text
    answer = await request
    assert answer.status_code in {200, 401, 403, 404, 409}, answer.text
    assert await places_of(NAME, ADDRESS) == set()


# The audit log


async def redacted(records: list[int]) -> Any:
    return await fetchval("SELECT redact_audit_log($1, 'root', 'erase', 'users', 'x')", records)


async def test_only_the_details_of_the_erased_are_blanked_and_by_one_function(
    database: str,  # noqa: ARG001 - bound there
) -> None:
    person, other = await factories.user(name=NAME), await factories.user()
    for each in (person, other):
        await change_row("root", User, each["id"], {"name": "Changed"})
    own, others = [
        await fetchval('SELECT id FROM audit_log WHERE "rowId" = $1', each["id"])
        for each in (person, other)
    ]
    before = await fetch("SELECT * FROM audit_log")

    for statement in (
        f"UPDATE audit_log SET before = NULL, after = NULL WHERE id = {own}",
        f"SET audit.redacting = 'on'; UPDATE audit_log SET before = NULL WHERE id = {own}",
        "SET audit.redacting = 'on'; UPDATE audit_log SET after = '{}'",
        "SET audit.redacting = 'on'; UPDATE audit_log SET actor = 'x'",
        "SET audit.redacting = 'on'; DELETE FROM audit_log",
        f"SELECT redact_audit_log('{{{own},{others}}}', 'root', 'erase', 'users', 'x')",
        f"SELECT redact_audit_log('{{{others}}}', 'root', 'erase', 'users', 'x')",
        "SELECT redact_audit_log('{}', NULL, 'erase', 'users', 'x')",
    ):
        alone = await DB.get_new_connection()
        try:
            with pytest.raises(asyncpg.PostgresError):
                await alone.execute(statement)
        finally:
            await alone.close()
    assert await fetch("SELECT * FROM audit_log") == before

    assert await redacted([]) == 0
    assert await redacted([-1, 2**40]) == 0
    await erase_user(person["id"], by="test")
    assert await redacted([own, own]) == 0  # they are blank
    with pytest.raises(asyncpg.PostgresError):
        await redacted([others])
    kept = await fetchrow("SELECT * FROM audit_log WHERE id = $1", others)
    assert kept in before
    blank = await fetchrow("SELECT * FROM audit_log WHERE id = $1", own)
    assert blank is not None
    assert (blank["before"], blank["after"], blank["actor"]) == (None, None, "root")


@pytest.mark.parametrize(
    "write", ["name = 'x'", "email = 'x@y.z'", '"deletedAt" = NULL', "\"providerId\" = '1'"]
)
async def test_the_database_keeps_blank_what_was_erased(database: str, write: str) -> None:  # noqa: ARG001 - bound there
    person = await factories.user()
    await erase_user(person["id"], by="test")
    with pytest.raises(asyncpg.CheckViolationError):
        await fetch(f"UPDATE users SET {write} WHERE id = $1", person["id"])
