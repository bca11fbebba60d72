"""What happened that somebody is written to about. Who moves events writes the mails down, too."""

from app.database.engine import fetch
from app.database.ids import new_id
from app.settings import Language, Settings
from app.tables import MailStatus

CODE = "code"
YOU_WON = "you-won"


def status_of_new(current: Settings) -> MailStatus | None:
    """Return what becomes of new mails; None: there are none."""
    if current.MAIL_URL is not None:
        return MailStatus.PENDING
    return None if current.in_production else MailStatus.KEPT


def queue(moved: str, status: str, language: str) -> str:
    """Write the mails of events that a statement moves: one of each win, however often it is told.

    What was dropped because the win was revoked is written again if the win comes back.

    Args:
        moved: A table with the `id`, `type`, `subject` and `moment` of each event.
        status: The parameter of `status_of_new`.
        language: The parameter of the language.
    """
    return f"""
        INSERT INTO mails (id, kind, "roomId", cause, language, status, "createdAt", "chargedTo")
        SELECT DISTINCT ON (w.id)
            e.id, '{YOU_WON}', w."roomId", w.id, {language}, {status}, e.moment, r."createdBy"
        FROM {moved} e JOIN winners w ON w.id = e.subject JOIN rooms r ON r.id = w."roomId"
        WHERE e.type = 'winner.awarded' AND w."deletedAt" IS NULL AND r."sendsMail"
        ORDER BY w.id
        ON CONFLICT (kind, cause) DO UPDATE SET status = EXCLUDED.status,
            attempts = 0, "lastError" = NULL, "nextAttemptAt" = now(),
            "createdAt" = EXCLUDED."createdAt", "chargedTo" = EXCLUDED."chargedTo",
            "countedAt" = NULL
            WHERE mails.status = '{MailStatus.DROPPED}'
    """


async def queue_code(code_id: str, status: MailStatus, language: Language) -> None:
    """Write down the mail that tells a code to sign in with, within the caller's transaction."""
    await fetch(
        "INSERT INTO mails (id, kind, cause, language, status) VALUES ($1, $2, $3, $4, $5)",
        *(new_id(), CODE, code_id, language, status),
    )
