"""Each form, as the page posts it; the database is read after each."""

import json
from typing import Any

import httpx

from app.auth.tokens import token_hash
from app.database.engine import fetch, fetchrow, fetchval
from app.database.seed import LOTTERY
from app.participants.service import membership
from app.tables import ParticipantRole
from app.users.service import delete_user
from tests import factories
from tests.admin.staff import NAME, row_url

NEXT = {**LOTTERY, "meta": {**LOTTERY["meta"], "version": "1.1.0"}}


async def submit(staff: httpx.AsyncClient, form: str, **fields: Any) -> str:
    """Return what the page shows: a success, or every error."""
    answer = await staff.post(f"/admin/api/forms/{form}/", json=fields)
    said = answer.json()
    if answer.status_code == 200:
        return str(said["custom_form_success"])
    assert answer.status_code == 422, answer.text
    if "detail" in said:
        return "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in said["detail"])
    return str(said["custom_form_error"])


async def recorded() -> set[tuple[str, str]]:
    rows = await fetch("SELECT actor, action FROM audit_log")
    return {(row["actor"], row["action"]) for row in rows}


async def test_a_person_is_erased_by_id_and_address(staff: httpx.AsyncClient) -> None:
    person = await factories.user(name="Ann", email="ann@example.org")
    organizer = (await factories.room())["createdBy"]
    alone = await fetchval("SELECT email FROM users WHERE id = $1", organizer)

    async def erased(id_: str, confirmation: str) -> str:
        return await submit(staff, "erase-a-person", id=id_, confirmation=confirmation)

    assert "not the address" in await erased(person["id"], alone)
    assert "organized by this person alone" in await erased(organizer, alone)
    assert "no such person" in await erased("nobody", alone)
    assert await fetchval('SELECT count(*) FROM users WHERE "deletedAt" IS NOT NULL') == 0

    assert await erased(person["id"], " Ann@Example.org ") == f"{person['id']} is erased."

    assert "no such person" in await erased(person["id"], "ann@example.org")
    assert await recorded() == {(NAME, "erase")}
    shown = (await staff.get(row_url("users", person["id"]))).json()
    assert (shown["name"], shown["email"]) == (None, f"{person['id']}@erased.invalid")


async def test_an_app_is_registered_and_its_secret_shown_once(staff: httpx.AsyncClient) -> None:
    said = await submit(staff, "register-an-app", appId="app_new_v1", manifest=json.dumps(LOTTERY))

    secret = said.rpartition(": ")[2]
    kept = await fetchval('SELECT "appSecret" FROM apps WHERE "appId" = \'app_new_v1\'')
    assert kept == token_hash(secret)
    assert await recorded() == {(NAME, "register app")}
    log = str([dict(row) for row in await fetch("SELECT * FROM audit_log")])
    assert secret not in log
    assert kept not in log


async def test_faults_of_a_manifest_are_shown_at_their_place(staff: httpx.AsyncClient) -> None:
    bad = {**LOTTERY, "baseUrl": "nonsense", "meta": {"name": "x", "version": "one"}}

    typed = json.dumps(bad, indent=2)
    said = await submit(staff, "register-an-app", appId="app_new_v1", manifest=typed)

    for pointer, member in (("/baseUrl", '"baseUrl"'), ("/meta/version", '"version": "one"')):
        [line] = [n for n, text in enumerate(typed.splitlines(), 1) if member in text]
        assert f"line {line}, {pointer}: " in said
    unclosed = await submit(staff, "register-an-app", appId="app_x", manifest='{\n "meta": ]}')
    assert unclosed.startswith("line 2, column 10: This is not JSON.")
    assert await fetchval("SELECT count(*) FROM apps") == 0


