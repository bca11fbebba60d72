"""Asking for a code."""

from app.auth.codes import Challenge, renew
from app.database.engine import transaction
from app.errors import MailNotConfigured
from app.mails.at_once import COURIER
from app.mails.queueing import queue_code, status_of_new
from app.settings import Language, settings


async def ask_for_code(email: str, language: Language) -> Challenge:
    """Have a code sent to an address; the one before is worth nothing any more.

    The code and its mail are written in one transaction, and the mail leaves after it.

    Raises:
        MailNotConfigured: There is no mail server.
        NotAnAddress: It is no address.
        RateLimitExceeded: There were too many for this address.
    """
    status = status_of_new(settings())
    if status is None:
        raise MailNotConfigured
    async with transaction():
        challenge = await renew(email)
        await queue_code(challenge.id, status, language)
    COURIER.poke()
    return challenge
