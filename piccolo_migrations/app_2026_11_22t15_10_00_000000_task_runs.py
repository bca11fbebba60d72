"""The history of maintenance: each run of a job, and which of them settled a slot.

The indexes are promises as much as ways to a row: a job has at most one run under way, and a slot
succeeds at most once, whatever the code does. Backwards, the history is lost.
"""

from enum import StrEnum

from piccolo.columns import Integer, Text

from app.database.columns import REQUIRED, Moment, NativeEnum
from app.database.ids import new_id
from app.database.sql_migration import SqlMigration

ID = "2026-11-22T15:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "task_runs"

UP = """
CREATE TYPE "TaskOutcome" AS ENUM
  ('RUNNING', 'SUCCEEDED', 'FAILED', 'INTERRUPTED', 'ABANDONED');

CREATE TABLE "task_runs" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "job" TEXT NOT NULL,
  "slot" TIMESTAMPTZ(3),
  "runner" TEXT NOT NULL,
  "startedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "finishedAt" TIMESTAMPTZ(3),
  "rows" INTEGER NOT NULL DEFAULT 0,
  "outcome" "TaskOutcome" NOT NULL DEFAULT 'RUNNING',
  "error" TEXT,
  CONSTRAINT "task_runs_finishedAt_check"
    CHECK (("outcome" = 'RUNNING') = ("finishedAt" IS NULL))
);
CREATE UNIQUE INDEX "task_runs_job_key" ON "task_runs"("job") WHERE "outcome" = 'RUNNING';
CREATE UNIQUE INDEX "task_runs_job_slot_key" ON "task_runs"("job", "slot")
  WHERE "outcome" = 'SUCCEEDED';
CREATE INDEX "task_runs_job_startedAt_idx" ON "task_runs"("job", "startedAt");
CREATE INDEX "task_runs_finishedAt_idx" ON "task_runs"("finishedAt");
"""

DOWN = """
DROP TABLE "task_runs";
DROP TYPE "TaskOutcome";
"""


class TaskOutcome(StrEnum):
    """How a run ended."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    ABANDONED = "ABANDONED"


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "TaskRun",
        "task_runs",
        id=Text(primary_key=True, default=new_id),
        job=Text(default=REQUIRED),
        slot=Moment(null=True, default=None),
        runner=Text(default=REQUIRED),
        startedAt=Moment(),
        finishedAt=Moment(null=True, default=None),
        rows=Integer(default=0),
        outcome=NativeEnum(choices=TaskOutcome, default=TaskOutcome.RUNNING),
        error=Text(null=True, default=None),
    )
    return migration
