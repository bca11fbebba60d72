"""What the page's API shows, and what it can't be talked into: curl is the judge."""

import json
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route

from app.admin import page
from app.database.engine import fetch, fetchrow, fetchval
from app.tables import TABLES
from tests import factories
from tests.admin.staff import NAME, row_url

SHOWN = [config.table_class._meta.tablename for config in page.TABLES]
SECRET_COLUMNS = {
    "apps": {"appSecret"},
    "sessions": {"refreshToken", "previousRefreshToken"},
    "token_blacklist": {"tokenHash"},
}


async def stored(table: str, row_id: str) -> asyncpg.Record:
    row = await fetchrow(f"SELECT * FROM {table} WHERE id = $1", row_id)
    assert row is not None
    return row


async def everything() -> dict[str, list[asyncpg.Record]]:
    """Read all that an administrator could harm."""
    return {
        table._meta.tablename: [
            *await fetch(f"SELECT * FROM {table._meta.tablename} ORDER BY 1, 2")
        ]
        for table in TABLES
    }


def words(answer: httpx.Response) -> str:
    """Return what the page would show."""
    assert answer.status_code == 422, answer.text
    said = answer.json()
    if "detail" in said:
        return "; ".join(f"{fault['loc'][-1]} {fault['msg']}" for fault in said["detail"])
    message: str = said["custom_form_error"]
    return message


async def test_all_tables_are_there_in_groups(staff: httpx.AsyncClient) -> None:
    grouped = (await staff.get("/admin/api/tables/grouped/")).json()

    assert grouped["ungrouped"] == []
    shown = {name for names in grouped["grouped"].values() for name in names}
    assert shown == set(SHOWN)


@pytest.mark.parametrize("table", SHOWN)
async def test_a_secret_is_in_no_answer(staff: httpx.AsyncClient, table: str) -> None:
    room = await factories.room()
    person = await factories.user()
    await factories.session(person["id"], previousRefreshToken="p" * 64)
    await factories.token_blacklist("token", person["id"])
    participant = await factories.participant(room["id"])
    prize = await factories.prize(room["id"])
    await factories.winner(room["id"], participant["id"], prize["id"])
    secrets = {
        value
        for name, columns in SECRET_COLUMNS.items()
        for row in await fetch(f"SELECT * FROM {name}")
        for value in (row[column] for column in columns)
    }
    assert len(secrets) >= 4
    url = f"/admin/api/tables/{table}/"

    answers = [
        await staff.get(url, params={"__readable": "true"}),
        await staff.get(f"{url}schema/"),
        await staff.get(f"{url}new/"),
        await staff.get(f"{url}ids/"),
    ]
    answers += [
        await staff.get(f"{url}{row['id']}/", params={"__readable": "true"})
        for row in answers[0].json()["rows"]
    ]

    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert not [secret for secret in secrets if secret in answer.text]
        assert not [name for name in SECRET_COLUMNS.get(table, ()) if name in answer.text]


@pytest.mark.parametrize(
    ("table", "column"), [(name, each) for name, all_ in SECRET_COLUMNS.items() for each in all_]
)
async def test_a_secret_can_not_be_asked_for_in_any_way(
    staff: httpx.AsyncClient, table: str, column: str
) -> None:
    url = f"/admin/api/tables/{table}/"

    for params in (
        {"__visible_fields": column},
        {"__order": column},
        {"__order": f"-{column}"},
        {column: "a"},
        {f"{column}__match": "starts", column: "a"},
    ):
        assert (await staff.get(url, params=params)).status_code in {400, 422}, params
        if "__order" not in params and "__visible_fields" not in params:
            assert (await staff.get(f"{url}count/", params=params)).status_code in {400, 422}


async def test_lists_show_alive_rows_and_the_deleted_on_request(staff: httpx.AsyncClient) -> None:
    await factories.room(name="alive")
    gone = await factories.room(name="gone", deletedAt=factories.now())
    url = "/admin/api/tables/rooms/"

    async def names(**params: str) -> set[str]:
        rows = (await staff.get(url, params=params)).json()["rows"]
        counted = (await staff.get(f"{url}count/", params=params)).json()["count"]
        assert counted == len(rows)
        return {row["name"] for row in rows}

    assert await names() == {"alive"}
    assert await names(deletedAt__operator="not_null") == {"gone"}
    assert (await staff.get(row_url("rooms", gone["id"]))).json()["name"] == "gone"


