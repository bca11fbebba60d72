"""A stream of events (Server-Sent Events) to one client, for as long as it may hear them."""

from collections.abc import AsyncIterator, Sequence

from app.events.hub import HUB, Heard
from app.events.limits import Counted
from app.events.log import Place
from app.events.reading import End, Reader
from app.metrics import STREAMS

COMMENT_SECONDS = 15.0
"""Longest silence: proxies and clients close what says nothing."""
RETRY_MILLISECONDS = 2_000
COMMENT = b":\n\n"
LARGEST_PIECE = 64_000


class Stream(Reader):
    """One client's stream."""

    silence_seconds = COMMENT_SECONDS

    async def frames(
        self, begin: Place, after: Place | None, counted: Sequence[Counted]
    ) -> AsyncIterator[bytes]:
        """Yield what the client is sent.

        Args:
            begin: How far the log went before it was asked what the client may hear.
            after: How far it has read; None for what happens from then on.
            counted: Under what the stream counts as open.
        """
        names = [each.name for each in counted]
        with HUB.counting(*names), STREAMS.track_inprogress(), HUB.following(self):
            if any(each.is_over for each in counted):
                yield _end(End.TOO_MANY)
                return
            place = after or begin
            yield f"retry: {RETRY_MILLISECONDS}\nid: {place}\n\n".encode()
            async for turn in self.read(place, resumes=after is not None):
                match turn:
                    case Place():
                        yield _reset(turn)
                    case End():
                        yield _end(turn)
                    case _:
                        for piece in _pieces(turn) or (COMMENT,):
                            yield piece


def _pieces(events: Sequence[Heard]) -> list[bytes]:
    """Join what is small, and copy nothing that is large: others are sent it, too."""
    pieces: list[bytes] = []
    for event in events:
        if pieces and len(pieces[-1]) + len(event.frame) <= LARGEST_PIECE:
            pieces[-1] += event.frame
        else:
            pieces.append(event.frame)
    return pieces


def _end(reason: End) -> bytes:
    return b'event: end\ndata: {"reason":"%b"}\n\n' % reason.encode()


def _reset(place: Place) -> bytes:
    return b'id: %b\nevent: reset\ndata: {"position":"%b"}\n\n' % ((str(place).encode(),) * 2)
