"""How many streams and sockets may be open at once, on this worker."""

from litestar.types import Scope

from app.auth.throttle import counted_as
from app.auth.tokens import VerifiedToken
from app.errors import RateLimitExceeded
from app.events.hub import HUB
from app.settings import settings

RETRY_SECONDS = 2


def one_at_address(scope: Scope) -> str:
    """Return the name under which one more counts where a request comes from.

    Raises:
        RateLimitExceeded: There are as many as may be.
    """
    return _one_more(counted_as(scope), settings().EVENT_STREAMS_PER_ADDRESS)


def one_of_person(token: VerifiedToken) -> str:
    """Return the name under which one more of somebody counts.

    Raises:
        RateLimitExceeded: They have as many as they may.
    """
    return _one_more(f"person {token.claims.sub}", settings().EVENT_STREAMS_PER_PERSON)


def _one_more(name: str, most: int) -> str:
    if HUB.streams[name] >= most:
        raise RateLimitExceeded(
            f"At most {most} streams at once: end one first.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    return name
