"""The schema of a migrated database, against the specified one, name for name, action for action.

What is expected is written out here and owes nothing to `app/tables.py` or to the migrations.
"""

import copy

import asyncpg
import pytest

from app.database import migrations
from app.database.catalog import Catalog, Column, Table, decode, differences, encode, read_catalog

TIME = "timestamp(3) with time zone"
NOW = "CURRENT_TIMESTAMP"

ENUMS = {
    "RoomStatus": ("DRAFT", "ACTIVE", "COMPLETED", "CANCELLED"),
    "ParticipantRole": ("ADMIN", "ORGANIZER", "MODERATOR", "PARTICIPANT", "VIEWER"),
}


def text(*, default: str | None = None) -> Column:
    return Column("text", default=default)


def time(*, default: str | None = None) -> Column:
    return Column(TIME, default=default)


TEXT_OR_NULL = Column("text", nullable=True)
JSON_OR_NULL = Column("jsonb", nullable=True)
TIME_OR_NULL = Column(TIME, nullable=True)
ONE = Column("integer", default="1")
TRUE = Column("boolean", default="true")

COLUMNS = {
    "users": {
        "id": text(),
        "email": text(),
        "name": TEXT_OR_NULL,
        "avatar": TEXT_OR_NULL,
        "provider": text(default="'google'::text"),
        "providerId": TEXT_OR_NULL,
        "emailVerified": TIME_OR_NULL,
        "createdAt": time(default=NOW),
        "updatedAt": time(),
        "deletedAt": TIME_OR_NULL,
    },
    "sessions": {
        "id": text(),
        "userId": text(),
        "refreshToken": text(),
        "expiresAt": time(),
        "deviceInfo": TEXT_OR_NULL,
        "ipAddress": TEXT_OR_NULL,
        "lastUsedAt": time(default=NOW),
        "createdAt": time(default=NOW),
        "updatedAt": time(),
    },
    "token_blacklist": {
        "id": text(),
        "tokenHash": text(),
        "expiresAt": time(),
        "userId": text(),
        "reason": TEXT_OR_NULL,
        "revokedAt": time(default=NOW),
        "revokedBy": TEXT_OR_NULL,
    },
    "apps": {
        "id": text(),
        "appId": text(),
        "appSecret": text(),
        "manifest": Column("jsonb"),
        "manifestVersion": text(default="'1.0.0'::text"),
        "manifestHistory": Column("jsonb", default="'[]'::jsonb"),
        "isActive": TRUE,
        "createdAt": time(default=NOW),
        "updatedAt": time(),
        "deletedAt": TIME_OR_NULL,
    },
    "rooms": {
        "id": text(),
        "name": text(),
        "description": TEXT_OR_NULL,
        "appId": text(),
        "appSettings": Column("jsonb"),
        "appManifestVersion": text(default="'1.0.0'::text"),
        "status": Column('"RoomStatus"', default="'DRAFT'::\"RoomStatus\""),
        "isPublic": TRUE,
        "createdBy": text(),
        "createdAt": time(default=NOW),
        "updatedAt": time(),
        "deletedAt": TIME_OR_NULL,
    },
    "participants": {
        "id": text(),
        "userId": text(),
        "roomId": text(),
        "role": Column('"ParticipantRole"', default="'PARTICIPANT'::\"ParticipantRole\""),
        "metadata": JSON_OR_NULL,
        "joinedAt": time(default=NOW),
        "updatedAt": time(),
        "deletedAt": TIME_OR_NULL,
    },
    "prizes": {
        "id": text(),
        "roomId": text(),
        "name": text(),
        "description": TEXT_OR_NULL,
        "imageUrl": TEXT_OR_NULL,
        "quantity": ONE,
        "quantityRemaining": ONE,
        "metadata": JSON_OR_NULL,
        "createdAt": time(default=NOW),
        "updatedAt": time(),
        "deletedAt": TIME_OR_NULL,
    },
    "winners": {
        "id": text(),
        "roomId": text(),
        "participantId": text(),
        "prizeId": text(),
        "metadata": JSON_OR_NULL,
        "createdAt": time(default=NOW),
        "deletedAt": TIME_OR_NULL,
    },
}

UNIQUE_INDEXES = {
    "users": ["email", "provider providerId"],
    "sessions": ["refreshToken"],
    "token_blacklist": ["tokenHash"],
    "apps": ["appId", "appSecret"],
    "rooms": [],
    "participants": ["userId roomId"],
    "prizes": [],
    "winners": [],
}

PLAIN_INDEXES = {
    "users": ["email", "deletedAt"],
    "sessions": ["userId", "refreshToken", "expiresAt", "lastUsedAt"],
    "token_blacklist": ["tokenHash", "expiresAt", "userId"],
    "apps": ["appId", "isActive", "deletedAt", "manifestVersion"],
    "rooms": [
        "appId",
        "status",
        "isPublic",
        "createdBy",
        "createdAt",
        "deletedAt",
        "appManifestVersion",
        "status isPublic appId",
        "appId appManifestVersion",
    ],
    "participants": ["roomId", "userId", "role", "deletedAt", "roomId role"],
    "prizes": ["roomId", "deletedAt"],
    "winners": ["roomId", "participantId", "prizeId", "createdAt", "deletedAt", "roomId prizeId"],
}

# (table, column): what it points at, what deleting that does.
FOREIGN_KEYS = {
    ("sessions", "userId"): ("users(id)", "CASCADE"),
    ("rooms", "appId"): ('apps("appId")', "RESTRICT"),
    ("rooms", "createdBy"): ("users(id)", "RESTRICT"),
    ("participants", "userId"): ("users(id)", "CASCADE"),
    ("participants", "roomId"): ("rooms(id)", "CASCADE"),
    ("prizes", "roomId"): ("rooms(id)", "CASCADE"),
    ("winners", "roomId"): ("rooms(id)", "CASCADE"),
    ("winners", "participantId"): ("participants(id)", "CASCADE"),
    ("winners", "prizeId"): ("prizes(id)", "RESTRICT"),
}


def quoted(name: str) -> str:
    return name if name.islower() else f'"{name}"'


def index(table: str, columns: str, ending: str) -> tuple[str, str]:
    names = columns.split()
    keys = ", ".join(quoted(name) for name in names)
    return f"{table}_{'_'.join(names)}_{ending}", f"btree ({keys})"


