"""How people are called before who does not moderate, wherever their name goes out."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from app.database.engine import DB, fetch, fetchval
from app.events.mover import move
from tests import factories
from tests.answers import Headers, code_of
from tests.rounds.scene import FIRST, RIGHT, Quiz

NAME, INITIALS = "Anna Maria Quillfeather", "A. Q."
PICTURE = "https://example.org/anna.png"
FILES = ("/participants.csv", "/winners.csv")


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:  # noqa: ARG001 - bound there
    found = await DB.get_new_connection()
    yield found
    await found.close()


async def room_of_everything(client: httpx.AsyncClient, **values: object) -> tuple[Quiz, str]:
    """Let Anna be in a room, answer first, and win by hand and in a draw; return her id, too."""
    quiz = await Quiz(client).open(showName=None, **values)
    person = await factories.user(name=NAME, avatar=PICTURE)
    by = await factories.bearer(person)
    joined = await client.post(f"/api/v1/rooms/{quiz.id}/participants", headers=by)
    seat = joined.json()["data"]["id"]
    asked = await quiz.ask()
    body = {"answerIndex": RIGHT[FIRST]}
    url = f"/api/v1/rooms/{quiz.id}/rounds/{asked}/answers"
    (await client.post(url, json=body, headers=by)).raise_for_status()
    prizes = [(await factories.prize(quiz.id, 1))["id"] for _ in range(2)]
    await quiz.ok("POST", "/winners", {"participantId": seat, "prizeId": prizes[0]})
    await quiz.ok("POST", "/draws", {"prizes": [{"id": prizes[1], "quantity": 1}]})
    for step in ("close", "draw"):
        await quiz.ok("POST", f"/draws/1/{step}")
    return quiz, person["id"]


async def told_by(client: httpx.AsyncClient, quiz: Quiz, person: str, headers: Headers) -> str:
    """Read all that shows people to somebody."""
    base = f"/api/v1/rooms/{quiz.id}"
    [seat] = await fetch('SELECT id FROM participants WHERE "userId" = $1', person)
    asked = await fetchval("SELECT id FROM rounds")
    won = await fetchval("SELECT id FROM winners LIMIT 1")
    paths = [
        *("", "/participants", f"/participants/{seat['id']}", "/winners", f"/winners/{won}"),
        *("/rounds", f"/rounds/{asked}", f"/rounds/{asked}/answers", "/quiz", *FILES),
        *("/draws", "/draws/1", "/draws/1/record", "/draws/1/winners"),
    ]
    texts = []
    for path in [*(base + each for each in paths), "/api/v1/rooms", f"/api/v1/users/{person}"]:
        answer = await client.get(path, headers=headers)
        assert answer.status_code == 200, (path, answer.text)
        texts.append(answer.text)
    return "\n".join(texts)


async def test_no_list_no_file_and_no_event_of_a_public_room_has_more_than_initials(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    quiz, person = await room_of_everything(client)
    other = await quiz.player("Bob", showName="FULL")
    await move(connection)
    outsider = await factories.bearer(await factories.user())

    for by in (outsider, other.headers):
        told = await told_by(client, quiz, person, by)
        assert "Maria" not in told
        assert "Quillfeather" not in told
        assert PICTURE not in told
        assert told.count(INITIALS) >= 10
        assert "Bob" in told
    events = str(await fetch("SELECT content::text FROM events"))
    assert "Quillfeather" not in events
    assert events.count(INITIALS) >= 4

    seen = await told_by(client, quiz, person, quiz.headers)
    assert INITIALS not in seen
    assert seen.count(NAME) >= 10


@pytest.mark.parametrize(("chosen", "shown"), [("FULL", NAME), ("NONE", None), (None, INITIALS)])
async def test_one_chooses_for_oneself_on_joining_and_later_in_a_closed_room_too(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    chosen: str | None,
    shown: str | None,
) -> None:
    room = await factories.room(showName=None)
    url = f"/api/v1/rooms/{room['id']}/participants"
    by = await factories.bearer(await factories.user(name=NAME, avatar=PICTURE))
    joined = await client.post(url, json={"showName": "NONE"}, headers=by)
    assert joined.json()["data"]["user"]["name"] is None
    await fetch("UPDATE rooms SET status = 'COMPLETED'")
    await move(connection)

    answer = await client.patch(f"{url}/me", json={"showName": chosen}, headers=by)

    data = answer.json()["data"]
    assert (data["showName"], data["user"]["name"]) == (chosen, shown)
    assert data["user"]["avatar"] == (PICTURE if chosen == "FULL" else None)
    await move(connection)
    told = await fetch("SELECT content FROM events WHERE type = 'participant.updated'")
    assert len(told) == (chosen != "NONE")


async def test_nobody_chooses_for_others_and_who_moderates_changes_the_rest(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    url = f"/api/v1/rooms/{room['id']}/participants"
    person = await factories.user()
    seat = await factories.participant(room["id"], person["id"])
    by = await factories.bearer(person)
    other = await factories.participant(room["id"])
    before = await fetch("SELECT * FROM participants ORDER BY id")

    async def tried(id_: str, body: object, who: Headers) -> str:
        return code_of(await client.patch(f"{url}/{id_}", json=body, headers=who))

    assert await tried(seat["id"], {"showName": "FULL"}, headers) == "FORBIDDEN"
    assert await tried(other["id"], {"showName": "FULL"}, by) == "FORBIDDEN"
    assert await tried("me", {"showName": "FULL", "metadata": {}}, by) == "FORBIDDEN"
    assert await tried("me", {"role": "VIEWER"}, by) == "FORBIDDEN"
    assert await tried("me", {"showName": "full"}, by) == "VALIDATION_ERROR"
    line = {"email": "a@example.org", "showName": "FULL"}
    assert code_of(await client.post(url, json=line, headers=headers)) == "VALIDATION_ERROR"
    assert await fetch("SELECT * FROM participants ORDER BY id") == before


async def test_a_room_says_how_people_are_called_and_a_private_one_calls_them_in_full(
    client: httpx.AsyncClient, room: asyncpg.Record, headers: Headers
) -> None:
    await factories.participant(room["id"], (await factories.user(name=NAME))["id"])
    url = f"/api/v1/rooms/{room['id']}"
    viewer = await factories.user()
    await factories.participant(room["id"], viewer["id"], role="VIEWER")
    by = await factories.bearer(viewer)

    async def shown() -> str | None:
        rows = (await client.get(f"{url}/participants", headers=by)).json()["data"]
        name: str | None = rows[1]["user"]["name"]
        return name

    assert await shown() == NAME
    for change, expected in (
        ({"showName": None}, INITIALS),
        ({"showName": "NONE"}, None),
        ({"showName": None, "isPublic": False}, NAME),
        ({"showName": "INITIALS"}, INITIALS),
    ):
        answer = await client.patch(url, json=change, headers=headers)
        assert answer.json()["data"]["showName"] == change["showName"]
        assert await shown() == expected


async def test_who_opened_a_room_is_called_in_full_unless_they_chose(
    client: httpx.AsyncClient,
) -> None:
    person = await factories.user(name=NAME, avatar=PICTURE)
    room = await factories.room(person, showName=None)
    url = f"/api/v1/rooms/{room['id']}"

    async def organizers() -> list[str | None]:
        one, [listed] = [(await client.get(each)).json()["data"] for each in (url, "/api/v1/rooms")]
        return [one["organizer"]["name"], listed["organizer"]["name"]]

    assert await organizers() == [NAME, NAME]
    by = await factories.bearer(person)
    await client.patch(f"{url}/participants/me", json={"showName": "INITIALS"}, headers=by)
    assert await organizers() == [INITIALS, INITIALS]


async def test_a_profile_shows_what_the_rooms_show(client: httpx.AsyncClient) -> None:
    person = await factories.user(name=NAME, avatar=PICTURE)
    viewer = await factories.bearer(await factories.user())

    async def profile() -> list[str | None]:
        answer = await client.get(f"/api/v1/users/{person['id']}", headers=viewer)
        data = answer.json()["data"]
        return [data["name"], data["avatar"]]

    assert await profile() == [NAME, PICTURE]
    private = await factories.room(showName=None, isPublic=False)
    await factories.participant(private["id"], person["id"])
    assert await profile() == [INITIALS, None]
    hiding = await factories.room(showName="NONE")
    await factories.participant(hiding["id"], person["id"])
    assert await profile() == [None, None]
    open_ = await factories.room(showName="FULL")
    await factories.participant(open_["id"], person["id"])
    assert await profile() == [NAME, PICTURE]


@pytest.mark.parametrize(
    ("name", "initials"),
    [
        ("Olga", "O."),
        ("anna jones", "A. J."),
        ("  Žofie  Ana  Ötvös ", "Ž. Ö."),
        ("Юрий Щукин", "Ю. Щ."),
        ('O\'Neil "Bob" (Smith)', "O. S."),
        ("田中 太郎", "田. 太."),
        ("!!!", "!."),
        ("x\ty\nz", "X. Z."),
        ("anna@example.org", "A."),
        (None, None),
    ],
)
async def test_initials_are_the_first_letters_of_the_first_and_the_last_word(
    database: str,  # noqa: ARG001 - bound there
    name: str | None,
    initials: str | None,
) -> None:
    assert await fetchval("SELECT shown_name($1, 'INITIALS')", name) == initials
    assert await fetchval("SELECT shown_name($1, 'FULL')", name) == name
    assert await fetchval("SELECT shown_name($1, 'NONE')", name) is None
