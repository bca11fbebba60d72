"""Quiz rounds: what was asked, who answered, and who was first.

What must not happen is a constraint: two open rounds in a room, two answers of one participant,
two winners of a round, a winner whose answer is wrong. What happens is told by triggers, as in
`events`.

What was won is named by its id and no foreign key: winners can be emptied without answers.

The index of events finds leaderboards, which name many people, when one of them is forgotten.
"""

from piccolo.columns import JSONB, Boolean, ForeignKey, Integer, Text
from piccolo.table import Table

from app.database.columns import REQUIRED, Moment
from app.database.ids import new_id
from app.database.sql_migration import SqlMigration

ID = "2026-11-29T11:15:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "quiz_rounds"

UP = """
CREATE TABLE "quizzes" (
    "id" TEXT NOT NULL,
    "roomId" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "startedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finishedAt" TIMESTAMPTZ(3),
    CONSTRAINT "quizzes_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "quizzes_number_check" CHECK ("number" >= 1),
    CONSTRAINT "quizzes_finishedAt_check" CHECK ("finishedAt" >= "startedAt"),
    CONSTRAINT "quizzes_roomId_fkey" FOREIGN KEY ("roomId") REFERENCES "rooms" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "quizzes_roomId_number_key" ON "quizzes" ("roomId", "number");

CREATE TABLE "rounds" (
    "id" TEXT NOT NULL,
    "roomId" TEXT NOT NULL,
    "quizId" TEXT NOT NULL,
    "question" JSONB NOT NULL,
    "correctIndex" INTEGER NOT NULL,
    "questionIndex" INTEGER NOT NULL,
    "totalQuestions" INTEGER NOT NULL,
    "shownAt" TIMESTAMPTZ(3) NOT NULL,
    "endsAt" TIMESTAMPTZ(3),
    "closedAt" TIMESTAMPTZ(3),
    CONSTRAINT "rounds_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "rounds_correctIndex_check" CHECK ("correctIndex" >= 0),
    CONSTRAINT "rounds_questionIndex_check"
        CHECK ("questionIndex" >= 0 AND "questionIndex" < "totalQuestions"),
    CONSTRAINT "rounds_endsAt_check" CHECK ("endsAt" >= "shownAt"),
    CONSTRAINT "rounds_closedAt_check" CHECK ("closedAt" >= "shownAt" AND
        ("endsAt" IS NULL OR "closedAt" <= "endsAt")),
    CONSTRAINT "rounds_roomId_fkey" FOREIGN KEY ("roomId") REFERENCES "rooms" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "rounds_quizId_fkey" FOREIGN KEY ("quizId") REFERENCES "quizzes" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "rounds_roomId_open_key" ON "rounds" ("roomId") WHERE "closedAt" IS NULL;
CREATE INDEX "rounds_roomId_shownAt_id_idx" ON "rounds" ("roomId", "shownAt", "id");
CREATE INDEX "rounds_quizId_idx" ON "rounds" ("quizId");

CREATE TABLE "answers" (
    "id" TEXT NOT NULL,
    "roundId" TEXT NOT NULL,
    "participantId" TEXT NOT NULL,
    "answerIndex" INTEGER NOT NULL,
    "isCorrect" BOOLEAN NOT NULL,
    "isWinning" BOOLEAN NOT NULL,
    "responseTimeMs" INTEGER NOT NULL,
    "answeredAt" TIMESTAMPTZ(3) NOT NULL,
    "winnerId" TEXT,
    CONSTRAINT "answers_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "answers_answerIndex_check" CHECK ("answerIndex" >= 0),
    CONSTRAINT "answers_responseTimeMs_check" CHECK ("responseTimeMs" >= 0),
    CONSTRAINT "answers_isWinning_check" CHECK ("isCorrect" OR NOT "isWinning"),
    CONSTRAINT "answers_winnerId_check" CHECK ("isWinning" OR "winnerId" IS NULL),
    CONSTRAINT "answers_roundId_fkey" FOREIGN KEY ("roundId") REFERENCES "rounds" ("id")
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "answers_participantId_fkey" FOREIGN KEY ("participantId")
        REFERENCES "participants" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "answers_roundId_participantId_key" ON "answers" ("roundId", "participantId");
CREATE UNIQUE INDEX "answers_roundId_winning_key" ON "answers" ("roundId") WHERE "isWinning";
CREATE INDEX "answers_roundId_answeredAt_id_idx" ON "answers" ("roundId", "answeredAt", "id");
CREATE INDEX "answers_participantId_idx" ON "answers" ("participantId");

CREATE INDEX "events_quiz_idx" ON "events" ("position") WHERE "type" LIKE 'quiz.%';

-- Its argument is the event.
CREATE FUNCTION tell_of_quiz() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tell(TG_ARGV[0], NEW."roomId", NEW.id);
  RETURN NULL;
END $$;

CREATE FUNCTION tell_of_answer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tell('answer.submitted', r."roomId", NEW.id) FROM rounds r WHERE r.id = NEW."roundId";
  RETURN NULL;
END $$;

CREATE TRIGGER "quizzes_started_told" AFTER INSERT OR UPDATE OF "startedAt" ON "quizzes"
  FOR EACH ROW EXECUTE FUNCTION tell_of_quiz('quiz.started');
CREATE TRIGGER "quizzes_finished_told" AFTER UPDATE OF "finishedAt" ON "quizzes" FOR EACH ROW
  WHEN (OLD."finishedAt" IS NULL AND NEW."finishedAt" IS NOT NULL)
  EXECUTE FUNCTION tell_of_quiz('quiz.finished');
CREATE TRIGGER "rounds_opened_told" AFTER INSERT ON "rounds"
  FOR EACH ROW EXECUTE FUNCTION tell_of_quiz('round.opened');
CREATE TRIGGER "rounds_closed_told" AFTER UPDATE OF "closedAt" ON "rounds" FOR EACH ROW
  WHEN (OLD."closedAt" IS NULL AND NEW."closedAt" IS NOT NULL)
  EXECUTE FUNCTION tell_of_quiz('round.closed');
CREATE TRIGGER "answers_told" AFTER INSERT ON "answers"
  FOR EACH ROW EXECUTE FUNCTION tell_of_answer();
"""