async def test_lists_filter_search_and_sort(staff: httpx.AsyncClient) -> None:
    room = await factories.room(name="First", status="DRAFT")
    await factories.room(name="Second", status="ACTIVE")
    url = "/admin/api/tables/rooms/"

    async def names(**params: str) -> list[str]:
        answer = await staff.get(url, params=params)
        assert answer.status_code == 200, answer.text
        return [row["name"] for row in answer.json()["rows"]]

    assert await names(status="DRAFT") == ["First"]
    assert await names(name="econ") == ["Second"]
    assert await names(appId=room["appId"]) == ["First"]
    assert await names(createdBy=room["createdBy"]) == ["First"]
    assert await names(__order="name") == ["First", "Second"]
    assert await names(__order="-name") == ["Second", "First"]


async def test_links_between_rooms_people_and_apps_lead_somewhere(
    staff: httpx.AsyncClient,
) -> None:
    room = await factories.room(name="Raffle")

    row = (await staff.get(row_url("rooms", room["id"]), params={"__readable": "true"})).json()

    assert row["appId_readable"] == row["appId"] == room["appId"]
    assert "@" in row["createdBy_readable"]
    assert (await staff.get(row_url("apps", row["appId"]))).json()["appId"] == room["appId"]
    assert (await staff.get(row_url("users", row["createdBy"]))).status_code == 200
    picked = (await staff.get("/admin/api/tables/apps/ids/", params={"search": "app_"})).json()
    assert picked == {room["appId"]: room["appId"]}
    participant = await factories.participant(room["id"])
    prize = await factories.prize(room["id"])
    winner = await factories.winner(room["id"], participant["id"], prize["id"])
    url = row_url("winners", winner["id"])
    shown = (await staff.get(url, params={"__readable": "true"})).json()
    person = await stored("users", participant["userId"])
    assert shown["participantId_readable"] == person["email"]
    assert shown["prizeId_readable"] == prize["name"]
    references = (await staff.get("/admin/api/tables/rooms/references/")).json()["references"]
    assert {each["tableName"] for each in references} >= {"participants", "prizes", "winners"}


async def test_a_form_that_posts_every_column_changes_what_was_changed(
    staff: httpx.AsyncClient,
) -> None:
    room = await factories.room(description="as it was")
    url = row_url("rooms", room["id"])
    form = (await staff.get(url)).json()
    # As the browser writes it: times to the second, documents indented.
    form["createdAt"] = form["createdAt"][:19] + "Z"
    form["updatedAt"] = form["updatedAt"][:19] + "Z"
    form["appSettings"] = json.dumps(json.loads(form["appSettings"]), indent=2)
    form["name"] = "A new name"

    answer = await staff.patch(url, json=form)

    assert answer.status_code == 200, answer.text
    after = dict(await stored("rooms", room["id"]))
    assert after.pop("updatedAt") > room["updatedAt"]
    expected = {**room, "name": "A new name"}
    del expected["updatedAt"]
    assert after == expected


