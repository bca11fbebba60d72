"""Work that many ask for at once, done for all of them together.

Who comes first is served alone, at once. Who asks for the like while that is under way waits, and
is served with all who wait when it has ended: nobody gets an answer that was begun before they
asked.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

MOST_TOGETHER = 100
"""Served by one statement or in one transaction."""
LONGEST_ROUND_SECONDS = 15.0
"""No request waits for a round as its own; one whose connection is dead must end all the same."""

Key = TypeVar("Key", bound=Hashable)
Wish = TypeVar("Wish")
Answer = TypeVar("Answer")


class Turns(Generic[Key, Wish, Answer]):
    """Who waits for whom, by what is asked for. For one process and one event loop."""

    def __init__(
        self, together: Callable[[Key, Sequence[Wish]], Awaitable[Sequence[Answer | None]]]
    ) -> None:
        """Start with nobody.

        Args:
            together: Serves those who waited, in the order in which they came. None in its answers
                is for who has to be served alone.
        """
        self._together = together
        self._waiting: dict[Key, list[_Place[Wish, Answer]]] = {}
        self._rounds: set[asyncio.Task[None]] = set()

    async def serve(self, key: Key, wish: Wish, alone: Callable[[], Awaitable[Answer]]) -> Answer:
        """Serve somebody.

        Args:
            key: What only one at a time is served of.
            wish: What `together` has to know of this one.
            alone: Serves this one, and says why if it can't be. Used for who comes first, and for
                whom serving together failed or found no answer.
        """
        if key in self._waiting:
            place: _Place[Wish, Answer] = _Place(wish)
            self._waiting[key].append(place)
            answer = await place.answer
            return await alone() if answer is None else answer
        self._waiting[key] = []
        try:
            return await alone()
        finally:
            self._pass_on(key)

    def _pass_on(self, key: Key) -> None:
        """Let those who wait have their turn, whoever of them is still there."""
        places = [place for place in self._waiting.pop(key) if not place.answer.done()]
        if places:
            self._waiting[key] = places[MOST_TOGETHER:]
            # Not in the context of the one who happens to start it: neither its log nor its trace.
            round_ = asyncio.create_task(
                self._serve_together(key, places[:MOST_TOGETHER]), context=contextvars.Context()
            )
            self._rounds.add(round_)
            round_.add_done_callback(self._rounds.discard)

    async def _serve_together(self, key: Key, places: "Sequence[_Place[Wish, Answer]]") -> None:
        answers: Sequence[Answer | None] = [None] * len(places)
        try:
            async with asyncio.timeout(LONGEST_ROUND_SECONDS):
                answers = await self._together(key, [place.wish for place in places])
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may fail by another's fault
            logger.warning("serving %s together failed: %r", len(places), error)
        finally:
            self._pass_on(key)
            for place, answer in zip(places, answers, strict=True):
                if not place.answer.done():
                    place.answer.set_result(answer)


class _Place(Generic[Wish, Answer]):
    """Where somebody waits."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.answer: asyncio.Future[Answer | None] = asyncio.Future()
