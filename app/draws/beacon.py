"""Asking a drand relay for a round; what it answers is verified, so that it needs no trust."""

from typing import TYPE_CHECKING

import msgspec

from app.deferred import deferred
from app.draws.drand import is_signed
from app.draws.ranking import DrandEntropy
from app.errors import ServiceUnavailable
from app.settings import settings

if TYPE_CHECKING:
    import httpx
else:
    httpx = deferred("httpx")

TIMEOUT_SECONDS = 5.0
LARGEST_ANSWER_BYTES = 10_000


class _Round(msgspec.Struct):
    signature: str


async def fetch_signature(entropy: DrandEntropy) -> bytes | None:
    """Fetch the signature of a round that is due from DRAND_URL; None when that is not set.

    Raises:
        ServiceUnavailable: The relay does not answer, or answers with something else.
    """
    relay = settings().DRAND_URL
    if relay is None:
        return None
    url = f"{relay.rstrip('/')}/{entropy.chain}/public/{entropy.round}"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
            signature = await _signature_at(client, url)
    except (httpx.HTTPError, msgspec.DecodeError, ValueError) as error:
        raise _unavailable(repr(error)) from error
    if not is_signed(entropy.chain, entropy.round, signature):
        raise _unavailable(f"{url} sent a wrong signature")
    return signature


async def _signature_at(client: "httpx.AsyncClient", url: str) -> bytes:
    content = b""
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > LARGEST_ANSWER_BYTES:
                raise ValueError("the answer is too long")
    return bytes.fromhex(msgspec.json.decode(content, type=_Round).signature)


def _unavailable(private: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        "The drand network can't be asked for the round now. The draw stays closed; try again, "
        "or send the round's signature.",
        private=private,
    )
