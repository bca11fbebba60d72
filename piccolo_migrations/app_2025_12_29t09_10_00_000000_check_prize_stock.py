"""A prize has at least one unit, and what remains is neither negative nor more than there is.

Fails when a prize breaks this already; which ones tells
`SELECT * FROM "prizes" WHERE "quantity" < 1 OR "quantityRemaining" NOT BETWEEN 0 AND "quantity"`.
"""

from app.database.sql_migration import SqlMigration

ID = "2025-12-29T09:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "check_prize_stock"

UP = """
ALTER TABLE "prizes"
  ADD CONSTRAINT "prizes_quantity_check" CHECK ("quantity" >= 1),
  ADD CONSTRAINT "prizes_quantityRemaining_check"
    CHECK ("quantityRemaining" BETWEEN 0 AND "quantity");
"""

DOWN = """
ALTER TABLE "prizes"
  DROP CONSTRAINT "prizes_quantityRemaining_check", DROP CONSTRAINT "prizes_quantity_check";
"""


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    return SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
