"""A mail as it goes over the wire: headers, a text part and an HTML part."""

import email.utils
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, Policy
from urllib.parse import urlsplit

from app.mails.languages import templates
from app.mails.queueing import SECURITY
from app.mails.reading import Letter
from app.mails.stops import Stop
from app.settings import Language, settings

NOBODY = "nobody@localhost"
"""Whom a mail comes from that is never sent."""


class _OneLine(UniqueUnstructuredHeader, BaseHeader):  # type: ignore[misc] # as the library itself
    """A header in ASCII that is written as it is: folded, a long address would be encoded."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_registry = HeaderRegistry()
_registry.map_to_type("List-Unsubscribe", _OneLine)
_registry.map_to_type("Message-ID", _OneLine)
PLAIN = SMTP.clone(header_factory=_registry)
INTERNATIONAL = SMTPUTF8.clone(header_factory=_registry)
"""For addresses with letters that are not ASCII, which not every mail server takes."""


def compose(letter: Letter) -> EmailMessage:
    """Write a mail. Its Message-ID is the same each time: who gets it twice can tell."""
    stop = None
    if letter.kind not in SECURITY:
        stop = Stop.of(letter.language, letter.kind, letter.address).url
    language = Language(letter.language)
    name = letter.kind.replace("-", "_")
    subject, _, text = (
        templates(language).get_template(f"{name}.txt").render(letter=letter, stop=stop)
    ).partition("\n")
    html = templates(language).get_template(f"{name}.html")
    message = EmailMessage(PLAIN if letter.address.isascii() else INTERNATIONAL)
    message["From"] = sender()
    message["To"] = _recipient(letter.address)
    message["Subject"] = subject
    message["Date"] = email.utils.format_datetime(letter.created_at)
    message["Message-ID"] = f"<{letter.id}@{urlsplit(settings().PUBLIC_URL).hostname}>"
    message["Auto-Submitted"] = "auto-generated"
    if stop is not None:
        message["List-Unsubscribe"] = f"<{stop}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(text.lstrip("\n"))
    message.add_alternative(html.render(letter=letter, stop=stop, subject=subject), subtype="html")
    message["Content-Language"] = language  # before, it would have become a part's
    return message


def sender() -> Address:
    """Return whom mails come from."""
    name, address = email.utils.parseaddr(settings().MAIL_FROM or NOBODY)
    return _address(address, name)


def _recipient(address: str) -> Address:
    return _address(address, "")


def _address(address: str, name: str) -> Address:
    """Take an address apart ourselves: some local parts that there are RFC 5322 would refuse."""
    local, _, domain = address.rpartition("@")
    return Address(display_name=name, username=local, domain=domain)