def expected_indexes(table: str) -> dict[str, str]:
    unique = [index(table, columns, "key") for columns in UNIQUE_INDEXES[table]]
    plain = [index(table, columns, "idx") for columns in PLAIN_INDEXES[table]]
    return {name: f"UNIQUE {keys}" for name, keys in unique} | dict(plain)


def expected_constraints(table: str) -> dict[str, str]:
    foreign_keys = {
        f"{table}_{column}_fkey": f"FOREIGN KEY ({quoted(column)}) REFERENCES {target}"
        f" ON UPDATE CASCADE ON DELETE {action}"
        for (owner, column), (target, action) in FOREIGN_KEYS.items()
        if owner == table
    }
    return {f"{table}_pkey": "PRIMARY KEY (id)", **foreign_keys}


def the_plans_catalog() -> Catalog:
    """Return the state after the plan's last migration."""
    tables = {
        name: Table(columns, expected_indexes(name), expected_constraints(name))
        for name, columns in COLUMNS.items()
    }
    return copy.deepcopy(Catalog(tables, ENUMS))


DRAW_COLUMNS = {
    "id": text(),
    "roomId": text(),
    "number": Column("integer"),
    "previousNumber": Column(
        "integer", nullable=True, default="GENERATED ALWAYS AS (NULLIF((number - 1), 0))"
    ),
    "status": Column('"DrawStatus"', default="'ANNOUNCED'::\"DrawStatus\""),
    "secret": Column("bytea"),
    "commitment": text(),
    "prizes": Column("jsonb"),
    "onePrizeEach": TRUE,
    "weightKey": TEXT_OR_NULL,
    "exclusions": Column("jsonb", default="'[]'::jsonb"),
    "entropy": Column("jsonb"),
    "replaces": TEXT_OR_NULL,
    "immediate": Column("boolean", default="false"),
    "plan": TEXT_OR_NULL,
    "planDigest": TEXT_OR_NULL,
    "public": Column("bytea", nullable=True),
    "signature": TEXT_OR_NULL,
    "seed": Column("bytea", nullable=True),
    "winners": JSON_OR_NULL,
    "undrawn": Column("integer", nullable=True),
    "reason": TEXT_OR_NULL,
    "announcedAt": time(default=NOW),
    "closedAt": TIME_OR_NULL,
    "drawnAt": TIME_OR_NULL,
    "cancelledAt": TIME_OR_NULL,
    "wasPublic": Column("boolean", default="false"),
    "allowRevoked": Column("boolean", nullable=True),
    "leftOut": JSON_OR_NULL,
    "guests": Column("integer", nullable=True),
    "readyAt": TIME_OR_NULL,
    "passed": JSON_OR_NULL,
    "unawarded": JSON_OR_NULL,
    "idempotencyKey": TEXT_OR_NULL,
    "alternates": Column("integer", nullable=True),
    "nextInLine": JSON_OR_NULL,
}


def draw_tables(found: Catalog) -> dict[str, Table]:
    """The tables of draws; their checks, which the tests of draws prove, are taken as found."""
    checks = {
        name: constraint
        for name, constraint in found.tables["draws"].constraints.items()
        if name.endswith("_check")
    }
    assert sorted(checks) == [
        "draws_alternates_check",
        "draws_cancelled_check",
        "draws_closed_check",
        "draws_commitment_check",
        "draws_drawn_check",
        "draws_guests_check",
        "draws_nextInLine_check",
        "draws_number_check",
        "draws_ready_check",
        "draws_secret_check",
        "draws_seed_check",
        "draws_undrawn_check",
    ]
    named = ", ".join(f"'{name}'::\"DrawStatus\"" for name in ("ANNOUNCED", "CLOSED", "READY"))
    open_ = f"(status = ANY (ARRAY[{named}]))"
    return {
        "draws": Table(
            DRAW_COLUMNS,
            {
                "draws_roomId_number_key": 'UNIQUE btree ("roomId", number)',
                "draws_roomId_open_key": f'UNIQUE btree ("roomId") WHERE {open_}',
                "draws_idempotencyKey_key": 'UNIQUE btree ("idempotencyKey")',
                "draws_replaces_key": (
                    "UNIQUE btree (replaces) WHERE (status <> 'CANCELLED'::\"DrawStatus\")"
                ),
            },
            {
                "draws_pkey": "PRIMARY KEY (id)",
                "draws_roomId_fkey": (
                    'FOREIGN KEY ("roomId") REFERENCES rooms(id)'
                    " ON UPDATE CASCADE ON DELETE RESTRICT"
                ),
                "draws_no_gap_fkey": (
                    'FOREIGN KEY ("roomId", "previousNumber") REFERENCES draws("roomId", number)'
                ),
                **checks,
            },
        ),
        "draw_entrants": Table(
            {"drawId": text(), "part": Column("integer"), "lines": text()},
            {},
            {
                "draw_entrants_pkey": 'PRIMARY KEY ("drawId", part)',
                "draw_entrants_drawId_fkey": (
                    'FOREIGN KEY ("drawId") REFERENCES draws(id)'
                    " ON UPDATE CASCADE ON DELETE CASCADE"
                ),
            },
        ),
        "draw_claims": draw_claims(),
    }


def draw_claims() -> Table:
    key = '("drawId", "prizeId", {})'
    return Table(
        {
            "drawId": text(),
            "prizeId": text(),
            "number": Column("integer"),
            "participantId": text(),
            "status": text(),
            "settledBy": TEXT_OR_NULL,
            "at": time(),
            "passed": Column("jsonb", default="'[]'::jsonb"),
            "next": TEXT_OR_NULL,
        },
        {
            f"draw_claims_{name}_key": f"UNIQUE btree {key.format(column)}"
            for name, column in (("participantId", '"participantId"'), ("next", "next"))
        },
        {
            "draw_claims_pkey": f"PRIMARY KEY {key.format('number')}",
            "draw_claims_drawId_fkey": (
                'FOREIGN KEY ("drawId") REFERENCES draws(id) ON UPDATE CASCADE ON DELETE RESTRICT'
            ),
            "draw_claims_number_check": "CHECK ((number >= 1))",
            "draw_claims_status_check": (
                "CHECK ((status = ANY (ARRAY['DECLINED'::text, 'EXPIRED'::text])))"
            ),
            "draw_claims_settledBy_check": (
                """CHECK ((((status = 'EXPIRED'::text) = ("settledBy" IS NULL)) AND """
                """("settledBy" = ANY (ARRAY['WINNER'::text, 'STAFF'::text]))))"""
            ),
        },
    )


