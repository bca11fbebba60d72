"""What administrators change is recorded by the database, in the transaction that changes it.

Whoever acts names themselves with `set_config('audit.actor', …, true)`; every row that changes from
there to the end of the transaction is recorded, cascades too. Without an actor the condition of the
triggers is false and their function is not called.

A record is written once: the database refuses to change or delete one. Backwards forgets them.
"""

from piccolo.columns import JSONB, BigInt, Text

from app.database.columns import REQUIRED, Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-22T16:31:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "audit_log"

# What is never recorded, of each table.
SECRETS = {
    "users": (),
    "sessions": ("refreshToken", "previousRefreshToken"),
    "token_blacklist": ("tokenHash",),
    "apps": ("appSecret",),
    "rooms": (),
    "participants": (),
    "prizes": (),
    "winners": (),
}

_TRIGGERS = "".join(
    f"""
CREATE TRIGGER "{table}_audit" AFTER INSERT OR UPDATE OR DELETE ON "{table}" FOR EACH ROW
WHEN (current_setting('audit.actor', true) <> '')
EXECUTE FUNCTION record_change({", ".join(f"'{name}'" for name in secrets)});
"""
    for table, secrets in SECRETS.items()
)

UP = f"""
CREATE TABLE "audit_log" (
    "id" BIGINT GENERATED ALWAYS AS IDENTITY,
    "actor" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "tableName" TEXT NOT NULL,
    "rowId" TEXT NOT NULL,
    "before" JSONB,
    "after" JSONB,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "audit_log_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "audit_log_tableName_rowId_idx" ON "audit_log" ("tableName", "rowId");

CREATE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was JSONB := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - COALESCE(TG_ARGV, '{{}}') END;
    is_now JSONB := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - COALESCE(TG_ARGV, '{{}}') END;
    "row" TEXT := COALESCE(is_now ->> 'id', was ->> 'id');
    complete_was JSONB := was;
BEGIN
    IF TG_OP = 'UPDATE' THEN  -- what changed says more than all there is
        was := (SELECT jsonb_object_agg(key, value) FROM jsonb_each(was)
                WHERE value IS DISTINCT FROM is_now -> key);
        is_now := (SELECT jsonb_object_agg(key, value) FROM jsonb_each(is_now)
                   WHERE value IS DISTINCT FROM complete_was -> key);
    END IF;
    INSERT INTO audit_log ("actor", "action", "tableName", "rowId", "before", "after")
    VALUES (current_setting('audit.actor'), current_setting('audit.action'), TG_TABLE_NAME, "row",
            was, is_now);
    RETURN NULL;
END $$;
{_TRIGGERS}
CREATE FUNCTION refuse_change_of_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is written once: a record is neither changed nor deleted'
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER "audit_log_written_once" BEFORE UPDATE OR DELETE ON "audit_log"
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_record();
"""

DOWN = (
    "".join(f'DROP TRIGGER "{table}_audit" ON "{table}";\n' for table in SECRETS)
    + 'DROP TABLE "audit_log";\n'
    + "DROP FUNCTION record_change();\nDROP FUNCTION refuse_change_of_record();\n"
)


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "AuditLog",
        "audit_log",
        id=BigInt(primary_key=True, default=REQUIRED),
        actor=Text(default=REQUIRED),
        action=Text(default=REQUIRED),
        tableName=Text(default=REQUIRED),
        rowId=Text(default=REQUIRED),
        before=JSONB(null=True, default=None),
        after=JSONB(null=True, default=None),
        createdAt=Moment(),
    )
    return migration
