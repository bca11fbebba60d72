import asyncio
from datetime import UTC, datetime

import pytest
from piccolo.query.methods.update import UpdateError

from app.database.engine import fetch, fetchval
from app.database.soft_delete import SoftDeletable, including_deleted
from app.tables import TABLES, App, Room, Session, User

GONE = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def rooms(database: str) -> str:
    await User.insert(
        User(id="alice", email="alice@example.com", name="Alice"),
        User(id="bob", email="bob@example.com", deletedAt=GONE),
    )
    await App.insert(App(id="app", appId="app_lottery_v1", appSecret="hash", manifest={}))
    await Room.insert(
        *(
            Room(
                id=id_,
                name=id_,
                appId="app_lottery_v1",
                appSettings={},
                createdBy=organizer,
                deletedAt=deleted_at,
            )
            for id_, organizer, deleted_at in (
                ("alive", "bob", None),
                ("gone", "alice", GONE),
            )
        )
    )
    return database


def test_the_plans_six_tables_and_no_others_are_soft_deleted() -> None:
    assert {t._meta.tablename for t in TABLES if issubclass(t, SoftDeletable)} == {
        "users",
        "apps",
        "rooms",
        "participants",
        "prizes",
        "winners",
    }


async def test_queries_see_only_what_is_alive() -> None:
    assert await Room.select(Room.id) == [{"id": "alive"}]
    assert [room.id for room in await Room.objects()] == ["alive"]
    assert await Room.objects().get(Room.id == "gone") is None
    assert await Room.count() == 1
    assert not await Room.exists().where(Room.id == "gone")


async def test_a_condition_with_or_does_not_reach_the_deleted() -> None:
    query = Room.select(Room.id).where((Room.id == "gone") | (Room.id == "alive"))
    assert await query == [{"id": "alive"}]


async def test_updates_change_only_what_is_alive() -> None:
    await Room.update({Room.name: "new"}).where(Room.name != "")
    names = {row["id"]: row["name"] for row in await fetch('SELECT "id", "name" FROM "rooms"')}
    assert names == {"alive": "new", "gone": "gone"}


async def test_an_update_without_a_condition_is_still_refused() -> None:
    with pytest.raises(UpdateError):
        await Room.update({Room.name: "new"})
    await Room.update({Room.name: "new"}, force=True)
    assert await fetchval("""SELECT count(*) FROM "rooms" WHERE "name" = 'new'""") == 1


async def test_an_update_sets_updated_at() -> None:
    await Room.update({Room.updatedAt: GONE}, use_auto_update=False).where(Room.id == "alive")
    assert await fetchval("""SELECT "updatedAt" FROM "rooms" WHERE "id" = 'alive'""") == GONE
    await Room.update({Room.name: "new"}).where(Room.id == "alive")
    assert await fetchval("""SELECT "updatedAt" FROM "rooms" WHERE "id" = 'alive'""") > GONE


async def test_who_asks_for_the_deleted_reaches_them() -> None:
    with including_deleted():
        assert await Room.count() == 2
        assert await Room.exists().where(Room.id == "gone")
        assert len(await Room.select()) == 2
        room = await Room.objects().get(Room.id == "gone")
        assert room is not None
        room.deletedAt = None
        await room.save()
    assert await Room.count() == 2


async def test_only_the_task_that_asks_reaches_the_deleted() -> None:
    asked = asyncio.Event()
    counted = asyncio.Event()

    async def ask() -> list[dict[str, str]]:
        with including_deleted():
            asked.set()
            await counted.wait()
            return await Room.select(Room.id)

    asking = asyncio.create_task(ask())
    await asked.wait()
    assert await Room.count() == 1
    counted.set()
    assert len(await asking) == 2


async def test_a_room_still_shows_its_organizer_who_is_gone() -> None:
    assert await Room.select(Room.createdBy.email) == [{"createdBy.email": "bob@example.com"}]


async def test_raw_statements_read_the_alive_rows_by_name() -> None:
    rows = await fetch(f'SELECT r.id FROM {Room.alive()} r JOIN {App.alive()} a USING ("appId")')
    assert [row["id"] for row in rows] == ["alive"]


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("r.\"id\" = 'alive'", "rooms_pkey"),
        ("r.\"createdBy\" = 'alice'", "rooms_createdBy_idx"),
        ('r."isPublic" ORDER BY "createdAt" DESC, "id" DESC LIMIT 20', "rooms_createdAt_id_idx"),
    ],
)
async def test_the_subquery_of_the_alive_keeps_their_indexes(condition: str, index: str) -> None:
    await fetch(
        """INSERT INTO "rooms" ("id", "name", "appId", "appSettings", "createdBy", "updatedAt",
             "createdAt", "isPublic")
           SELECT n::text, 'room', 'app_lottery_v1', '{}', CASE n % 100 WHEN 0 THEN 'alice' ELSE
             'bob' END, now(), now() - n * interval '1 s', n % 20 = 0
           FROM generate_series(1, 5000) n"""
    )
    await fetch("VACUUM (FULL, ANALYZE) rooms")
    plan = await fetch(f'EXPLAIN SELECT r."id" FROM {Room.alive()} r WHERE {condition}')
    text = "\n".join(row[0] for row in plan)
    assert index in text
    assert "Seq Scan" not in text
    assert "Subquery" not in text


async def test_readable_names_of_foreign_keys_keep_their_capitals() -> None:
    readable = Room._get_related_readable(Room.appId)
    assert await Room.select(Room.id, readable) == [
        {"id": "alive", "appId_readable": "app_lottery_v1"}
    ]
    await Session.insert(Session(id="s", userId="alice", refreshToken="h", expiresAt=GONE))
    readable = Session._get_related_readable(Session.userId)
    assert await Session.select(readable) == [{"userId_readable": "alice@example.com"}]


async def test_times_are_kept_to_the_millisecond() -> None:
    user = User(id="carol", email="carol@example.com")
    await User.insert(user)
    assert await fetchval("""SELECT "createdAt" FROM "users" WHERE id = 'carol'""") == (
        user.createdAt
    )


def test_a_row_without_a_required_value_is_refused() -> None:
    with pytest.raises(ValueError, match="email wasn't provided"):
        User(name="Alice")
