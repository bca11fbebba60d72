"""Mails that are to be sent, and who wants none of a kind.

A mail is of what caused it, and that once. A room sends none if its organizer says so.
"""

import re
from pathlib import Path
from runpy import run_path

from piccolo.columns import Boolean, ForeignKey, Integer, Text

from app.database.columns import REQUIRED, Moment
from app.database.sql_migration import SqlMigration
from app.tables import Room

ID = "2026-11-29T11:30:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "mails"

events = run_path(
    str(Path(__file__).with_name("app_2026_11_29t01_00_00_000000_events.py")),
)

(_TELL,) = re.findall(
    r"CREATE (FUNCTION tell_of_room\(\).*?\nEND \$\$;\n)", events["FUNCTIONS"], re.DOTALL
)
_BEFORE = events["ROOM_MEMBERS"]
_AFTER = {**_BEFORE, "sendsMail": ("sendsMail",)}


def _telling_of(members: dict[str, tuple[str, ...]]) -> str:
    before, after = (events["_changed"](each, "OLD", "NEW") for each in (_BEFORE, members))
    trigger = events["_by_row"]("rooms", "tell_of_room", members, "status")
    return f"""
CREATE OR REPLACE {_TELL.replace(before, after)}
DROP TRIGGER "rooms_told" ON "rooms";
{trigger}
"""


UP = f"""
CREATE TABLE "mails" (
    "id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "roomId" TEXT NOT NULL,
    "cause" TEXT NOT NULL,
    "language" TEXT NOT NULL,
    "recipient" TEXT,
    "status" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "nextAttemptAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "sentAt" TIMESTAMPTZ(3),
    "lastError" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "mails_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "mails_kind_cause_key" UNIQUE ("kind", "cause"),
    CONSTRAINT "mails_roomId_fkey" FOREIGN KEY ("roomId") REFERENCES "rooms" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "mails_kind_check" CHECK ("kind" IN ('you-won')),
    CONSTRAINT "mails_status_check"
        CHECK ("status" IN ('KEPT', 'PENDING', 'SENT', 'FAILED', 'DROPPED')),
    CONSTRAINT "mails_sentAt_check" CHECK (("status" = 'SENT') = ("sentAt" IS NOT NULL)),
    CONSTRAINT "mails_recipient_check" CHECK ("status" <> 'SENT' OR "recipient" IS NOT NULL),
    CONSTRAINT "mails_attempts_check" CHECK ("attempts" >= 0)
);
CREATE INDEX "mails_due_idx" ON "mails" ("nextAttemptAt") WHERE "status" = 'PENDING';
CREATE INDEX "mails_createdAt_idx" ON "mails" ("createdAt");
CREATE INDEX "mails_roomId_idx" ON "mails" ("roomId");

CREATE TABLE "mail_stops" (
    "id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "mail_stops_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "mail_stops_kind_check" CHECK ("kind" IN ('you-won'))
);

ALTER TABLE "rooms" ADD COLUMN "sendsMail" BOOLEAN NOT NULL DEFAULT true;
{_telling_of(_AFTER)}
"""

DOWN = f"""
{_telling_of(_BEFORE)}
ALTER TABLE "rooms" DROP COLUMN "sendsMail";
DROP TABLE "mail_stops", "mails";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns("Room", "rooms", sendsMail=Boolean(default=True))
    migration.new_table(
        "Mail",
        "mails",
        id=Text(primary_key=True, default=REQUIRED),
        kind=Text(default=REQUIRED),
        roomId=ForeignKey(Room, null=False),
        cause=Text(default=REQUIRED),
        language=Text(default=REQUIRED),
        recipient=Text(null=True, default=None),
        status=Text(default=REQUIRED),
        attempts=Integer(default=0),
        nextAttemptAt=Moment(),
        sentAt=Moment(null=True, default=None),
        lastError=Text(null=True, default=None),
        createdAt=Moment(),
    )
    migration.new_table(
        "MailStop",
        "mail_stops",
        id=Text(primary_key=True, default=REQUIRED),
        kind=Text(default=REQUIRED),
        createdAt=Moment(),
    )
    return migration