async def test_saving_without_a_change_writes_nothing(staff: httpx.AsyncClient) -> None:
    prize = await factories.prize((await factories.room())["id"], 3)
    url = row_url("prizes", prize["id"])
    before = await everything()

    assert (await staff.patch(url, json=(await staff.get(url)).json())).status_code == 200

    assert await everything() == before


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("users", {"email": "other@example.org"}),
        ("users", {"isAdmin": True}),
        ("users", {"deletedAt": "2026-01-01T00:00:00Z"}),
        ("users", {"createdAt": "2020-01-01T00:00:00Z"}),
        ("rooms", {"deletedAt": "2026-01-01T00:00:00Z"}),
        ("rooms", {"appManifestVersion": "2.0.0"}),
        ("rooms", {"id": "another"}),
        ("apps", {"appSecret": "a" * 64}),
        ("apps", {"manifest": "{}"}),
        ("apps", {"manifestVersion": "9.0.0"}),
        ("prizes", {"quantityRemaining": 0}),
        ("prizes", {"deletedAt": "2026-01-01T00:00:00Z"}),
        ("participants", {"deletedAt": "2026-01-01T00:00:00Z"}),
        ("winners", {"deletedAt": "2026-01-01T00:00:00Z"}),
        ("winners", {"prizeId": "another"}),
        ("sessions", {"refreshToken": "a" * 64}),
        ("sessions", {"expiresAt": "2099-01-01T00:00:00Z"}),
        ("token_blacklist", {"tokenHash": "a" * 64}),
        ("token_blacklist", {"expiresAt": "2020-01-01T00:00:00Z"}),
        ("rooms", {"nonsense": "x"}),
    ],
)
async def test_what_can_not_be_changed_is_refused_by_name(
    staff: httpx.AsyncClient, table: str, change: dict[str, Any]
) -> None:
    ids = await one_of_each()
    before = await everything()

    answer = await staff.patch(row_url(table, ids[table]), json=change)

    assert words(answer) == f"{next(iter(change))} can't be changed here."
    assert await everything() == before


async def one_of_each() -> dict[str, str]:
    room = await factories.room()
    person = await factories.user()
    participant = await factories.participant(room["id"])
    prize = await factories.prize(room["id"], 2, quantityRemaining=1)
    winner = await factories.winner(room["id"], participant["id"], prize["id"])
    return {
        "users": room["createdBy"],
        "sessions": (await factories.session(person["id"]))["id"],
        "token_blacklist": (await factories.token_blacklist("token", person["id"]))["id"],
        "apps": await fetchval("SELECT id FROM apps"),
        "rooms": room["id"],
        "participants": participant["id"],
        "prizes": prize["id"],
        "winners": winner["id"],
    }


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("rooms", {"name": ""}, "name"),
        ("rooms", {"name": None}, "name"),
        ("rooms", {"status": "NONSENSE"}, "status"),
        ("rooms", {"status": "DRAFT"}, "A room that is ACTIVE can't become DRAFT."),
        ("rooms", {"appSettings": '{"ticketCount": 0}'}, "ticketCount"),
        ("participants", {"role": "KING"}, "role"),
        ("prizes", {"quantity": 0}, "quantity"),
        ("prizes", {"quantity": 99_999_999_999}, "quantity"),
        ("users", {"avatar": "javascript:alert(1)"}, "avatar"),
    ],
)
async def test_values_obey_the_rules_of_the_api(
    staff: httpx.AsyncClient, table: str, change: dict[str, Any], said: str
) -> None:
    ids = await one_of_each()
    before = await everything()

    assert said in words(await staff.patch(row_url(table, ids[table]), json=change))

    assert await everything() == before


async def test_a_quantity_never_falls_below_what_was_awarded(staff: httpx.AsyncClient) -> None:
    prize = await factories.prize((await factories.room())["id"], 5, quantityRemaining=2)
    url = row_url("prizes", prize["id"])

    assert "3 unit(s) are awarded" in words(await staff.patch(url, json={"quantity": 2}))
    assert await stored("prizes", prize["id"]) == prize

    assert (await staff.patch(url, json={"quantity": 4})).status_code == 200
    after = await stored("prizes", prize["id"])
    assert (after["quantity"], after["quantityRemaining"]) == (4, 1)


async def test_what_is_deleted_stays_as_it_was_and_is_only_marked(
    staff: httpx.AsyncClient,
) -> None:
    ids = await one_of_each()
    for table in ("winners", "prizes", "participants", "rooms", "apps", "users"):
        before = await stored(table, ids[table])

        answer = await staff.delete(row_url(table, ids[table]))

        assert answer.status_code == 204, (table, answer.text)
        after = await stored(table, ids[table])
        assert after["deletedAt"] is not None
        ended = {"deletedAt", "participantUntil", "publicUntil", "endedAt"}
        same = set(before.keys()) - {*ended, "updatedAt", "quantityRemaining"}
        assert {name: after[name] for name in same} == {name: before[name] for name in same}
        assert "deleted already" in words(await staff.delete(row_url(table, ids[table])))
    assert (await stored("prizes", ids["prizes"]))["quantityRemaining"] == 2


