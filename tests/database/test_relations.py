"""The delete actions of the plan's "Cascade Behavior", and what the other constraints refuse."""

from datetime import UTC, datetime

import asyncpg
import pytest

from app.database.engine import fetch, fetchval
from app.errors import AppError, AppHasRooms, Conflict, PrizeHasWinners
from app.tables import (
    TABLES,
    App,
    Identity,
    Participant,
    Prize,
    Room,
    Session,
    TokenBlacklist,
    User,
    Winner,
)

LATER = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def world(database: str) -> str:
    """One full room, and for each relation of a room one room that has only that."""
    await User.insert(
        *(User(id=id_, email=id_) for id_ in ("organizer", "visitor", "player", "loner"))
    )
    await Session.insert(
        Session(id="session", userId="loner", refreshToken="hash", expiresAt=LATER)
    )
    await Identity.insert(
        Identity(id="identity", userId="loner", provider="google", subject="1"),
        Identity(id="other", userId="player", provider="google", subject="2"),
    )
    await TokenBlacklist.insert(
        TokenBlacklist(id="revoked", tokenHash="hash", expiresAt=LATER, userId="loner")
    )
    await App.insert(
        App(id="app", appId="app_lottery_v1", appSecret="1", manifest={}),
        App(id="unused", appId="app_quiz_v1", appSecret="2", manifest={}),
    )
    await Room.insert(
        *(
            Room(id=id_, name=id_, appId="app_lottery_v1", appSettings={}, createdBy="organizer")
            for id_ in ("room", "with_participant", "with_prize", "with_winner")
        )
    )
    await Participant.insert(
        Participant(id="visitor", userId="visitor", roomId="room"),
        Participant(id="player", userId="player", roomId="room"),
        Participant(id="alone", userId="player", roomId="with_participant"),
    )
    await Prize.insert(
        Prize(id="phone", roomId="room", name="phone"),
        Prize(id="book", roomId="room", name="book"),
        Prize(id="alone", roomId="with_prize", name="alone"),
    )
    await Winner.insert(
        Winner(id="win", roomId="room", participantId="player", prizeId="phone"),
        Winner(id="alone", roomId="with_winner", participantId="player", prizeId="book"),
    )
    return database


async def _rows() -> set[str]:
    found = set()
    with_id = [table for table in TABLES if table._meta.primary_key._meta.name == "id"]
    for table in (table._meta.tablename for table in with_id):
        found |= {f"{table}.{row['id']}" for row in await fetch(f'SELECT "id" FROM "{table}"')}
    return found


async def _delete(row: str) -> None:
    table, id_ = row.split(".")
    await fetch(f'DELETE FROM "{table}" WHERE "id" = $1', id_)


@pytest.mark.parametrize(
    ("row", "goes_with_it"),
    [
        pytest.param(
            "users.loner",
            {"sessions.session", "identities.identity"},
            id="user-session-identity",
        ),
        pytest.param("users.visitor", {"participants.visitor"}, id="user-participant"),
        pytest.param("rooms.with_participant", {"participants.alone"}, id="room-participant"),
        pytest.param("rooms.with_prize", {"prizes.alone"}, id="room-prize"),
        pytest.param("rooms.with_winner", {"winners.alone"}, id="room-winner"),
        pytest.param(
            "participants.player", {"winners.win", "winners.alone"}, id="participant-winner"
        ),
        pytest.param("apps.unused", set(), id="app-without-rooms"),
        pytest.param("prizes.alone", set(), id="prize-without-winners"),
    ],
)
async def test_a_deleted_row_takes_along_what_is_meaningless_without_it(
    row: str, goes_with_it: set[str]
) -> None:
    before = await _rows()
    await _delete(row)
    assert before - await _rows() == {row} | goes_with_it


async def test_a_deleted_room_takes_along_its_winners_before_its_prizes() -> None:
    """Prizes refuse to go while they have winners, so the order of the cascades matters."""
    before = await _rows()
    await fetch('DELETE FROM "winners" WHERE "id" = $1', "alone")
    await _delete("rooms.room")
    assert before - await _rows() == {
        "rooms.room",
        "participants.visitor",
        "participants.player",
        "prizes.phone",
        "prizes.book",
        "winners.win",
        "winners.alone",
    }


