"""A mail server on loopback that does what a test wants it to do."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.settings import MailServer, MailTls

USER, PASSWORD = "prizes", "pass:word@/"


class Mailbox:
    """It takes every mail until a test changes one of its attributes."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.sessions: set[int] = set()
        self.with_tls: list[bool] = []
        self.refused: dict[str, str] = {}
        """Answers to RCPT, by the address."""
        self.greylists = False
        """Whether each address is asked to come again, once."""
        self.sender_answer: str | None = None
        """The answer to MAIL."""
        self.data_answers: list[str] = []
        """The first answers to DATA."""
        self.cuts = 0
        """How many more times the connection ends in the middle of DATA."""
        self.hangs = False
        """Whether DATA is never answered."""
        self.taken = asyncio.Event()
        self._seen: set[str] = set()

    @property
    def message_ids(self) -> list[str]:
        return [mail["Message-ID"] for mail in self.mails]

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.sender_answer is not None:
            return self.sender_answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        if self.greylists and address not in self._seen:
            self._seen.add(address)
            return "451 4.7.1 Greylisted, come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.cuts:
            self.cuts -= 1
            _cut(server)
            return "451 gone"
        if self.data_answers:
            return self.data_answers.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        self.sessions.add(id(server))
        self.with_tls.append(session.ssl is not None)
        self.taken.set()
        if self.hangs:
            await asyncio.sleep(60)
        return "250 Taken"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        """Let in who knows the password."""
        knows = isinstance(data, LoginPassword) and data == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=knows, handled=False)


@asynccontextmanager
async def receiving(mailbox: Mailbox, port: int = 0, **options: Any) -> AsyncIterator[MailServer]:
    """Take mails until the block ends."""
    context = options.get("tls_context")
    implicit = options.pop("implicit_tls", None)
    protocols: list[SMTP] = []

    def connected() -> SMTP:
        protocols.append(SMTP(mailbox, enable_SMTPUTF8=True, hostname="mail.test", **options))
        return protocols[-1]

    server = await asyncio.get_running_loop().create_server(
        connected, "127.0.0.1", port, ssl=implicit
    )
    mailbox.port = server.sockets[0].getsockname()[1]
    tls = MailTls.NONE if context is None else MailTls.STARTTLS
    try:
        yield MailServer("127.0.0.1", mailbox.port, MailTls.AT_ONCE if implicit else tls)
    finally:
        server.close()
        for protocol in protocols:
            _cut(protocol)
        await asyncio.sleep(0)


def _cut(protocol: SMTP) -> None:
    if isinstance(protocol.transport, asyncio.Transport):
        protocol.transport.abort()


def certify(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate of 127.0.0.1, and return what a server needs, and what clients trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, secret = folder / "trusted.pem", folder / "key.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, secret)
    return context, trusted