async def test_a_revoked_win_can_be_awarded_again(staff: httpx.AsyncClient) -> None:
    ids = await one_of_each()

    assert (await staff.delete(row_url("winners", ids["winners"]))).status_code == 204

    assert (await stored("prizes", ids["prizes"]))["quantityRemaining"] == 2


async def test_deleting_an_invitation_revokes_it_and_its_hash_is_never_sent(
    staff: httpx.AsyncClient,
) -> None:
    made = await factories.invitation(await factories.room())
    url = row_url("invitations", made["id"])
    listed = await staff.get("/admin/api/tables/invitations/")
    assert [each["id"] for each in listed.json()["rows"]] == [made["id"]]
    assert made["codeHash"] not in listed.text + (await staff.get(url)).text
    assert (await staff.patch(url, json={"role": "ORGANIZER"})).is_error

    assert (await staff.delete(url)).status_code == 204

    after = await stored("invitations", made["id"])
    assert after["revokedAt"] is not None
    assert (after["role"], after["codeHash"]) == (made["role"], made["codeHash"])
    record = await fetchrow("SELECT * FROM audit_log WHERE \"tableName\" = 'invitations'")
    assert record is not None
    assert "codeHash" not in str(record)


async def test_deleting_a_session_revokes_its_tokens(staff: httpx.AsyncClient) -> None:
    person = await factories.user()
    bearer = await factories.bearer(person)
    assert (await staff.get("/api/v1/auth/me", headers=bearer)).status_code == 200
    session_id = await fetchval("SELECT id FROM sessions")

    assert (await staff.delete(row_url("sessions", session_id))).status_code == 204

    assert (await staff.get("/api/v1/auth/me", headers=bearer)).status_code == 401
    revoked = await fetchrow("SELECT * FROM token_blacklist")
    assert revoked is not None
    assert (revoked["userId"], revoked["revokedBy"]) == (person["id"], NAME)


async def test_an_app_is_closed_to_new_rooms(staff: httpx.AsyncClient) -> None:
    app = await factories.app()

    assert (await staff.patch(row_url("apps", app["id"]), json={"isActive": False})).is_success

    assert (await stored("apps", app["id"]))["isActive"] is False


async def test_deleting_a_person_takes_their_memberships_and_sessions_along(
    staff: httpx.AsyncClient,
) -> None:
    participant = await factories.participant((await factories.room())["id"])
    await factories.session(participant["userId"])

    assert (await staff.delete(row_url("users", participant["userId"]))).status_code == 204

    assert (await stored("participants", participant["id"]))["deletedAt"] is not None
    assert await fetchval("SELECT count(*) FROM sessions") == 0


async def test_who_has_no_account_is_shown_by_the_address(staff: httpx.AsyncClient) -> None:
    room = await factories.room()
    somebody = await factories.participant(
        room["id"], userId=None, email="asked@example.org", name="Asked", acceptedAt=None
    )
    by_id = await factories.participant(room["id"], email=None, acceptedAt=None)
    prize = await factories.prize(room["id"], quantity=2, quantityRemaining=0)
    for each in (somebody, by_id):
        await factories.winner(room["id"], each["id"], prize["id"])

    listed = (await staff.get("/admin/api/tables/winners/", params={"__readable": "true"})).json()[
        "rows"
    ]
    people = (
        await staff.get("/admin/api/tables/participants/", params={"__readable": "true"})
    ).json()["rows"]

    theirs = await fetchval("SELECT email FROM users WHERE id = $1", by_id["userId"])
    assert {each["participantId_readable"] for each in listed} == {"asked@example.org", theirs}
    assert {each["email"] for each in people} >= {"asked@example.org", None}