async def read(dsn: str) -> Catalog:
    connection = await asyncpg.connect(dsn)
    try:
        return await read_catalog(connection)
    finally:
        await connection.close()


async def test_the_plans_last_migration_gives_the_plans_schema(bare_database: str) -> None:
    await migrations.upgrade("auth_redesign")

    assert differences(the_plans_catalog(), await read(bare_database)) == []


def expect_privacy(tables: dict[str, Table]) -> None:
    for name in ("rooms", "participants"):
        tables[name].columns["showName"] = TEXT_OR_NULL
        tables[name].constraints[f"{name}_showName_check"] = (
            "CHECK ((\"showName\" = ANY (ARRAY['FULL'::text, 'INITIALS'::text, 'NONE'::text])))"
        )
    expect_retention(tables["rooms"], tables["audit_log"])
    users, participants = tables["users"], tables["participants"]
    for table in (users, participants):
        table.columns["erasedAt"] = TIME_OR_NULL
    participants.columns["wasOf"] = TEXT_OR_NULL
    participants.indexes["participants_wasOf_idx"] = 'btree ("wasOf") WHERE ("wasOf" IS NOT NULL)'
    users.columns["mayReturn"] = Column("boolean", default="false")
    users.indexes["users_to_erase_idx"] = (
        'btree ("deletedAt") WHERE (("deletedAt" IS NOT NULL) AND ("erasedAt" IS NULL))'
    )
    users.constraints["users_erased_check"] = (
        'CHECK ((("erasedAt" IS NULL) OR (("deletedAt" IS NOT NULL) AND'
        ' (email = (id || \'@erased.invalid\'::text)) AND (NOT "isAdmin") AND (NOT "mayReturn")'
        ' AND (num_nonnulls(name, avatar, "providerId", "emailVerified") = 0))))'
    )
    participants.constraints["participants_erased_check"] = (
        'CHECK ((("erasedAt" IS NULL) OR (num_nonnulls(email, name, metadata, "ownMetadata") = 0)))'
    )


def expect_guests(users: Table, rooms: Table) -> None:
    rooms.columns["sendsMail"] = TRUE
    rooms.columns["guests"] = Column("boolean", default="false")
    users.columns["guestOf"] = TEXT_OR_NULL
    users.indexes["users_guestOf_idx"] = 'btree ("guestOf") WHERE ("guestOf" IS NOT NULL)'
    users.constraints["users_guestOf_fkey"] = reference("guestOf", "rooms")
    users.constraints["users_guest_check"] = (
        'CHECK ((("guestOf" IS NULL) OR ((NOT "isAdmin") AND'
        ' (num_nonnulls("emailVerified", "providerId", avatar) = 0))))'
    )


def add_claims(prizes: Table, winners: Table) -> None:
    prizes.columns["claim"] = JSON_OR_NULL
    prizes.constraints["prizes_claim_check"] = (
        "CHECK (((claim IS NULL) OR COALESCE((((claim ->> 'within'::text) ~ "
        "'^P([0-9]{1,3}D)?(T([0-9]{1,4}H)?([0-9]{1,6}M)?)?$'::text) AND "
        "((claim ->> 'within'::text) ~ '[0-9]'::text)), false)))"
    )
    for name in ("claimStatus", "claimSettledBy"):
        winners.columns[name] = TEXT_OR_NULL
    for name in ("claimBy", "claimSettledAt"):
        winners.columns[name] = TIME_OR_NULL
    winners.constraints["winners_claimStatus_check"] = (
        """CHECK (("claimStatus" = ANY (ARRAY['PENDING'::text, 'CONFIRMED'::text, """
        "'DECLINED'::text, 'EXPIRED'::text])))"
    )
    winners.constraints["winners_claimSettledBy_check"] = (
        """CHECK (("claimSettledBy" = ANY (ARRAY['WINNER'::text, 'STAFF'::text])))"""
    )
    winners.constraints["winners_claim_check"] = (
        'CHECK (((("claimStatus" IS NULL) = ("claimBy" IS NULL)) AND ((("claimStatus" IS '
        """NULL) OR ("claimStatus" = 'PENDING'::text)) = ("claimSettledAt" IS NULL)) AND """
        """(COALESCE(("claimStatus" = ANY (ARRAY['CONFIRMED'::text, 'DECLINED'::text])), """
        'false) = ("claimSettledBy" IS NOT NULL)) AND (("deletedAt" IS NOT NULL) OR '
        """COALESCE(("claimStatus" <> ALL (ARRAY['DECLINED'::text, 'EXPIRED'::text])), """
        "true))))"
    )
    winners.columns["drawId"] = TEXT_OR_NULL
    winners.constraints["winners_drawId_check"] = (
        'CHECK ((("drawId" IS NULL) OR ("claimStatus" IS NOT NULL)))'
    )
    winners.constraints["winners_drawId_fkey"] = (
        'FOREIGN KEY ("drawId") REFERENCES draws(id) ON UPDATE CASCADE ON DELETE RESTRICT'
    )
    winners.indexes["winners_claimBy_idx"] = (
        """btree ("claimBy") WHERE (("claimStatus" = 'PENDING'::text) AND """
        '("deletedAt" IS NULL))'
    )
    winners.indexes["winners_roomId_claimStatus_createdAt_id_idx"] = (
        'btree ("roomId", "claimStatus", "createdAt" DESC, id DESC) '
        'WHERE ("claimStatus" IS NOT NULL)'
    )


def expect_retention(rooms: Table, audit_log: Table) -> None:
    rooms.columns["forgetAfter"] = TEXT_OR_NULL
    rooms.columns["endedAt"] = TIME_OR_NULL
    rooms.columns["forgottenAt"] = TIME_OR_NULL
    rooms.constraints["rooms_forgetAfter_check"] = (
        "CHECK ((\"forgetAfter\" ~ '^P[1-9][0-9]{0,3}D$'::text))"
    )
    rooms.indexes["rooms_to_forget_idx"] = (
        'btree ("endedAt") WHERE (("forgetAfter" IS NOT NULL) AND ("forgottenAt" IS NULL))'
    )
    audit_log.indexes["audit_log_details_idx"] = (
        'btree ("createdAt") WHERE ((num_nonnulls(before, after) > 0)'
        " AND (\"tableName\" <> ALL (ARRAY['audit_log'::text, 'draws'::text])))"
    )


