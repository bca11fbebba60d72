"""Handing mails to the mail server, over few connections of their own."""

import asyncio
import ssl
from email.message import EmailMessage
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from app.deferred import deferred
from app.errors import ServiceUnavailable
from app.mails.composing import sender
from app.settings import MailServer, MailTls, settings
from app.tables import MailStatus
from app.visible_text import cleaned_line

if TYPE_CHECKING:
    import aiosmtplib
else:
    aiosmtplib = deferred("aiosmtplib")

CONNECTIONS = 4
ANSWER_SECONDS = 30.0
"""Longest time that the mail server may take for an answer."""
MAIL_SECONDS = 60.0
"""Longest time for a mail, a new connection included."""
GOODBYE_SECONDS = 2.0
LONGEST_REASON = 500
REFUSED_FOR_GOOD = 500
"""From this reply code on."""
CLOSING = 421
"""The reply code of a server that ends the connection."""


class Outcome(NamedTuple):
    """What became of a mail: SENT, FAILED, or still PENDING."""

    status: MailStatus
    reason: str | None = None


SENT = Outcome(MailStatus.SENT)


class ServerRefuses(ServiceUnavailable):
    """The mail server takes no mail of ours at all; the message says why."""


class Line:
    """A connection to the mail server: opened for the first mail, and anew after a fault."""

    def __init__(self, server: MailServer) -> None:
        """Take where it leads. Nothing is opened."""
        self._server = server
        self._client: aiosmtplib.SMTP | None = None

    async def deliver(self, message: EmailMessage, recipient: str) -> Outcome:
        """Hand over a mail.

        Raises:
            ServerRefuses: It is not the mail's fault.
        """
        try:
            async with asyncio.timeout(MAIL_SECONDS):
                client = await self._open()
                await client.send_message(
                    message, sender=sender().addr_spec, recipients=[recipient]
                )
        except aiosmtplib.SMTPRecipientsRefused as refusal:
            return self._refused(refusal.recipients[0])
        except aiosmtplib.SMTPSenderRefused as refusal:
            if refusal.code >= REFUSED_FOR_GOOD:
                raise ServerRefuses(f"MAIL_FROM: {_told(refusal)}") from refusal
            return self._refused(refusal)
        except aiosmtplib.SMTPResponseException as refusal:
            return self._refused(refusal)
        except aiosmtplib.SMTPNotSupported as error:
            return Outcome(MailStatus.FAILED, f"The mail server can't: {error.message}")
        except (OSError, TimeoutError, aiosmtplib.SMTPException) as error:
            self.hang_up()
            return Outcome(MailStatus.PENDING, f"{type(error).__name__}: {error}"[:LONGEST_REASON])
        return SENT

    async def _open(self) -> "aiosmtplib.SMTP":
        if self._client is not None and self._client.is_connected:
            return self._client
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.tls is MailTls.AT_ONCE,
            start_tls=server.tls is MailTls.STARTTLS,
            tls_context=None if server.tls is MailTls.NONE else ssl.create_default_context(),
            local_hostname=urlsplit(settings().PUBLIC_URL).hostname,
            timeout=ANSWER_SECONDS,
        )
        try:
            await client.connect()
        except aiosmtplib.SMTPResponseException as refusal:
            raise ServerRefuses(_told(refusal)) from refusal
        except (OSError, TimeoutError, aiosmtplib.SMTPException) as error:
            raise ServerRefuses(f"{type(error).__name__}: {error}") from error
        self._client = client
        return client

    def _refused(self, refusal: "Refusal") -> Outcome:
        if refusal.code == CLOSING:
            self.hang_up()
        is_final = refusal.code >= REFUSED_FOR_GOOD
        return Outcome(MailStatus.FAILED if is_final else MailStatus.PENDING, _told(refusal))

    def hang_up(self) -> None:
        """Cut the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def close(self) -> None:
        """Say goodbye, and don't wait long for the answer."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await client.quit()
        except (OSError, TimeoutError, aiosmtplib.SMTPException):
            pass
        finally:
            client.close()


if TYPE_CHECKING:
    Refusal = aiosmtplib.SMTPResponseException


def _told(refusal: "Refusal") -> str:
    """Say what the mail server answered, in one line."""
    return f"{refusal.code} {cleaned_line(refusal.message) or ''}"[:LONGEST_REASON]