async def test_a_row_that_was_given_up_does_not_come_back(staff: httpx.AsyncClient) -> None:
    room = await factories.room()
    given_up = await factories.participant(
        room["id"], userId=None, email=None, acceptedAt=None, deletedAt=factories.now()
    )
    left = await factories.participant(
        room["id"], userId=None, email="asked@example.org", deletedAt=factories.now()
    )

    answers = [
        await staff.post(
            "/admin/api/forms/restore-something-deleted/",
            json={"table": "participants", "id": each["id"]},
        )
        for each in (given_up, left)
    ]

    assert "joined with another row" in answers[0].text
    assert answers[1].status_code == 200, answers[1].text


async def test_a_person_who_organizes_with_somebody_is_deleted_and_the_room_passes_on(
    staff: httpx.AsyncClient,
) -> None:
    room = await factories.room()
    other = await factories.participant(room["id"], role="ORGANIZER")

    deleted = await staff.delete(row_url("users", room["createdBy"]))

    assert deleted.status_code == 204, deleted.text
    row = await fetchrow('SELECT "createdBy", "deletedAt" FROM rooms')
    assert row is not None
    assert tuple(row) == (other["userId"], None)
    actors = await fetch("SELECT DISTINCT actor FROM audit_log")
    assert [each["actor"] for each in actors] == [NAME]


async def test_a_room_is_handed_over_on_the_page(staff: httpx.AsyncClient) -> None:
    room = await factories.room()
    other = await factories.participant(room["id"], role="ORGANIZER")
    url = row_url("rooms", room["id"])

    refused = await staff.patch(url, json={"createdBy": (await factories.user())["id"]})
    changed = await staff.patch(url, json={"createdBy": other["userId"]})

    assert (refused.status_code, changed.status_code) == (422, 200)
    assert await fetchval('SELECT "createdBy" FROM rooms') == other["userId"]
    assert await fetchval("SELECT actor FROM audit_log WHERE \"tableName\" = 'rooms'") == NAME


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("prizes", "1 winner(s) hold this prize. Revoke them first."),
        ("apps", "1 live room(s) use this app. Delete those rooms first."),
        ("users", "1 live room(s) are organized by this person alone. Delete those"),
        ("token_blacklist", "not deleted by hand"),
    ],
)
async def test_what_the_plan_forbids_is_refused_in_words(
    staff: httpx.AsyncClient, table: str, said: str
) -> None:
    ids = await one_of_each()
    before = await everything()

    assert said in words(await staff.delete(row_url(table, ids[table])))

    assert await everything() == before


@pytest.mark.parametrize("table", SHOWN)
async def test_no_other_door_writes(staff: httpx.AsyncClient, table: str) -> None:
    ids = await one_of_each()
    await staff.patch(row_url("rooms", ids["rooms"]), json={"name": "to have a record"})
    ids["audit_log"] = await fetchval("SELECT id FROM audit_log LIMIT 1")
    url = f"/admin/api/tables/{table}/"
    row = f"{url}{ids.get(table, 'nothing')}/"
    form = (await staff.get(row)).json() if table in ids else {}
    before = await everything()

    for method, target in (
        ("POST", url),
        ("PUT", row),
        ("DELETE", url),
        ("DELETE", f"{url}?id__match=contains&id=c"),
        ("PATCH", url),
        ("PUT", url),
        ("POST", row),
    ):
        answer = await staff.request(method, target, json=form)
        assert answer.status_code in {404, 405, 422}, (method, target, answer.text)

    assert await everything() == before


async def test_a_record_of_what_was_done_can_not_be_changed_or_deleted(
    staff: httpx.AsyncClient,
) -> None:
    room = await factories.room()
    await staff.patch(row_url("rooms", room["id"]), json={"name": "Another"})
    record = await fetchrow("SELECT * FROM audit_log")
    assert record is not None
    url = row_url("audit_log", record["id"])

    assert words(await staff.patch(url, json={"actor": "somebody else"}))
    assert words(await staff.delete(url))
    for statement in (
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_log SET actor = 'somebody else'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="written once"):
            await fetch(statement)

    assert await fetch("SELECT * FROM audit_log") == [record]