async def test_all_migrations_give_the_target_schema(bare_database: str) -> None:
    expected = the_plans_catalog()
    users, sessions, prizes, winners = (
        expected.tables[name] for name in ("users", "sessions", "prizes", "winners")
    )
    for table, repeated in (
        ("users", "users_email_idx"),
        ("sessions", "sessions_refreshToken_idx"),
        ("token_blacklist", "token_blacklist_tokenHash_idx"),
        ("apps", "apps_appId_idx"),
    ):
        del expected.tables[table].indexes[repeated]
    users.columns["isAdmin"] = Column("boolean", default="false")
    apps = expected.tables["apps"]
    apps.columns["manifestPublishedAt"] = time(default=NOW)
    apps.columns["manifestDeprecatedAt"] = TIME_OR_NULL
    apps.columns["manifestDeprecationReason"] = TEXT_OR_NULL
    sessions.columns["previousRefreshToken"] = TEXT_OR_NULL
    sessions.columns["rotatedAt"] = TIME_OR_NULL
    sessions.indexes["sessions_previousRefreshToken_key"] = 'UNIQUE btree ("previousRefreshToken")'
    prizes.constraints["prizes_quantity_check"] = "CHECK ((quantity >= 1))"
    prizes.constraints["prizes_quantityRemaining_check"] = (
        'CHECK ((("quantityRemaining" >= 0) AND ("quantityRemaining" <= quantity)))'
    )
    add_claims(prizes, winners)
    winners.indexes["winners_participantId_prizeId_key"] = (
        'UNIQUE btree ("participantId", "prizeId") WHERE ("deletedAt" IS NULL)'
    )
    expected.tables["rooms"].indexes["rooms_createdAt_id_idx"] = (
        'btree ("createdAt" DESC, id DESC) WHERE (("deletedAt" IS NULL) AND "isPublic")'
    )
    winners.indexes["winners_roomId_createdAt_id_idx"] = (
        'btree ("roomId", "createdAt" DESC, id DESC) WHERE ("deletedAt" IS NULL)'
    )
    participants = expected.tables["participants"]
    participants.indexes["participants_roomId_joinedAt_id_idx"] = (
        'btree ("roomId", "joinedAt", id) WHERE ("deletedAt" IS NULL)'
    )
    participants.columns["userId"] = TEXT_OR_NULL
    participants.columns["email"] = TEXT_OR_NULL
    participants.columns["ownMetadata"] = JSON_OR_NULL
    participants.columns["name"] = TEXT_OR_NULL
    participants.columns["acceptedAt"] = TIME_OR_NULL
    participants.columns["participantUntil"] = TIME_OR_NULL
    expected.tables["rooms"].columns["publicUntil"] = TIME_OR_NULL
    participants.indexes["participants_email_roomId_key"] = (
        'UNIQUE btree (email, "roomId") WHERE (email IS NOT NULL)'
    )
    participants.constraints["participants_person_check"] = (
        'CHECK ((("userId" IS NOT NULL) OR (email IS NOT NULL) OR ("deletedAt" IS NOT NULL)'
        ' OR ("erasedAt" IS NOT NULL)))'
    )
    expected.tables["audit_log"] = Table(
        columns={
            "id": Column("bigint", default="GENERATED ALWAYS AS IDENTITY"),
            "actor": text(),
            "action": text(),
            "tableName": text(),
            "rowId": text(),
            "before": JSON_OR_NULL,
            "after": JSON_OR_NULL,
            "createdAt": time(default=NOW),
        },
        indexes=dict([index("audit_log", "tableName rowId", "idx")]),
        constraints={"audit_log_pkey": "PRIMARY KEY (id)"},
    )

    expected.tables["room_counts"] = Table(
        columns={
            "slot": Column("bigint", default="GENERATED ALWAYS AS IDENTITY"),
            "roomId": text(),
            **{name: Column("integer") for name in ("participants", "prizes", "winners")},
        },
        indexes=dict([index("room_counts", "roomId", "idx")]),
        constraints={"room_counts_pkey": "PRIMARY KEY (slot)"},
    )
    expected.tables.update(event_tables())
    expected.tables.update(
        {**mail_tables(), **webhook_tables(), "invitations": expected_invitations()}
    )
    expect_privacy(expected.tables)
    expect_guests(users, expected.tables["rooms"])
    expected.tables["task_runs"] = expected_task_runs()
    expected.tables["idempotency_keys"] = expected_idempotency_keys()
    expected.tables["identities"] = expected_identities()
    expected.enums["TaskOutcome"] = (
        "RUNNING",
        "SUCCEEDED",
        "FAILED",
        "INTERRUPTED",
        "ABANDONED",
    )
    expected.enums["DrawStatus"] = ("ANNOUNCED", "CLOSED", "READY", "DRAWN", "CANCELLED")

    await migrations.upgrade()

    found = await read(bare_database)
    expected.tables.update(draw_tables(found))
    expected.tables.update(quiz_tables())
    expected.tables["events"].indexes["events_quiz_idx"] = (
        "btree (\"position\") WHERE (type ~~ 'quiz.%'::text)"
    )
    audited = {name for name, table in found.tables.items() if table.triggers}
    assert audited == {*the_plans_catalog().tables, "audit_log", *OF_OURS}
    for name in audited:
        expected.tables[name].triggers.update(found.tables[name].triggers)
    assert set(found.functions) == {
        "announce_app()",
        "record_change()",
        "refuse_change_of_record()",
        "keep_record()",
        "is_of_the_erased(audit_log)",
        "redact_audit_log(bigint[],text,text,text,text)",
        "ids_in(text)",
        "is_old(audit_log)",
        "note_end_of_room()",
        "tell_of_members()",
        "tell_of_shown_name()",
        "shown_name(text,text)",
        "count_rows()",
        "count_in_room(text,text,bigint)",
        "cancel_draws_of_deleted_room()",
        "keep_draw()",
        "keep_guest_in_place()",
        "record_account_in_draw()",
        "record_deleted_room_in_draw()",
        "record_draw_by_hand()",
        "record_emptied_participants_in_draw()",
        "record_emptied_prizes_in_draw()",
        "record_emptied_winners_in_draw()",
        "record_participants_in_draw()",
        "record_prizes_in_draw()",
        "record_rooms_in_draw()",
        "record_winners_in_draw()",
        "note_end_of_participation()",
        "note_end_of_publicity()",
        "refuse_change_of_claim()",
        "refuse_change_of_draw()",
        "tell(text,text,text,jsonb)",
        "tell_of_room()",
        "tell_of_prize()",
        "tell_of_draw()",
        "tell_of_participants()",
        "tell_of_winners()",
        "tell_of_deleted_person()",
        "tell_of_emptying()",
        "is_room(text)",
        "tell_of_quiz()",
        "tell_of_answer()",
    }
    expected.functions.update(found.functions)
    assert differences(expected, found) == []


