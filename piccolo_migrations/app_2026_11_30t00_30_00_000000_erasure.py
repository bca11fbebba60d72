"""People are erased: what says who they are becomes blank for good, and their ids stay.

Constraints keep it blank, whoever writes. Of the audit log one function may blank details, and the
log's own trigger lets it do so alone to records of who is erased; the rest of a record stays.
"""

from piccolo.columns import Boolean

from app.database.columns import Moment
from app.database.sql_migration import SqlMigration

ID = "2026-11-30T00:30:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "erasure"

_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_change_of_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN{but}
    RAISE EXCEPTION 'audit_log is written once: a record is neither changed nor deleted'
        USING ERRCODE = 'insufficient_privilege';
END $$;
"""
_BUT_REDACTING = """
    IF TG_OP = 'UPDATE' AND current_setting('audit.redacting', true) = 'on' THEN
        RETURN NULL;  -- each record is looked at by itself
    END IF;"""
_PERSON_CHECK = """
ALTER TABLE "participants" DROP CONSTRAINT "participants_person_check",
    ADD CONSTRAINT "participants_person_check" CHECK (
        "userId" IS NOT NULL OR "email" IS NOT NULL OR "deletedAt" IS NOT NULL{or_else});
"""

UP = f"""
ALTER TABLE "users" ADD COLUMN "erasedAt" TIMESTAMPTZ(3),
    ADD COLUMN "mayReturn" BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE "users" ADD CONSTRAINT "users_erased_check" CHECK ("erasedAt" IS NULL OR (
    "deletedAt" IS NOT NULL AND "email" = "id" || '@erased.invalid' AND NOT "isAdmin"
    AND NOT "mayReturn" AND num_nonnulls("name", "avatar", "providerId", "emailVerified") = 0));
CREATE INDEX "users_to_erase_idx" ON "users" ("deletedAt")
    WHERE "deletedAt" IS NOT NULL AND "erasedAt" IS NULL;

ALTER TABLE "participants" ADD COLUMN "erasedAt" TIMESTAMPTZ(3);
ALTER TABLE "participants" ADD CONSTRAINT "participants_erased_check" CHECK ("erasedAt" IS NULL
    OR num_nonnulls("email", "name", "metadata", "ownMetadata") = 0);
{_PERSON_CHECK.format(or_else=' OR "erasedAt" IS NOT NULL')}
ALTER TABLE "answers" ALTER COLUMN "answerIndex" DROP NOT NULL;

-- The ids in an answer that is kept, people's among them: by these it is found.
CREATE FUNCTION ids_in(body TEXT) RETURNS TEXT[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
    SELECT array_agg(DISTINCT found[1])
    FROM regexp_matches(body, '"(?:id|userId|participantId)":"([^"]+)"', 'g') AS found
$$;
CREATE INDEX "idempotency_keys_ids_idx" ON "idempotency_keys" USING gin (ids_in("body"))
    WHERE "body" IS NOT NULL;

CREATE INDEX "mails_codes_recipient_idx" ON "mails" ("recipient") WHERE "kind" = 'code';

CREATE FUNCTION is_of_the_erased(record audit_log) RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
    SELECT CASE record."tableName"
        WHEN 'users' THEN EXISTS (
            SELECT FROM users WHERE id = record."rowId" AND "erasedAt" IS NOT NULL)
        WHEN 'participants' THEN EXISTS (
            SELECT FROM participants WHERE id = record."rowId" AND "erasedAt" IS NOT NULL)
        WHEN 'winners' THEN EXISTS (
            SELECT FROM winners w JOIN participants p ON p.id = w."participantId"
            WHERE w.id = record."rowId" AND p."erasedAt" IS NOT NULL)
        WHEN 'sessions' THEN EXISTS (
            SELECT FROM users WHERE id = COALESCE(record.before, record.after) ->> 'userId'
                AND "erasedAt" IS NOT NULL)
        WHEN 'token_blacklist' THEN EXISTS (
            SELECT FROM users WHERE id = COALESCE(record.before, record.after) ->> 'userId'
                AND "erasedAt" IS NOT NULL)
        ELSE false
    END
$$;

{_REFUSE.format(but=_BUT_REDACTING)}
CREATE FUNCTION keep_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.before IS NOT NULL OR NEW.after IS NOT NULL
        OR to_jsonb(NEW) - '{{before,after}}'::text[] <> to_jsonb(OLD) - '{{before,after}}'::text[]
        OR NOT is_of_the_erased(OLD)
    THEN
        RAISE EXCEPTION 'of audit_log only the details of the erased are blanked'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER "audit_log_kept" BEFORE UPDATE ON "audit_log"
FOR EACH ROW EXECUTE FUNCTION keep_record();

-- Blanks the details of records, and records who did so and why. Returns how many there were.
CREATE FUNCTION redact_audit_log(
    records BIGINT[], actor TEXT, action TEXT, "table" TEXT, "row" TEXT
) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    redacted BIGINT;
BEGIN
    -- Not a SET of the function: only superusers may create one with a parameter of ours.
    PERFORM set_config('audit.redacting', 'on', true);
    UPDATE audit_log SET before = NULL, after = NULL
    WHERE id = ANY(records) AND num_nonnulls(before, after) > 0;
    GET DIAGNOSTICS redacted = ROW_COUNT;
    PERFORM set_config('audit.redacting', 'off', true);
    INSERT INTO audit_log (actor, action, "tableName", "rowId", after)
    VALUES (actor, action, "table", "row", jsonb_build_object('redacted', redacted));
    RETURN redacted;
END $$;
"""

DOWN = f"""
DROP FUNCTION redact_audit_log(BIGINT[], TEXT, TEXT, TEXT, TEXT);
DROP TRIGGER "audit_log_kept" ON "audit_log";
DROP FUNCTION keep_record();
DROP FUNCTION is_of_the_erased(audit_log);
DROP INDEX "mails_codes_recipient_idx";
DROP INDEX "idempotency_keys_ids_idx";
DROP FUNCTION ids_in(TEXT);
{_REFUSE.format(but="")}
UPDATE "answers" SET "answerIndex" = 0 WHERE "answerIndex" IS NULL;
ALTER TABLE "answers" ALTER COLUMN "answerIndex" SET NOT NULL;
UPDATE "participants" SET "deletedAt" = "erasedAt"
    WHERE "erasedAt" IS NOT NULL AND "userId" IS NULL AND "deletedAt" IS NULL;
{_PERSON_CHECK.format(or_else="")}
ALTER TABLE "participants" DROP CONSTRAINT "participants_erased_check", DROP COLUMN "erasedAt";
DROP INDEX "users_to_erase_idx";
ALTER TABLE "users" DROP CONSTRAINT "users_erased_check", DROP COLUMN "mayReturn",
    DROP COLUMN "erasedAt";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo, which knows nothing of functions."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_columns(
        "User",
        "users",
        erasedAt=Moment(null=True, default=None),
        mayReturn=Boolean(default=False),
    )
    migration.new_columns("Participant", "participants", erasedAt=Moment(null=True, default=None))
    migration.alter_column(
        "Answer", "answers", "answerIndex", params={"null": True, "default": None}
    )
    return migration
