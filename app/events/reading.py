"""Reading the log on, from a place, for as long as somebody may hear what it says."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from enum import StrEnum
from functools import partial

from app.auth.revocation import is_revoked
from app.auth.tokens import VerifiedToken
from app.database.turns import Turns
from app.errors import NotFound, ServiceUnavailable
from app.events.catalogue import kind_of
from app.events.hub import HUB, Follower, Heard
from app.events.log import Place, has_all_after, missed
from app.events.telling import READERS
from app.participants.roles import Rank
from app.participants.service import Membership, membership

CHECK_SECONDS = 60.0
"""How often it is asked whether a platform administrator still is one: no event tells."""

LONGEST_ASKING_SECONDS = 12.0
"""A server that does not answer any more is given up, and with it who asked."""

asking = asyncio.Semaphore(4)
"""Clients that come back all at once leave connections to the others."""


class End(StrEnum):
    """Why somebody hears nothing more."""

    EXPIRED = "token_expired"
    REVOKED = "token_revoked"
    NO_ACCESS = "no_access"
    TOO_MANY = "too_many"


class Reader(Follower):
    """Somebody who reads what happens in a room, or to a person in all rooms."""

    silence_seconds = CHECK_SECONDS
    """How long at most nothing comes, not even nothing."""

    def __init__(
        self,
        key: str,
        token: VerifiedToken | None,
        *,
        types: frozenset[str] | None = None,
        member: Membership | None = None,
    ) -> None:
        """Begin.

        Args:
            key: As `Follower` has it.
            token: In whose name; None for anonymous visitors.
            types: The only ones that are told; None for all.
            member: What they are in the room, if it is a room's.
        """
        super().__init__(key, token)
        self._types = types
        self._member = member
        self._check_at = time.monotonic() + CHECK_SECONDS

    async def read(
        self, place: Place, *, resumes: bool
    ) -> AsyncIterator[Place | Sequence[Heard] | End]:
        """Yield what comes after a place, as it comes. While the hub has them follow.

        A place says that something may be missing before it. No events at all say that it has been
        silent for long. The end is the last.

        Args:
            place: How far they have read.
            resumes: Whether that was before they followed.
        """
        self._rest()
        if resumes and not await _resumes(place):
            place = end_of_heard()
            yield place
        while HUB.is_open:
            self.woken.clear()
            if place.epoch != end_of_heard().epoch:
                place = end_of_heard()
                yield place
            ended = await self._ended() or await self._check_in_time()
            found = ([], place.position) if ended else await self._news(place)
            if found is None:
                place = end_of_heard()
                yield place
                continue
            news, position = found
            heard, lost = await self._listen(news)
            if heard:
                self._rest()
                yield heard
            if ended := ended or lost:
                yield ended
                return
            if position > place.position:
                place = Place(place.epoch, position)
                continue
            if self.due_at <= time.monotonic():
                self._rest()
                yield ()
            await self.woken.wait()

    def _rest(self) -> None:
        """Set when there is something to do though nothing happens."""
        seconds = self.silence_seconds
        if self.token is not None:
            seconds = min(seconds, self.token.claims.exp - time.time())
        self.due_at = time.monotonic() + seconds

    async def _ended(self) -> End | None:
        if self.token is None:
            return None
        if await is_revoked(self.token):
            return End.REVOKED
        return End.EXPIRED if self.token.claims.exp <= time.time() else None

    async def _news(self, place: Place) -> tuple[Sequence[Heard], int] | None:
        """Return what comes next, of memory or of the log, and how far that goes.

        None if the log has forgotten some of it.
        """
        topic = HUB.topic(self.key)
        if place.position >= topic.floor:
            kept = topic.after(place.position)
            return kept, kept[-1].position if kept else place.position
        floor = topic.floor
        wanted = (self.key, place)
        found = await _missed.serve(wanted, None, partial(_read_missed, wanted))
        if found is None:
            return None
        return found, found[-1].position if found else floor

    def _hears(self, event: Heard) -> bool:
        if self._types is not None and event.type not in self._types:
            return False
        if self._member is None:
            # Who opened a room may have left it: what becomes of it is told by its own stream.
            return kind_of(event.type) != "room" or event.type == "room.created"
        if event.audience == READERS:
            return True
        return self.is_member

    @property
    def is_member(self) -> bool:
        """Whether they are in the room, as who was brought in or as who may be in any."""
        is_in = self._member is not None and self._member.participant_id is not None
        return is_in or self._is_platform_administrator

    @property
    def _is_platform_administrator(self) -> bool:
        return self._member is not None and self._member.rank is Rank.PLATFORM_ADMINISTRATOR

    async def _listen(self, news: Iterable[Heard]) -> tuple[list[Heard], End | None]:
        """Return what of the news is for this client, and why it is the last.

        What somebody is in the room is asked again when it may have changed, before they hear what
        came after. Once is enough: the answer is younger than all the news.
        """
        heard: list[Heard] = []
        is_sure = self._member is None
        for event in news:
            hears = self._hears(event)
            ended = None
            if not is_sure and self._touches(event):
                is_sure, ended = True, await self._check()
            if hears or (ended is None and self._hears(event)):
                heard.append(event)
            if ended:
                return heard, ended
        return heard, None

    async def _check_in_time(self) -> End | None:
        is_due = self._is_platform_administrator and self._check_at <= time.monotonic()
        return await self._check() if is_due else None

    async def _check(self) -> End | None:
        """Ask again what somebody is in the room."""
        if self._member is None:
            return None
        self._check_at = time.monotonic() + CHECK_SECONDS
        try:
            async with asking, asyncio.timeout(LONGEST_ASKING_SECONDS):
                self._member = await membership(self._member.user_id, self._member.room_id)
        except NotFound:
            return End.NO_ACCESS
        return None

    def _touches(self, event: Heard) -> bool:
        """Tell whether an event may have changed what this client may hear."""
        if event.type.startswith("participant."):
            who = {event.person, event.subject} - {None}
            return self._member is not None and not who.isdisjoint(
                (self._member.user_id, self._member.participant_id)
            )
        return event.type in {"room.deleted", "room.updated"}


async def _read_missed(wanted: tuple[str, Place]) -> Sequence[Heard] | None:
    key, place = wanted
    column, value = key.split(" ")
    async with asking, asyncio.timeout(LONGEST_ASKING_SECONDS):
        rows = await missed(column, value, place.position)
        # Afterwards: whoever is slow is overtaken by what is forgotten.
        if not await has_all_after(place.position):
            return None
    return [Heard(row, place.epoch) for row in rows]


async def _read_for_all(
    wanted: tuple[str, Place], turn: Sequence[None]
) -> Sequence[Sequence[Heard] | None]:
    return [await _read_missed(wanted)] * len(turn)


_missed: Turns[tuple[str, Place], None, Sequence[Heard] | None] = Turns(_read_for_all)
"""Who come back all at once miss the same: it is read, and written out, once."""


def end_of_heard() -> Place:
    """Return how far this process has heard.

    Raises:
        ServiceUnavailable: It has heard nothing yet.
    """
    if HUB.end is None:
        raise ServiceUnavailable(private="this process has not heard of the log yet")
    return HUB.end


async def _resumes(place: Place) -> bool:
    """Tell whether nothing is missing between a place and what comes next."""
    return place.epoch == end_of_heard().epoch and await has_all_after(place.position)