async def test_versions_are_published_and_deprecated(staff: httpx.AsyncClient) -> None:
    app_id = (await factories.app())["appId"]

    assert "1.1.0" in await submit(
        staff, "publish-a-version", appId=app_id, manifest=json.dumps(NEXT)
    )
    assert await fetchval('SELECT "manifestVersion" FROM apps') == "1.1.0"
    again = await submit(staff, "publish-a-version", appId=app_id, manifest=json.dumps(NEXT))
    assert "not greater" in again
    stricter = {**NEXT, "meta": {**NEXT["meta"], "version": "1.2.0"}, "settings": None}
    stricter["settings"] = {**LOTTERY["settings"], "required": ["ticketCount", "drawDate", "more"]}
    breaking = await submit(staff, "publish-a-version", appId=app_id, manifest=json.dumps(stricter))
    assert breaking.startswith("line 1, /settings")

    fields = {"appId": app_id, "version": "1.1.0", "reason": "counted twice"}
    assert "no new rooms" in await submit(staff, "deprecate-a-version", **fields)
    assert await fetchval('SELECT "manifestDeprecationReason" FROM apps') == "counted twice"
    assert "already" in await submit(staff, "deprecate-a-version", **fields)


async def test_a_secret_is_rotated(staff: httpx.AsyncClient) -> None:
    app = await factories.app()

    said = await submit(staff, "rotate-a-secret", appId=app["appId"])

    kept = await fetchval('SELECT "appSecret" FROM apps')
    assert kept == token_hash(said.rpartition(": ")[2])
    assert kept != app["appSecret"]
    assert "no such app" in await submit(staff, "rotate-a-secret", appId="nothing")


async def test_somebodys_sessions_are_revoked_with_a_reason(staff: httpx.AsyncClient) -> None:
    person = await factories.user()
    bearer = await factories.bearer(person)

    said = await submit(staff, "revoke-sessions", email=person["email"], reason="stolen")

    assert said.startswith("1 session(s)")
    assert (await staff.get("/api/v1/auth/me", headers=bearer)).status_code == 401
    revoked = await fetchrow("SELECT * FROM token_blacklist")
    assert revoked is not None
    assert (revoked["reason"], revoked["revokedBy"]) == ("stolen", NAME)


async def test_a_platform_administrator_is_made_and_unmade(staff: httpx.AsyncClient) -> None:
    email = (await factories.user())["email"]

    for wanted in (True, False):
        await submit(staff, "platform-administrator", email=email, isAdmin=wanted)
        assert await fetchval('SELECT "isAdmin" FROM users') is wanted
    assert "no such person" in await submit(staff, "platform-administrator", email="x@example.org")


async def test_what_was_deleted_comes_back_after_what_it_belongs_to(
    staff: httpx.AsyncClient,
) -> None:
    room = await factories.room()
    prize = await factories.prize(room["id"], deletedAt=factories.now())
    await staff.delete(row_url("rooms", room["id"]))

    prize_first = await submit(staff, "restore-something-deleted", table="prizes", id=prize["id"])
    assert "restore that first" in prize_first
    for table, row_id in (("rooms", room["id"]), ("prizes", prize["id"])):
        said = await submit(staff, "restore-something-deleted", table=table, id=row_id)
        assert said.endswith("is back.")
        assert await fetchval(f'SELECT "deletedAt" FROM {table} WHERE id = $1', row_id) is None
    again = await submit(staff, "restore-something-deleted", table="rooms", id=room["id"])
    assert "no such row" in again
    winners = await submit(staff, "restore-something-deleted", table="winners", id="x")
    assert "Rows come back to" in winners


async def test_a_room_that_comes_back_after_its_organizer_is_organized_again(
    staff: httpx.AsyncClient,
) -> None:
    room = await factories.room()
    organizer = room["createdBy"]
    await delete_user(organizer)

    too_early = await submit(staff, "restore-something-deleted", table="rooms", id=room["id"])
    for table, row_id in (("users", organizer), ("rooms", room["id"])):
        await submit(staff, "restore-something-deleted", table=table, id=row_id)

    assert "restore that first" in too_early
    member = await membership(organizer, room["id"])
    assert member.role is ParticipantRole.ORGANIZER