OF_OURS = (
    *("draws", "draw_entrants", "draw_claims", "quizzes", "rounds", "answers", "invitations"),
    "webhooks",
)
"""Tables that we added, with triggers."""


def reference(column: str, table: str) -> str:
    return f'FOREIGN KEY ("{column}") REFERENCES {table}(id) ON UPDATE CASCADE ON DELETE CASCADE'


def quiz_tables() -> dict[str, Table]:
    number = Column("integer")
    return {
        "quizzes": Table(
            {
                "id": text(),
                "roomId": text(),
                "number": number,
                "startedAt": time(default=NOW),
                "finishedAt": TIME_OR_NULL,
            },
            {"quizzes_roomId_number_key": 'UNIQUE btree ("roomId", number)'},
            {
                "quizzes_pkey": "PRIMARY KEY (id)",
                "quizzes_roomId_fkey": reference("roomId", "rooms"),
                "quizzes_number_check": "CHECK ((number >= 1))",
                "quizzes_finishedAt_check": 'CHECK (("finishedAt" >= "startedAt"))',
            },
        ),
        "rounds": Table(
            {
                "id": text(),
                "roomId": text(),
                "quizId": text(),
                "question": Column("jsonb"),
                **dict.fromkeys(("correctIndex", "questionIndex", "totalQuestions"), number),
                "shownAt": time(),
                "endsAt": TIME_OR_NULL,
                "closedAt": TIME_OR_NULL,
            },
            {
                "rounds_roomId_open_key": 'UNIQUE btree ("roomId") WHERE ("closedAt" IS NULL)',
                "rounds_roomId_shownAt_id_idx": 'btree ("roomId", "shownAt", id)',
                "rounds_quizId_idx": 'btree ("quizId")',
            },
            {
                "rounds_pkey": "PRIMARY KEY (id)",
                "rounds_roomId_fkey": reference("roomId", "rooms"),
                "rounds_quizId_fkey": reference("quizId", "quizzes"),
                "rounds_correctIndex_check": 'CHECK (("correctIndex" >= 0))',
                "rounds_questionIndex_check": (
                    'CHECK ((("questionIndex" >= 0) AND ("questionIndex" < "totalQuestions")))'
                ),
                "rounds_endsAt_check": 'CHECK (("endsAt" >= "shownAt"))',
                "rounds_closedAt_check": (
                    'CHECK ((("closedAt" >= "shownAt") AND '
                    '(("endsAt" IS NULL) OR ("closedAt" <= "endsAt"))))'
                ),
            },
        ),
        "answers": Table(
            {
                "id": text(),
                "roundId": text(),
                "participantId": text(),
                "answerIndex": Column("integer", nullable=True),
                "responseTimeMs": number,
                **dict.fromkeys(("isCorrect", "isWinning"), Column("boolean")),
                "answeredAt": time(),
                "winnerId": TEXT_OR_NULL,
            },
            {
                "answers_roundId_participantId_key": 'UNIQUE btree ("roundId", "participantId")',
                "answers_roundId_winning_key": 'UNIQUE btree ("roundId") WHERE "isWinning"',
                "answers_roundId_answeredAt_id_idx": 'btree ("roundId", "answeredAt", id)',
                "answers_participantId_idx": 'btree ("participantId")',
            },
            {
                "answers_pkey": "PRIMARY KEY (id)",
                "answers_roundId_fkey": reference("roundId", "rounds"),
                "answers_participantId_fkey": reference("participantId", "participants"),
                "answers_answerIndex_check": 'CHECK (("answerIndex" >= 0))',
                "answers_responseTimeMs_check": 'CHECK (("responseTimeMs" >= 0))',
                "answers_isWinning_check": 'CHECK (("isCorrect" OR (NOT "isWinning")))',
                "answers_winnerId_check": 'CHECK (("isWinning" OR ("winnerId" IS NULL)))',
            },
        ),
    }


def event_tables() -> dict[str, Table]:
    identity = Column("bigint", default="GENERATED ALWAYS AS IDENTITY")
    return {
        "outbox": Table(
            columns={
                "seq": identity,
                "id": text(default="(gen_random_uuid())::text"),
                "type": text(),
                "roomId": TEXT_OR_NULL,
                "subject": TEXT_OR_NULL,
                "details": JSON_OR_NULL,
                "createdAt": time(default=NOW),
            },
            indexes={},
            constraints={"outbox_pkey": "PRIMARY KEY (seq)"},
        ),
        "events": Table(
            columns={
                "position": identity,
                **{name: text() for name in ("id", "type", "roomId", "audience")},
                "subject": TEXT_OR_NULL,
                "person": TEXT_OR_NULL,
                "content": Column("json"),
                "createdAt": time(),
            },
            indexes={
                "events_roomId_position_idx": 'btree ("roomId", "position")',
                "events_person_position_idx": (
                    'btree (person, "position") WHERE (person IS NOT NULL)'
                ),
                "events_subject_idx": "btree (subject) WHERE (person IS NULL)",
            },
            constraints={
                "events_pkey": 'PRIMARY KEY ("position")',
                "events_audience_check": (
                    "CHECK ((audience = ANY (ARRAY['readers'::text, 'members'::text])))"
                ),
            },
        ),
        "event_log": Table(
            columns={"id": Column("integer"), "epoch": text()},
            indexes={},
            constraints={
                "event_log_pkey": "PRIMARY KEY (id)",
                "event_log_id_check": "CHECK ((id = 1))",
            },
        ),
        "event_tickets": Table(
            columns={"id": text(), "token": Column("jsonb"), "expiresAt": time()},
            indexes={"event_tickets_expiresAt_idx": 'btree ("expiresAt")'},
            constraints={"event_tickets_pkey": "PRIMARY KEY (id)"},
        ),
    }


