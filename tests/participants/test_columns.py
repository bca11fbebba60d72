"""Which column is what: by its name, by the request, and shown before anything is written."""

import asyncpg
import httpx
import pytest

from app.database.engine import fetch
from app.errors import ValidationFailed
from app.participants.columns import Extra, Meaning, Wishes, document_of, header_of
from tests import factories
from tests.answers import Headers, code_of

IGNORING = Wishes({}, extra=Extra.IGNORE)


@pytest.fixture
def path(room: asyncpg.Record) -> str:
    return f"/api/v1/rooms/{room['id']}/participants/bulk"


@pytest.fixture
def sent(headers: Headers) -> Headers:
    return {**headers, "Content-Type": "text/csv"}


@pytest.mark.parametrize(
    ("header", "record", "name"),
    [
        ("First name,Last name", "Ann,Lee", "Ann Lee"),
        ("Фамилия,Имя", "Ли,Мария", "Мария Ли"),
        ("Имя", "Мария Ли", "Мария Ли"),
        ("Vorname,Nachname", "Zoë,Müller", "Zoë Müller"),
        ("Nom,Prénom", "Dubois,Léa", "Léa Dubois"),
        ("Nom", "Léa Dubois", "Léa Dubois"),
        ("Nombre,Apellidos", "Ana,Ruiz", "Ana Ruiz"),
        ("Name,Surname", "Ann,Lee", "Ann Lee"),
        ("first_name,LASTNAME", ",Lee", "Lee"),
        ("Full name,First name,Last name", "A. Lee,Ann,Lee", "A. Lee"),
        ("Full name,First name,Last name", ",Ann,Lee", "Ann Lee"),
    ],
)
def test_halves_of_a_name_are_found_and_joined(header: str, record: str, name: str) -> None:
    found = header_of([*header.split(","), "email"], IGNORING)
    assert not found.faults
    document = document_of(found, [*record.split(","), "a@b.c"])
    assert document == {"name": name, "email": "a@b.c"}


def test_a_request_says_what_columns_are() -> None:
    wishes = Wishes(
        {Meaning.EMAIL: "work", Meaning.NAME: "nick", Meaning.ROLE: "is"},
        members=["Tickets"],
        extra=Extra.IGNORE,
    )
    header = header_of(["Email", "Name", "Work", "Nick", "Tickets", "Is"], wishes)
    assert not header.faults
    assert [each.meaning for each in header.columns] == [
        *("nothing", "nothing", "email", "name", "metadataMember", "role")
    ]
    assert document_of(header, ["x@y.z", "Ann", "a@b.c", "Annie", "3", "VIEWER"]) == {
        "email": "a@b.c",
        "name": "Annie",
        "role": "VIEWER",
        "metadata": {"Tickets": "3"},
    }


def test_a_column_may_be_kept_as_metadata_while_others_are_refused() -> None:
    header = header_of(["email", "Tickets", "Seat"], Wishes({}, members=["tickets"]))
    assert set(header.faults) == {"$.Seat", "$"}


def test_a_column_that_is_not_there_is_told_by_the_parameter() -> None:
    wishes = Wishes({Meaning.EMAIL: "Mail 2", Meaning.LAST_NAME: "x"}, members=["Tickets"])
    assert set(header_of(["email"], wishes).faults) == {
        *("emailColumn", "lastNameColumn", "metadataColumn", "$.email", "$")
    }


def test_two_columns_that_mean_the_same_are_refused() -> None:
    header = header_of(["email", "E-mail", "name"], IGNORING)
    assert set(header.faults) == {"$.email", "$['E-mail']", "$"}


def test_too_many_columns_are_refused() -> None:
    with pytest.raises(ValidationFailed):
        header_of(["email"] * 101, IGNORING)


