"""Rows of a database that Prisma made: those that our rules refuse, and addresses in one form."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from app.applications.json_schema import schema_faults
from app.applications.settings_schema import settings_schema_of
from app.database.migrations import Connection
from app.email_addresses import NotAnAddress, canonical_address

TOLD = 20
"""How many rows are named of those that have the same fault."""

IDS_AND_NUMBER = """
    SELECT count(*) AS number, (array_agg(id ORDER BY id COLLATE "C"))[:{told}] AS ids
    FROM ({rows}) AS against (id)
"""

VIOLATIONS = (
    (
        """
        SELECT format('prize %s (%s) has %s of %s left', id, name, "quantityRemaining", quantity)
        FROM prizes WHERE quantity < 1 OR "quantityRemaining" NOT BETWEEN 0 AND quantity
        """,
        "prize(s) with an impossible stock",
    ),
    (
        """
        SELECT format('participant %s has won prize %s %s times',
            "participantId", "prizeId", count(*))
        FROM winners WHERE "deletedAt" IS NULL
        GROUP BY "participantId", "prizeId" HAVING count(*) > 1
        """,
        "prize(s) that somebody won more than once",
    ),
)
"""What our constraints forbid: a query of sentences, and what to call them together."""


class Addresses(msgspec.Struct, frozen=True):
    """What becomes of the users' addresses."""

    changes: dict[str, tuple[str, str]]
    """User to the address that is stored and the one form of it, where those differ."""
    refused: list[str]
    """Sentences: which are none, and which are one for several users."""


async def rows_against(connection: Connection, rows: str) -> tuple[int, str]:
    """Count the rows that a query of ids selects, and say how many and which they are.

    Args:
        connection: Where to ask.
        rows: The query, of one column of text.
    """
    number, ids = await _first_and_number(connection, rows)
    return number, f"{number} row(s) ({_bounded(ids, number)})" if number else "0 rows"


async def violations(connection: Connection) -> list[str]:
    """Name the rows that our constraints forbid."""
    faults: list[str] = []
    for rows, together in VIOLATIONS:
        number, sentences = await _first_and_number(connection, rows)
        faults.extend(sentences)
        if number > TOLD:
            faults.append(f"and {number - TOLD} more {together}")
    return faults


async def _first_and_number(connection: Connection, rows: str) -> tuple[int, list[str]]:
    [found] = await connection.fetch(IDS_AND_NUMBER.format(told=TOLD, rows=rows))
    return found["number"], found["ids"] or []


async def unusable_apps(connection: Connection) -> list[str]:
    """Name the apps on which no room can be opened: nobody had checked their manifests."""
    faults = []
    for app_id, manifest in await connection.fetch(
        'SELECT "appId"::text, manifest::text FROM apps WHERE "deletedAt" IS NULL ORDER BY 1'
    ):
        if found := schema_faults(settings_schema_of(msgspec.json.decode(manifest))):
            faults.append(
                f"app {app_id} has no settings schema that may be used ({found[0].message}): it"
                " stays, and no room is opened on it before a version that has one is published"
            )
    return faults[:TOLD]


async def read_addresses(connection: Connection) -> Addresses:
    """Find out each user's address in its one form, whatever the database's collation."""
    changes: dict[str, tuple[str, str]] = {}
    faults = []
    async for id_, stored in connection.cursor(
        "SELECT id::text, email::text FROM users WHERE email IS NOT NULL ORDER BY id::text"
    ):
        try:
            address = canonical_address(stored)
        except NotAnAddress as error:
            faults.append(f"user {id_} has the address {stored!r}: {error.message}")
            continue
        if address != stored:
            changes[id_] = stored, address
    shared = await _shared(connection, changes)
    return Addresses(changes, [*_first(faults), *_first(shared)])


async def _shared(connection: Connection, changes: dict[str, tuple[str, str]]) -> list[str]:
    users = defaultdict(list)
    for id_, (stored, address) in changes.items():
        users[address].append(f"{id_} ({stored!r})")
    # Who has an address in its one form already is not among the changes.
    for id_, address in await connection.fetch(
        "SELECT id::text, email::text FROM users WHERE email::text = ANY($1::text[])", [*users]
    ):
        users[address].append(f"{id_} ({address!r})")
    return [
        f"{len(found)} users have the one address {address}: {_bounded(sorted(found), len(found))}"
        for address, found in sorted(users.items())
        if len(found) > 1
    ]


async def write_addresses(connection: Connection, changes: dict[str, tuple[str, str]]) -> None:
    """Give each user the one form of the address. No two of them swap theirs."""
    await connection.execute(
        """
        UPDATE users SET email = form.email
        FROM unnest($1::text[], $2::text[]) form (id, email) WHERE users.id = form.id
        """,
        [*changes],
        [address for _, address in changes.values()],
    )


def told_changes(changes: dict[str, tuple[str, str]]) -> list[str]:
    """Say what is written in another form, the first of them one by one."""
    return _first(
        [
            f"address of user {id_} is {stored!r}: it becomes {address}"
            for id_, (stored, address) in changes.items()
        ]
    )


def _first(sentences: list[str]) -> list[str]:
    more = len(sentences) - TOLD
    return [*sentences[:TOLD], f"and {more} more such address(es)"] if more > 0 else sentences


def _bounded(names: Iterable[str], number: int) -> str:
    named = list(names)[:TOLD]
    more = number - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