def mail_tables() -> dict[str, Table]:
    return {
        "sign_in_codes": Table(
            columns={
                **{name: text() for name in ("email", "id", "kid")},
                "expiresAt": time(),
                "usedAt": TIME_OR_NULL,
                "tries": Column("integer", default="0"),
                "asked": ONE,
                "askedSince": time(default=NOW),
            },
            indexes={
                "sign_in_codes_askedSince_idx": 'btree ("askedSince")',
                "sign_in_codes_id_key": "UNIQUE btree (id)",
            },
            constraints={
                "sign_in_codes_pkey": "PRIMARY KEY (email)",
                "sign_in_codes_tries_check": "CHECK (((tries >= 0) AND (tries <= 5)))",
                "sign_in_codes_asked_check": "CHECK (((asked >= 1) AND (asked <= 10)))",
            },
        ),
        "mails": Table(
            columns={
                **{name: text() for name in ("id", "kind", "cause", "language")},
                "roomId": TEXT_OR_NULL,
                "recipient": TEXT_OR_NULL,
                "status": text(),
                "attempts": Column("integer", default="0"),
                "nextAttemptAt": time(default=NOW),
                "sentAt": TIME_OR_NULL,
                "lastError": TEXT_OR_NULL,
                "createdAt": time(default=NOW),
                "chargedTo": TEXT_OR_NULL,
                "countedAt": TIME_OR_NULL,
            },
            indexes={
                **{
                    f"mails_{column}_countedAt_idx": (
                        f'btree ({shown}, "countedAt") WHERE ("countedAt" IS NOT NULL)'
                    )
                    for column, shown in (("chargedTo", '"chargedTo"'), ("recipient", "recipient"))
                },
                "mails_due_idx": ("btree (\"nextAttemptAt\") WHERE (status = 'PENDING'::text)"),
                "mails_codes_recipient_idx": ("btree (recipient) WHERE (kind = 'code'::text)"),
                "mails_urgent_due_idx": (
                    f"btree (\"nextAttemptAt\") WHERE ((status = 'PENDING'::text) AND {URGENT})"
                ),
                "mails_kind_cause_key": "UNIQUE btree (kind, cause)",
                "mails_createdAt_idx": 'btree ("createdAt")',
                "mails_roomId_idx": 'btree ("roomId")',
            },
            constraints={
                "mails_pkey": "PRIMARY KEY (id)",
                "mails_roomId_fkey": reference("roomId", "rooms"),
                "mails_kind_check": (
                    "CHECK ((kind = ANY (ARRAY['code'::text, 'decision'::text, "
                    "'invitation'::text, 'reminder'::text, 'you-won'::text, "
                    "'provider-linked'::text, 'session-stolen'::text, 'sessions-ended'::text])))"
                ),
                "mails_roomId_check": f'CHECK (({URGENT} = ("roomId" IS NULL)))',
                "mails_status_check": (
                    "CHECK ((status = ANY (ARRAY['KEPT'::text, 'PENDING'::text, 'SENT'::text, "
                    "'FAILED'::text, 'DROPPED'::text])))"
                ),
                "mails_sentAt_check": (
                    "CHECK (((status = 'SENT'::text) = (\"sentAt\" IS NOT NULL)))"
                ),
                "mails_recipient_check": (
                    "CHECK (((status <> 'SENT'::text) OR (recipient IS NOT NULL)))"
                ),
                "mails_attempts_check": "CHECK ((attempts >= 0))",
            },
        ),
        "mail_stops": Table(
            columns={"id": text(), "kind": text(), "createdAt": time(default=NOW)},
            indexes={},
            constraints={
                "mail_stops_pkey": "PRIMARY KEY (id)",
                "mail_stops_kind_check": (
                    "CHECK ((kind = ANY (ARRAY['decision'::text, 'invitation'::text, "
                    "'reminder'::text, 'you-won'::text])))"
                ),
            },
        ),
    }


def webhook_tables() -> dict[str, Table]:
    number = Column("integer", default="0")
    return {
        "webhooks": Table(
            columns={
                **{name: text() for name in ("id", "appId", "url", "secret")},
                "types": Column("text[]", default="'{}'::text[]"),
                **dict.fromkeys(("formerSecret", "disabledReason"), TEXT_OR_NULL),
                **dict.fromkeys(("formerUntil", "failingSince", "disabledAt"), TIME_OR_NULL),
                "createdAt": time(default=NOW),
            },
            indexes={"webhooks_appId_createdAt_id_idx": 'btree ("appId", "createdAt", id)'},
            constraints={
                "webhooks_pkey": "PRIMARY KEY (id)",
                "webhooks_appId_fkey": (
                    'FOREIGN KEY ("appId") REFERENCES apps("appId") '
                    "ON UPDATE CASCADE ON DELETE CASCADE"
                ),
                "webhooks_formerSecret_check": (
                    'CHECK ((("formerSecret" IS NULL) = ("formerUntil" IS NULL)))'
                ),
                "webhooks_disabledReason_check": (
                    'CHECK (("disabledReason" = ANY '
                    "(ARRAY['ASKED'::text, 'GONE'::text, 'FAILING'::text])))"
                ),
            },
        ),
        "webhook_deliveries": Table(
            columns={
                **{name: text() for name in ("id", "webhookId", "eventId", "type")},
                "occurredAt": time(),
                "data": Column("jsonb"),
                "status": text(default="'PENDING'::text"),
                "attempts": number,
                "nextAttemptAt": time(default=NOW),
                "claimedUntil": TIME_OR_NULL,
                "lastStatus": Column("integer", nullable=True),
                "lastError": TEXT_OR_NULL,
                "deliveredAt": TIME_OR_NULL,
                "createdAt": time(default=NOW),
            },
            indexes={
                "webhook_deliveries_webhookId_eventId_key": (
                    'UNIQUE btree ("webhookId", "eventId")'
                ),
                "webhook_deliveries_webhookId_createdAt_id_idx": (
                    'btree ("webhookId", "createdAt", id)'
                ),
                "webhook_deliveries_webhookId_status_createdAt_id_idx": (
                    'btree ("webhookId", status, "createdAt", id)'
                ),
                "webhook_deliveries_createdAt_idx": 'btree ("createdAt")',
                "webhook_deliveries_webhookId_nextAttemptAt_idx": (
                    'btree ("webhookId", "nextAttemptAt") WHERE (status = \'PENDING\'::text)'
                ),
                "webhook_deliveries_claimed_idx": (
                    'btree ("webhookId") WHERE ("claimedUntil" IS NOT NULL)'
                ),
            },
            constraints={
                "webhook_deliveries_pkey": "PRIMARY KEY (id)",
                "webhook_deliveries_webhookId_fkey": reference("webhookId", "webhooks"),
                "webhook_deliveries_status_check": (
                    "CHECK ((status = ANY "
                    "(ARRAY['PENDING'::text, 'DELIVERED'::text, 'FAILED'::text])))"
                ),
                "webhook_deliveries_attempts_check": "CHECK ((attempts >= 0))",
            },
        ),
        "webhook_cursor": Table(
            columns={"id": Column("integer"), "position": Column("bigint")},
            indexes={},
            constraints={
                "webhook_cursor_pkey": "PRIMARY KEY (id)",
                "webhook_cursor_id_check": "CHECK ((id = 1))",
            },
        ),
    }