async def test_a_preview_tells_what_would_be_done_and_changes_no_row(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, sent: Headers
) -> None:
    await factories.user(id="p1")
    await factories.participant(room["id"], "p1", deletedAt=factories.now())
    text = (
        "First name;Last name;Email;userId;Tickets;Note\n"
        "Ann;Lee;a@b.c;;3;x\n"
        ";;;p1;;\n"
        ";;A@b.c;;1000;\n"
        ";;nobody;;;\n"
    )
    query = f"{path}?preview=true&extra=ignore&metadataColumn=Tickets"
    before = await fetch("SELECT p.xmin, p.* FROM participants p ORDER BY id")

    answer = await client.post(query, content=text, headers=sent)

    assert await fetch("SELECT p.xmin, p.* FROM participants p ORDER BY id") == before
    told = answer.json()["data"]
    counts = {name: told[name] for name in ("added", "cameBack", "alreadyIn", "failed")}
    assert counts == {"added": 1, "cameBack": 1, "alreadyIn": 1, "failed": 1}
    assert told["refusal"] is None
    assert [(each["name"], each["readAs"], each["isWeight"]) for each in told["columns"]] == [
        ("First name", "firstName", False),
        ("Last name", "lastName", False),
        ("Email", "email", False),
        ("userId", "userId", False),
        ("Tickets", "metadataMember", True),
        ("Note", "nothing", False),
    ]
    assert told["columns"][2]["examples"] == ["a@b.c", "A@b.c", "nobody"]
    assert [(each["line"], each["outcome"]) for each in told["lines"]] == [
        (2, "ADDED"),
        (3, "CAME_BACK"),
        (4, "ALREADY_IN"),
        (5, "FAILED"),
    ]
    assert told["lines"][0]["name"] == "Ann Lee"
    assert told["lines"][0]["metadata"] == {"Tickets": "3"}
    assert [each["line"] for each in told["faults"]] == [5]

    done = await client.post(query.replace("preview=true&", ""), content=text, headers=sent)
    assert {name: done.json()["data"][name] for name in counts} == counts


async def test_a_preview_shows_columns_of_which_none_names_anybody(
    client: httpx.AsyncClient, path: str, sent: Headers
) -> None:
    text = "Who,Where\nAnn,a@b.c\n"
    query = f"{path}?preview=true&extra=ignore"
    told = (await client.post(query, content=text, headers=sent)).json()["data"]
    assert "$" in told["refusal"]["details"]["fields"]
    assert [each["name"] for each in told["columns"]] == ["Who", "Where"]
    assert told["lines"] == []

    named = await client.post(f"{query}&emailColumn=Where", content=text, headers=sent)
    assert (named.json()["data"]["refusal"], named.json()["data"]["added"]) == (None, 1)
    refused = await client.post(f"{path}?extra=ignore", content=text, headers=sent)
    assert (refused.status_code, code_of(refused)) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("role", ["VIEWER", "PARTICIPANT"])
async def test_nobody_previews_who_may_not_bring_in(
    client: httpx.AsyncClient, room: asyncpg.Record, path: str, role: str
) -> None:
    person = await factories.user()
    await factories.participant(room["id"], person["id"], role=role)
    body = {"participants": [{"email": "a@b.c"}]}
    for headers, status in ((await factories.bearer(person), 403), ({}, 401)):
        answer = await client.post(f"{path}?preview=true", json=body, headers=headers)
        assert answer.status_code == status


async def test_a_preview_in_a_closed_room_is_refused_as_the_deed_is(
    client: httpx.AsyncClient, path: str, headers: Headers
) -> None:
    await fetch("UPDATE rooms SET status = 'COMPLETED'")
    body = {"participants": [{"email": "a@b.c"}]}
    answer = await client.post(f"{path}?preview=true", json=body, headers=headers)
    assert code_of(answer) == "ROOM_CLOSED"


async def test_a_file_that_lost_its_line_breaks_is_told_how_to_be_sent(
    client: httpx.AsyncClient, path: str, headers: Headers, sent: Headers
) -> None:
    stripped = "email,namea@b.c,Annc@d.e,Bob"
    answer = await client.post(path, content=stripped, headers=sent)
    assert "--data-binary" in answer.json()["error"]["details"]["fields"]["$"]
    form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    undeclared = await client.post(path, content=stripped, headers=form)
    assert undeclared.status_code == 415
    assert "Content-Type: text/csv" in undeclared.json()["error"]["message"]
