"""How many streams and sockets may be open at once, on this worker."""

from typing import NamedTuple

from litestar.types import Scope

from app.auth.throttle import counted_as
from app.auth.tokens import VerifiedToken
from app.errors import RateLimitExceeded
from app.events.hub import HUB
from app.settings import settings

RETRY_SECONDS = 2


class Counted(NamedTuple):
    """Under what a stream counts."""

    name: str
    most: int

    @property
    def is_over(self) -> bool:
        """Whether more are open than may be: of those that came at once, each saw room."""
        return HUB.streams[self.name] > self.most


def one_at_address(scope: Scope) -> Counted:
    """Return under what one more counts where a request comes from.

    Raises:
        RateLimitExceeded: There are as many as may be.
    """
    return _one_more(counted_as(scope), settings().EVENT_STREAMS_PER_ADDRESS)


def one_of_person(token: VerifiedToken) -> Counted:
    """Return under what one more of somebody counts.

    Raises:
        RateLimitExceeded: They have as many as they may.
    """
    return _one_more(f"person {token.claims.sub}", settings().EVENT_STREAMS_PER_PERSON)


def _one_more(name: str, most: int) -> Counted:
    if HUB.streams[name] >= most:
        raise RateLimitExceeded(
            f"At most {most} streams at once: end one first.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    return Counted(name, most)