async def test_who_changed_what_is_recorded_with_the_change(staff: httpx.AsyncClient) -> None:
    room = await factories.room(name="Before")

    await staff.patch(row_url("rooms", room["id"]), json={"name": "After"})

    [record] = (await staff.get("/admin/api/tables/audit_log/")).json()["rows"]
    assert (record["actor"], record["action"]) == (NAME, "change")
    assert (record["tableName"], record["rowId"]) == ("rooms", room["id"])
    before, after = json.loads(record["before"]), json.loads(record["after"])
    assert before.keys() == after.keys() == {"name", "updatedAt"}
    assert (before["name"], after["name"]) == ("Before", "After")


async def test_everything_that_goes_with_a_deletion_is_recorded_without_secrets(
    staff: httpx.AsyncClient,
) -> None:
    participant = await factories.participant((await factories.room())["id"])
    session = await factories.session(participant["userId"])

    await staff.delete(row_url("users", participant["userId"]))

    records = await fetch("SELECT * FROM audit_log")
    assert {(row["actor"], row["action"]) for row in records} == {(NAME, "delete")}
    tables = {"users", "participants", "sessions", "token_blacklist"}
    assert {row["tableName"] for row in records} == tables
    [ended] = [row for row in records if row["tableName"] == "sessions"]
    assert (ended["rowId"], ended["after"]) == (session["id"], None)
    assert json.loads(ended["before"]).keys() == set(session.keys()) - SECRET_COLUMNS["sessions"]


async def test_what_is_refused_and_what_others_do_is_not_recorded(
    staff: httpx.AsyncClient,
) -> None:
    ids = await one_of_each()

    await staff.delete(row_url("prizes", ids["prizes"]))
    person = await factories.user()
    await fetch("UPDATE users SET name = 'x' WHERE id = $1", person["id"])

    assert await fetchval("SELECT count(*) FROM audit_log") == 0


async def test_nobody_reads_or_writes_without_signing_in(
    client: httpx.AsyncClient,
    administrator: str,  # noqa: ARG001 - has to be there
) -> None:
    ids = await one_of_each()
    before = await everything()
    await client.get("/admin/")
    client.headers["X-CSRFToken"] = client.cookies["csrftoken"]
    token = await factories.bearer(await factories.user(isAdmin=True))

    for headers in ({}, token):
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            for table, row_id in ids.items():
                answer = await client.request(
                    method, row_url(table, row_id), json={"name": "x"}, headers=headers
                )
                assert answer.status_code == 401

    await fetch("DELETE FROM sessions WHERE \"deviceInfo\" = 'tests'")
    await fetch('DELETE FROM users WHERE "isAdmin"')
    await fetch("DELETE FROM outbox WHERE type = 'person.deleted'")
    assert await everything() == before


async def test_a_body_that_is_too_large_is_not_read(staff: httpx.AsyncClient) -> None:
    answer = await staff.post("/admin/public/login/", content=b"x" * 2_000_000)

    assert answer.status_code == 413


def test_nothing_that_we_do_not_know_of_writes_in_the_page() -> None:
    admin: Any = page.create_page()
    writing = {
        (route.path, method)
        for app in (admin, page._inner(admin, "/api"), page._inner(admin, "/public"))
        if isinstance(app, FastAPI)
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method not in {"GET", "HEAD"} and not route.path.startswith("/tables/")
    }

    assert writing == {
        ("/forms/{form_slug:str}/", "POST"),
        ("/change-password/", "POST"),
        ("/logout/", "POST"),
    }


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for path in page.STATIC.iterdir():
        text = path.read_text().replace("XMLHttpRequest", "")
        assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), path


@pytest.mark.parametrize(
    "typed",
    [" \u00c9lodie@B\u00fccher.example ", "\u00c9LODIE", "@b\u00fccher.example", "xn--BCHER-kva"],
)
async def test_people_are_found_by_an_address_as_it_is_typed(
    staff: httpx.AsyncClient, typed: str
) -> None:
    person = await factories.user(email="\u00e9lodie@xn--bcher-kva.example")
    await factories.user(email="somebody@example.org")
    url = "/admin/api/tables/users/"

    listed = await staff.get(url, params={"email": typed})
    picked = await staff.get(f"{url}ids/", params={"search": typed, "limit": "5"})

    assert [row["id"] for row in listed.json()["rows"]] == [person["id"]]
    assert picked.json() == {person["id"]: person["email"]}
