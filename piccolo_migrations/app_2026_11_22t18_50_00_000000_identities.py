"""Every identity that a person signs in with, of as many providers as vouch for their address.

`users.provider` and `users.providerId` stay, as the plan has them: the first one. They fill the
table here, each under its person's id. Of one provider a person has one identity: an address that
it gives to somebody else later leads nobody into the account.

Backwards forgets the others; whoever has one is known by the verified address again.
"""

from piccolo.columns import ForeignKey, Text
from piccolo.table import Table

from app.database.columns import REQUIRED, Moment
from app.database.ids import new_id
from app.database.sql_migration import SqlMigration

ID = "2026-11-22T18:50:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "identities"

UP = """
CREATE TABLE "identities" (
  "id" TEXT NOT NULL,
  "userId" TEXT NOT NULL,
  "provider" TEXT NOT NULL,
  "subject" TEXT NOT NULL,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT "identities_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "identities_provider_subject_key" UNIQUE ("provider", "subject"),
  CONSTRAINT "identities_userId_provider_key" UNIQUE ("userId", "provider"),
  CONSTRAINT "identities_userId_fkey" FOREIGN KEY ("userId") REFERENCES "users"("id")
    ON DELETE CASCADE ON UPDATE CASCADE
);

INSERT INTO "identities" ("id", "userId", "provider", "subject", "createdAt")
SELECT "id", "id", "provider", "providerId", "createdAt" FROM "users"
WHERE "providerId" IS NOT NULL;
"""

DOWN = """
DROP TABLE "identities";
"""


class User(Table, tablename="users"):
    """What the foreign key refers to."""

    id = Text(primary_key=True)


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "Identity",
        "identities",
        id=Text(primary_key=True, default=new_id),
        userId=ForeignKey(User, null=False),
        provider=Text(default=REQUIRED),
        subject=Text(default=REQUIRED),
        createdAt=Moment(),
    )
    return migration