URGENT = (
    "(kind = ANY (ARRAY['code'::text, 'provider-linked'::text, 'session-stolen'::text, "
    "'sessions-ended'::text]))"
)


def expected_invitations() -> Table:
    number_or_null = Column("integer", nullable=True)
    return Table(
        columns={
            **{name: text() for name in ("id", "roomId", "codeHash", "createdBy")},
            "role": Column('"ParticipantRole"', default="'PARTICIPANT'::\"ParticipantRole\""),
            "maxUses": number_or_null,
            "uses": Column("integer", default="0"),
            "expiresAt": TIME_OR_NULL,
            "revokedAt": TIME_OR_NULL,
            "createdAt": time(default=NOW),
        },
        indexes={
            "invitations_codeHash_key": 'UNIQUE btree ("codeHash")',
            "invitations_createdBy_idx": 'btree ("createdBy")',
            "invitations_roomId_createdAt_id_idx": 'btree ("roomId", "createdAt", id)',
        },
        constraints={
            "invitations_pkey": "PRIMARY KEY (id)",
            "invitations_roomId_fkey": reference("roomId", "rooms"),
            "invitations_createdBy_fkey": reference("createdBy", "users"),
            "invitations_maxUses_check": 'CHECK (("maxUses" >= 1))',
            "invitations_uses_check": 'CHECK (((uses >= 0) AND (uses <= "maxUses")))',
            "invitations_expiresAt_check": 'CHECK (("expiresAt" > "createdAt"))',
        },
    )


def expected_task_runs() -> Table:
    return Table(
        columns={
            "id": text(),
            "job": text(),
            "slot": TIME_OR_NULL,
            "runner": text(),
            "startedAt": time(default=NOW),
            "finishedAt": TIME_OR_NULL,
            "rows": Column("integer", default="0"),
            "outcome": Column('"TaskOutcome"', default="'RUNNING'::\"TaskOutcome\""),
            "error": TEXT_OR_NULL,
        },
        indexes={
            "task_runs_job_key": (
                "UNIQUE btree (job) WHERE (outcome = 'RUNNING'::\"TaskOutcome\")"
            ),
            "task_runs_job_slot_key": (
                "UNIQUE btree (job, slot) WHERE (outcome = 'SUCCEEDED'::\"TaskOutcome\")"
            ),
            "task_runs_job_startedAt_idx": 'btree (job, "startedAt")',
            "task_runs_finishedAt_idx": 'btree ("finishedAt")',
        },
        constraints={
            "task_runs_pkey": "PRIMARY KEY (id)",
            "task_runs_finishedAt_check": (
                'CHECK (((outcome = \'RUNNING\'::"TaskOutcome") = ("finishedAt" IS NULL)))'
            ),
        },
    )


def expected_identities() -> Table:
    unique = (
        index("identities", names, "key") for names in ("provider subject", "userId provider")
    )
    return Table(
        columns={
            "id": text(),
            "userId": text(),
            "provider": text(),
            "subject": text(),
            "createdAt": time(default=NOW),
        },
        indexes={name: f"UNIQUE {keys}" for name, keys in unique},
        constraints={
            "identities_pkey": "PRIMARY KEY (id)",
            "identities_userId_fkey": (
                'FOREIGN KEY ("userId") REFERENCES users(id) ON UPDATE CASCADE ON DELETE CASCADE'
            ),
        },
    )


def expected_idempotency_keys() -> Table:
    return Table(
        columns={
            "id": text(),
            "userId": text(),
            "request": text(),
            "status": Column("integer"),
            "headers": Column("jsonb"),
            "body": TEXT_OR_NULL,
            "summary": JSON_OR_NULL,
            "createdAt": time(default=NOW),
            "expiresAt": time(),
        },
        indexes={
            "idempotency_keys_userId_expiresAt_idx": 'btree ("userId", "expiresAt")',
            "idempotency_keys_expiresAt_idx": 'btree ("expiresAt")',
            "idempotency_keys_ids_idx": "gin (ids_in(body)) WHERE (body IS NOT NULL)",
        },
        constraints={
            "idempotency_keys_pkey": "PRIMARY KEY (id)",
            "idempotency_keys_userId_fkey": (
                'FOREIGN KEY ("userId") REFERENCES users(id) ON UPDATE CASCADE ON DELETE CASCADE'
            ),
        },
    )


SMALL_SCHEMA = """
    CREATE TYPE "Mood" AS ENUM ('SAD', 'HAPPY');
    CREATE TABLE people (
        id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name VARCHAR(20) COLLATE "C" NOT NULL,
        shout TEXT GENERATED ALWAYS AS (chr(65)) STORED,
        mood "Mood" DEFAULT 'SAD',
        age INTEGER DEFAULT 1 CONSTRAINT grown_up CHECK (age > 0)
    );
    CREATE TABLE pets (owner INTEGER CONSTRAINT owned REFERENCES people (id) ON DELETE CASCADE);
    CREATE INDEX by_age ON people (lower(name), age DESC) WHERE age > 3;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER hold BEFORE DELETE ON pets FOR EACH ROW EXECUTE FUNCTION refuse();
"""