async def test_a_room_that_comes_back_keeps_its_organizers(staff: httpx.AsyncClient) -> None:
    room = await factories.room()
    other = await factories.participant(room["id"], role="ORGANIZER")
    leaving = await fetchval('SELECT id FROM participants WHERE "userId" = $1', room["createdBy"])
    assert (await staff.delete(row_url("participants", leaving))).status_code == 204
    await staff.delete(row_url("rooms", room["id"]))

    await submit(staff, "restore-something-deleted", table="rooms", id=room["id"])

    organizers = await fetch(
        "SELECT id FROM participants WHERE role = 'ORGANIZER' AND \"deletedAt\" IS NULL"
    )
    assert [row["id"] for row in organizers] == [other["id"]]


async def test_a_job_runs_now(staff: httpx.AsyncClient) -> None:
    said = await submit(staff, "run-a-job-now", job="cleanup-tokens")

    assert said == "cleanup-tokens succeeded: 0 row(s)."
    assert await fetchval("SELECT outcome FROM task_runs WHERE job = 'cleanup-tokens'")
    assert await recorded() == {(NAME, "run job")}
    assert "There are: cleanup-tokens" in await submit(staff, "run-a-job-now", job="nonsense")


async def test_every_form_and_every_change_of_a_role_is_recorded(staff: httpx.AsyncClient) -> None:
    room = await factories.room()
    person = await factories.user()
    await factories.session(person["id"])
    participant = await factories.participant(room["id"], person["id"])
    prize = await factories.prize(room["id"], deletedAt=factories.now())
    app_id, email = "app_new_v1", person["email"]
    for form, fields in (
        ("register-an-app", {"appId": app_id, "manifest": json.dumps(LOTTERY)}),
        ("publish-a-version", {"appId": app_id, "manifest": json.dumps(NEXT)}),
        ("deprecate-a-version", {"appId": app_id, "version": "1.1.0", "reason": "wrong"}),
        ("rotate-a-secret", {"appId": app_id}),
        ("revoke-sessions", {"email": email, "reason": "stolen"}),
        ("platform-administrator", {"email": email, "isAdmin": True}),
        ("restore-something-deleted", {"table": "prizes", "id": prize["id"]}),
        ("run-a-job-now", {"job": "cleanup-task-runs"}),
    ):
        await submit(staff, form, **fields)
    url = row_url("participants", participant["id"])
    assert (await staff.patch(url, json={"role": "MODERATOR"})).is_success

    actions = [
        "register app",
        "publish version",
        "deprecate version",
        "replace secret",
        "revoke sessions",
        "make administrator",
        "restore",
        "run job",
        "change",
    ]
    rows = await fetch("SELECT * FROM audit_log ORDER BY id")
    assert list(dict.fromkeys(row["action"] for row in rows)) == actions
    assert {row["actor"] for row in rows} == {NAME}
    assert not [row for row in rows if row["createdAt"] is None or not row["rowId"]]
    role = rows[-1]
    assert (role["tableName"], role["rowId"]) == ("participants", participant["id"])
    assert json.loads(role["before"])["role"] == "PARTICIPANT"
    assert json.loads(role["after"])["role"] == "MODERATOR"


async def test_address_that_could_be_taken_for_another_names_nobody(
    staff: httpx.AsyncClient,
) -> None:
    await factories.user(email="mike@example.com")
    odd = "mi\u212ae@example.com"
    made = await submit(staff, "platform-administrator", email=odd, isAdmin=True)
    ended = await submit(staff, "revoke-sessions", email=odd, reason="stolen")
    assert "could be taken for another" in made
    assert "could be taken for another" in ended
    assert await fetchval('SELECT count(*) FROM users WHERE "isAdmin"') == 0
    assert await recorded() == set()