@pytest.mark.parametrize("soft_deleted_first", [False, True])
@pytest.mark.parametrize(
    ("row", "constraint", "error"),
    [
        pytest.param("apps.app", "rooms_appId_fkey", AppHasRooms, id="app-room"),
        pytest.param("prizes.phone", "winners_prizeId_fkey", PrizeHasWinners, id="prize-winner"),
        pytest.param("users.organizer", "rooms_createdBy_fkey", Conflict, id="user-room"),
    ],
)
async def test_history_keeps_a_row_from_being_deleted_and_the_error_says_what_to_do(
    row: str, constraint: str, error: type[AppError], *, soft_deleted_first: bool
) -> None:
    if soft_deleted_first:
        await fetch('UPDATE "rooms" SET "deletedAt" = now()')
        await fetch('UPDATE "winners" SET "deletedAt" = now()')
    before = await _rows()
    with pytest.raises(error, match=r"(?i)soft-delete") as refused:
        await _delete(row)
    assert constraint_of(refused.value) == constraint
    assert await _rows() == before


@pytest.mark.parametrize(
    ("parent", "key", "children"),
    [
        ("apps", "appId", [("rooms", "appId")]),
        (
            "users",
            "id",
            [
                ("sessions", "userId"),
                ("identities", "userId"),
                ("participants", "userId"),
                ("rooms", "createdBy"),
            ],
        ),
        ("rooms", "id", [("participants", "roomId"), ("prizes", "roomId"), ("winners", "roomId")]),
        ("participants", "id", [("winners", "participantId")]),
        ("prizes", "id", [("winners", "prizeId")]),
    ],
)
async def test_a_changed_key_changes_wherever_it_is_referred_to(
    parent: str, key: str, children: list[tuple[str, str]]
) -> None:
    await fetch(f'UPDATE "{parent}" SET "{key}" = \'new \' || "{key}"')
    for table, column in children:
        values = [row[0] for row in await fetch(f'SELECT "{column}" FROM "{table}"')]
        assert values
        assert all(value.startswith("new ") for value in values)


async def test_a_revoked_token_outlives_its_person() -> None:
    await _delete("users.loner")
    assert "token_blacklist.revoked" in await _rows()


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (
            """INSERT INTO "users" ("id", "email", "updatedAt") VALUES ('x', 'loner', now())""",
            "users_email_key",
        ),
        ("""UPDATE "users" SET "providerId" = '1'""", "users_provider_providerId_key"),
        ("""UPDATE "identities" SET "subject" = '1'""", "identities_provider_subject_key"),
        ("""UPDATE "identities" SET "userId" = 'loner'""", "identities_userId_provider_key"),
        ("""UPDATE "apps" SET "appSecret" = '1'""", "apps_appSecret_key"),
        (
            """UPDATE "participants" SET "roomId" = 'room', "userId" = 'player'""",
            "participants_userId_roomId_key",
        ),
        ("""UPDATE "winners" SET "prizeId" = 'phone'""", "winners_participantId_prizeId_key"),
        (
            """UPDATE "prizes" SET "quantity" = 0, "quantityRemaining" = 0""",
            "prizes_quantity_check",
        ),
        ("""UPDATE "prizes" SET "quantityRemaining" = 2""", "prizes_quantityRemaining_check"),
        ("""UPDATE "prizes" SET "quantityRemaining" = -1""", "prizes_quantityRemaining_check"),
    ],
)
async def test_what_must_never_happen_is_refused(statement: str, constraint: str) -> None:
    with pytest.raises((asyncpg.IntegrityConstraintViolationError, Conflict)) as refused:
        await fetch(statement)
    assert constraint_of(refused.value) == constraint


def constraint_of(error: BaseException) -> str | None:
    """Return what was violated, whether the error was put into words or not."""
    cause = error.__cause__ if isinstance(error, AppError) else error
    name: str | None = getattr(cause, "constraint_name", None)
    return name


async def test_piccolos_own_delete_is_explained_too() -> None:
    with pytest.raises(PrizeHasWinners, match="set deletedAt"):
        await Prize.delete().where(Prize.id == "phone")


async def test_a_row_that_refers_to_nothing_is_not_mistaken_for_a_deletion() -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await Winner.insert(
            Winner(id="lost", roomId="room", participantId="player", prizeId="nothing")
        )


async def test_a_revoked_win_lets_the_same_prize_be_won_again() -> None:
    await fetch("""UPDATE "winners" SET "deletedAt" = now() WHERE "id" = 'win'""")
    await Winner.insert(Winner(id="again", roomId="room", participantId="player", prizeId="phone"))
    assert await fetchval('SELECT count(*) FROM "winners" WHERE "prizeId" = $1', "phone") == 2


async def test_statuses_and_roles_are_those_of_the_enums() -> None:
    for statement in (
        """UPDATE "rooms" SET "status" = 'active'""",
        """UPDATE "participants" SET "role" = 'OWNER'""",
    ):
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            await fetch(statement)