DOWN = """
DROP TABLE "answers", "rounds", "quizzes";
DROP FUNCTION tell_of_answer();
DROP FUNCTION tell_of_quiz();
DROP INDEX "events_quiz_idx";
DELETE FROM "outbox" WHERE split_part("type", '.', 1) IN ('quiz', 'round', 'answer');
DELETE FROM "events" WHERE split_part("type", '.', 1) IN ('quiz', 'round', 'answer');
"""


class Room(Table, tablename="rooms"):
    """A target of foreign keys."""

    id = Text(primary_key=True, default=new_id)


class Participant(Table, tablename="participants"):
    """A target of foreign keys."""

    id = Text(primary_key=True, default=new_id)


class Quiz(Table, tablename="quizzes"):
    """A target of foreign keys."""

    id = Text(primary_key=True, default=new_id)


class Round(Table, tablename="rounds"):
    """A target of foreign keys."""

    id = Text(primary_key=True, default=new_id)


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "Quiz",
        "quizzes",
        id=Text(primary_key=True, default=new_id),
        roomId=ForeignKey(Room, null=False),
        number=Integer(default=REQUIRED),
        startedAt=Moment(),
        finishedAt=Moment(null=True, default=None),
    )
    migration.new_table(
        "Round",
        "rounds",
        id=Text(primary_key=True, default=new_id),
        roomId=ForeignKey(Room, null=False),
        quizId=ForeignKey(Quiz, null=False),
        question=JSONB(default=REQUIRED),
        correctIndex=Integer(default=REQUIRED),
        questionIndex=Integer(default=REQUIRED),
        totalQuestions=Integer(default=REQUIRED),
        shownAt=Moment(default=REQUIRED),
        endsAt=Moment(null=True, default=None),
        closedAt=Moment(null=True, default=None),
    )
    migration.new_table(
        "Answer",
        "answers",
        id=Text(primary_key=True, default=new_id),
        roundId=ForeignKey(Round, null=False),
        participantId=ForeignKey(Participant, null=False),
        answerIndex=Integer(default=REQUIRED),
        isCorrect=Boolean(default=REQUIRED),
        isWinning=Boolean(default=REQUIRED),
        responseTimeMs=Integer(default=REQUIRED),
        answeredAt=Moment(default=REQUIRED),
        winnerId=Text(null=True, default=None),
    )
    return migration
