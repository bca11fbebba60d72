"""Who wants no mails of a kind: by a link that only who got a mail has.

The link has a digest of the kind and the address, which is what is kept, and our signature. So it
works as long as the secret that signed it is among ours, whatever became of the mail.
"""

import hashlib
import hmac
import re
from typing import NamedTuple

from app.database.engine import fetch
from app.errors import NOTHING_HERE, NotFound
from app.settings import Language, settings

STOPPED = """encode(sha256(convert_to(m.kind || ' ' || s.address, 'UTF8')), 'hex')"""
"""The id of a stop, of a mail m to an address s."""
PATH = "/mails/stop"
PURPOSE = "stop mails"
"""What the signature is for: it is good for nothing else that the secret signs."""
_FORM = re.compile(r"([a-z]{2})\.([a-z-]{1,40})\.([0-9a-f]{64})\.([0-9a-f]{64})")


class Stop(NamedTuple):
    """A wish for no more mails of a kind at an address."""

    language: Language
    """Of the mail."""
    kind: str
    digest: str

    @classmethod
    def of(cls, language: str, kind: str, address: str) -> "Stop":
        """Name what the reader of a mail may want."""
        digest = hashlib.sha256(f"{kind} {address}".encode()).hexdigest()
        return cls(Language(language), kind, digest)

    @property
    def token(self) -> str:
        """What the link ends with."""
        said = f"{self.language}.{self.kind}.{self.digest}"
        return f"{said}.{_signature(said, settings().JWT_SECRET[0])}"

    @property
    def url(self) -> str:
        """The link."""
        return f"{settings().links_url}{PATH}/{self.token}"


def read_token(token: str) -> Stop:
    """Return what a link asks for.

    Raises:
        NotFound: It is none of ours.
    """
    found = _FORM.fullmatch(token)
    if found is None:
        raise NotFound(NOTHING_HERE)
    said, _, signature = token.rpartition(".")
    if not any(
        hmac.compare_digest(_signature(said, secret), signature) for secret in settings().JWT_SECRET
    ):
        raise NotFound(NOTHING_HERE)
    return Stop(Language(found[1]), found[2], found[3])


def _signature(said: str, secret: str) -> str:
    return hmac.new(secret.encode(), f"{PURPOSE}: {said}".encode(), hashlib.sha256).hexdigest()


async def stop(wish: Stop) -> None:
    """Send no more mails of the kind there; once or again."""
    await fetch(
        "INSERT INTO mail_stops (id, kind) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        wish.digest,
        wish.kind,
    )
