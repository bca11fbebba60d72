"""App secrets are kept as SHA-256 in hex, never as they are.

An app goes on with the secret that it has. Backwards, a hash becomes `sha256:` and the hash,
which no secret ever was; forwards again takes the prefix off instead of hashing twice.
"""

from app.database.sql_migration import SqlMigration

ID = "2025-12-29T09:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "hash_app_secrets"

UP = """
UPDATE "apps" SET "appSecret" = CASE
  WHEN "appSecret" ~ '^sha256:[0-9a-f]{64}$' THEN substr("appSecret", 8)
  ELSE encode(sha256(convert_to("appSecret", 'UTF8')), 'hex')
END;
"""

DOWN = """
UPDATE "apps" SET "appSecret" = 'sha256:' || "appSecret";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
