"""Codes that let people into a room.

Of a code only a hash is kept, with a secret of ours. How often it was used never exceeds how often
it may be. Administrators' changes are recorded, and who made and revoked one; not the hash.
"""

from piccolo.columns import ForeignKey, Integer, Text

from app.database.columns import REQUIRED, Moment, NativeEnum
from app.database.ids import new_id
from app.database.sql_migration import SqlMigration
from app.tables import ParticipantRole, Room, User

ID = "2026-11-30T00:50:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "invitations"

UP = """
CREATE TABLE "invitations" (
    "id" TEXT NOT NULL,
    "roomId" TEXT NOT NULL,
    "role" "ParticipantRole" NOT NULL DEFAULT 'PARTICIPANT',
    "codeHash" TEXT NOT NULL,
    "maxUses" INTEGER,
    "uses" INTEGER NOT NULL DEFAULT 0,
    "expiresAt" TIMESTAMPTZ(3),
    "revokedAt" TIMESTAMPTZ(3),
    "createdBy" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "invitations_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "invitations_codeHash_key" UNIQUE ("codeHash"),
    CONSTRAINT "invitations_roomId_fkey" FOREIGN KEY ("roomId") REFERENCES "rooms" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "invitations_createdBy_fkey" FOREIGN KEY ("createdBy") REFERENCES "users" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "invitations_maxUses_check" CHECK ("maxUses" >= 1),
    CONSTRAINT "invitations_uses_check" CHECK ("uses" >= 0 AND "uses" <= "maxUses"),
    CONSTRAINT "invitations_expiresAt_check" CHECK ("expiresAt" > "createdAt")
);
CREATE INDEX "invitations_roomId_createdAt_id_idx"
    ON "invitations" ("roomId", "createdAt", "id");
CREATE INDEX "invitations_createdBy_idx" ON "invitations" ("createdBy");
CREATE TRIGGER "invitations_audit" AFTER INSERT OR UPDATE OR DELETE ON "invitations" FOR EACH ROW
WHEN (current_setting('audit.actor', true) <> '')
EXECUTE FUNCTION record_change('codeHash');
"""

DOWN = """
DROP TABLE "invitations";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "Invitation",
        "invitations",
        id=Text(primary_key=True, default=new_id),
        roomId=ForeignKey(Room, null=False),
        role=NativeEnum(choices=ParticipantRole, default=ParticipantRole.PARTICIPANT),
        codeHash=Text(default=REQUIRED, unique=True, secret=True),
        maxUses=Integer(null=True, default=None),
        uses=Integer(default=0),
        expiresAt=Moment(null=True, default=None),
        revokedAt=Moment(null=True, default=None),
        createdBy=ForeignKey(User, null=False),
        createdAt=Moment(),
    )
    return migration