async def test_a_catalog_holds_what_postgresql_says(empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute(SMALL_SCHEMA)

    catalog = await read_catalog(connection)
    await connection.close()

    assert catalog.enums == {"Mood": ("SAD", "HAPPY")}
    assert catalog.tables["people"] == Table(
        columns={
            "id": Column("integer", default="GENERATED ALWAYS AS IDENTITY"),
            "name": Column('character varying(20) COLLATE "C"'),
            "shout": Column("text", nullable=True, default="GENERATED ALWAYS AS (chr(65))"),
            "mood": Column('"Mood"', nullable=True, default="'SAD'::\"Mood\""),
            "age": Column("integer", nullable=True, default="1"),
        },
        indexes={"by_age": "btree (lower((name)::text), age DESC) WHERE (age > 3)"},
        constraints={"people_pkey": "PRIMARY KEY (id)", "grown_up": "CHECK ((age > 0))"},
    )
    assert catalog.tables["pets"].constraints == {
        "owned": "FOREIGN KEY (owner) REFERENCES people(id) ON DELETE CASCADE"
    }
    assert catalog.tables["pets"].triggers == {
        "hold": "CREATE TRIGGER hold BEFORE DELETE ON pets FOR EACH ROW EXECUTE FUNCTION refuse()"
    }
    assert [*catalog.functions] == ["refuse()"]
    assert catalog.functions["refuse()"][0] == "CREATE OR REPLACE FUNCTION refuse()"


async def test_another_schema_reads_the_same_and_the_search_path_stays(
    empty_database: str,
) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute(SMALL_SCHEMA)
    await connection.execute("CREATE SCHEMA other")
    async with connection.transaction():
        await connection.execute("SET LOCAL search_path = other")
        await connection.execute(SMALL_SCHEMA)
        await read_catalog(connection)
        assert await connection.fetchval("SHOW search_path") == "other"

    assert await read_catalog(connection, "other") == await read_catalog(connection)
    assert await connection.fetchval("SHOW search_path") == '"$user", public'
    await connection.close()


async def test_the_bookkeeping_of_piccolo_and_prisma_is_not_in_the_catalog(
    empty_database: str,
) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute("CREATE TABLE migration (id INT PRIMARY KEY, name TEXT UNIQUE)")
    await connection.execute("CREATE TABLE _prisma_migrations (id INT PRIMARY KEY)")

    catalog = await read_catalog(connection)
    await connection.close()

    assert catalog == Catalog(tables={}, enums={})


async def test_a_written_catalog_reads_back_the_same(empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute(SMALL_SCHEMA)
    catalog = await read_catalog(connection)
    await connection.close()

    assert decode(encode(catalog)) == catalog


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        ("DROP TABLE pets", ["table pets is missing"]),
        ("CREATE TABLE toys ()", ["table toys is not in the migrations"]),
        ("ALTER TABLE people DROP mood", ["column people.mood is missing"]),
        ("ALTER TABLE people ADD nick TEXT", ["column people.nick is not in the migrations"]),
        (
            "ALTER TABLE people ALTER age TYPE BIGINT",
            ["type of people.age is bigint, expected integer"],
        ),
        ("ALTER TABLE people ALTER age SET DEFAULT 2", ["default of people.age is 2, expected 1"]),
        (
            "ALTER TABLE people ALTER age DROP DEFAULT",
            ["default of people.age is none, expected 1"],
        ),
        (
            "ALTER TABLE people ALTER name DROP NOT NULL",
            ["column people.name allows NULL and should not"],
        ),
        (
            "ALTER TABLE people ALTER age SET NOT NULL",
            ["column people.age is NOT NULL and should allow NULL"],
        ),
        ("DROP INDEX by_age", ["index by_age is missing"]),
        ("CREATE INDEX extra ON pets (owner)", ["index extra is not in the migrations"]),
        (
            "DROP INDEX by_age; CREATE UNIQUE INDEX by_age ON people (age)",
            [
                (
                    "index by_age is UNIQUE btree (age), expected "
                    "btree (lower((name)::text), age DESC) WHERE (age > 3)"
                )
            ],
        ),
        (
            "ALTER TABLE people DROP CONSTRAINT grown_up",
            ["constraint grown_up of people is missing"],
        ),
        (
            "ALTER TABLE pets ADD CONSTRAINT always CHECK (true) NOT VALID",
            ["constraint always of pets is not in the migrations"],
        ),
        (
            (
                "ALTER TABLE pets DROP CONSTRAINT owned,"
                " ADD CONSTRAINT owned FOREIGN KEY (owner) REFERENCES people ON DELETE RESTRICT"
            ),
            [
                (
                    "constraint owned of pets is"
                    " FOREIGN KEY (owner) REFERENCES people(id) ON DELETE RESTRICT, expected"
                    " FOREIGN KEY (owner) REFERENCES people(id) ON DELETE CASCADE"
                )
            ],
        ),
        ("CREATE TYPE \"Size\" AS ENUM ('BIG')", ["enum Size is not in the migrations"]),
        (
            "ALTER TYPE \"Mood\" ADD VALUE 'ANGRY'",
            ["value ANGRY of enum Mood is not in the migrations"],
        ),
        (
            "ALTER TYPE \"Mood\" RENAME VALUE 'HAPPY' TO 'GLAD'",
            [
                "value HAPPY of enum Mood is missing",
                "value GLAD of enum Mood is not in the migrations",
            ],
        ),
        (
            (
                "ALTER TYPE \"Mood\" RENAME VALUE 'SAD' TO 'X';"
                "ALTER TYPE \"Mood\" RENAME VALUE 'HAPPY' TO 'SAD';"
                "ALTER TYPE \"Mood\" RENAME VALUE 'X' TO 'HAPPY';"
                "ALTER TABLE people ALTER mood SET DEFAULT 'SAD'"
            ),
            ["enum Mood is ordered HAPPY, SAD, expected SAD, HAPPY"],
        ),
    ],
)
async def test_a_difference_is_told_by_name(
    empty_database: str, change: str, sentences: list[str]
) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute(SMALL_SCHEMA)
    before = await read_catalog(connection)
    await connection.execute(change)

    after = await read_catalog(connection)
    await connection.close()

    assert differences(before, after) == sentences


async def test_an_index_that_could_not_be_built_is_a_difference(empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute("CREATE TABLE twins (n INT); INSERT INTO twins VALUES (1), (1)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY one ON twins (n)")

    catalog = await read_catalog(connection)
    await connection.close()

    assert catalog.tables["twins"].indexes == {"one": "UNIQUE btree (n) INVALID"}
