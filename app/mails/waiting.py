"""Whether mails go out."""

from datetime import timedelta

from app.database.engine import fetchval

LONG = timedelta(minutes=10)


async def check_mails() -> str | None:
    """Say so if mails are due and nobody has tried to send them for a while."""
    minutes: int | None = await fetchval(
        'SELECT extract(epoch FROM now() - min("nextAttemptAt"))::int / 60 FROM mails '
        "WHERE status = 'PENDING' AND \"nextAttemptAt\" < now() - $1::interval",
        LONG,
    )
    return None if minutes is None else f"mails have been due for {minutes} minutes"
