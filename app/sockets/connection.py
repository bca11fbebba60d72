"""One client's connection: in whose name, which rooms it follows, and until when."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

from engineio.async_socket import AsyncSocket
from engineio.packet import Packet
from litestar.types import Scope
from socketio.exceptions import ConnectionRefusedError as Refused

from app.auth.service import identify, utc_now
from app.auth.throttle import admit
from app.auth.tokens import VerifiedToken
from app.errors import AppError, Conflict, Forbidden, InternalError, InvalidToken, Unauthorized
from app.events.hub import HUB, Follower
from app.events.limits import one_at_address, one_of_person
from app.events.log import Place
from app.events.reading import End, Reader, asking, end_of_heard
from app.metrics import STREAMS
from app.participants.roles import HELD_FROM, Right
from app.participants.service import Membership, membership
from app.rooms.service import find_room
from app.sockets.messages import Message, packets_of, written

logger = logging.getLogger(__name__)

SIGN_IN_SECONDS = 10.0
"""How long a connection may be nobody's."""
SLOW_SECONDS = 20.0
"""How long a client may leave unread what waits for it."""
MOST_WAITING = 12
"""Packets that wait for a client; the events after them stay in the log. Python's client takes no
more than sixteen of an answer."""
MOST_ROOMS = 100
MESSAGES_PER_SECOND = 20.0
MOST_MESSAGES_AT_ONCE = 200.0

FAILED = {
    "invalid": "Authentication failed: Invalid token",
    "expired": "Authentication failed: Token expired",
    "revoked": "Authentication failed: Token revoked",
}
NO_TOKEN = "Authentication failed: No token provided"  # noqa: S105 - a sentence


class Wire(Protocol):
    """What a connection needs of the server."""

    def socket(self, name: str) -> AsyncSocket | None:
        """Find the transport of a connection."""

    async def send(self, name: str, packet: Packet) -> None:
        """Let a packet wait for its transport."""

    async def dismiss(self, client: str) -> None:
        """Tell a client that it is not connected any more."""

    def forget(self, name: str) -> None:
        """Forget a connection."""


class Subscription(Reader):
    """A room that a client follows, for as long as its person is in it."""

    def __init__(self, member: Membership, token: VerifiedToken) -> None:
        """Follow a room in somebody's name."""
        super().__init__(f"roomId {member.room_id}", token, member=member)

    async def _check(self) -> End | None:
        return await super()._check() or (None if self.is_member else End.NO_ACCESS)


class Connection:
    """From the first request of its transport to the last."""

    def __init__(self, wire: Wire, name: str, scope: Scope) -> None:
        """Begin in nobody's name."""
        self._wire = wire
        self._name = name
        self._scope = scope
        self._client: str | None = None
        """As who it is connected in the library; None as long as it is nobody's."""
        self._follower = Follower(f"socket {name}", None)
        """Of nothing: it is woken when its token is revoked or its time has come."""
        self._follower.due_at = time.monotonic() + SIGN_IN_SECONDS
        self._following: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._words_left, self._said_at = MOST_MESSAGES_AT_ONCE, time.monotonic()
        self._at_address, self._of_person = ExitStack(), ExitStack()
        self._at_address.enter_context(HUB.counting(one_at_address(scope).name))
        self.over = asyncio.Event()
        self.living = asyncio.create_task(self._live())

    @property
    def is_over(self) -> bool:
        """Whether nothing more is heard from it."""
        return self.over.is_set()

    def end(self) -> None:
        """Close the transport. Clients come back by themselves."""
        self.over.set()
        self._follower.woken.set()

    def may_say_more(self) -> bool:
        """Count a packet of the client, and tell whether it is not one too many."""
        now = time.monotonic()
        regained = (now - self._said_at) * MESSAGES_PER_SECOND
        self._words_left = min(MOST_MESSAGES_AT_ONCE, self._words_left + regained) - 1
        self._said_at = now
        return self._words_left >= 0

    async def sign_in(self, client: str, auth: object) -> None:
        """Go on in the name of an access token. Counts as a request.

        Raises:
            Refused: With the sentence that clients know.
        """
        if self._client is not None:
            raise Refused("Connected already")
        try:
            token = await self._identify(auth)
            counted = one_of_person(token)
        except AppError as refusal:
            raise Refused(refusal.message) from refusal
        except Refused:
            raise
        except Exception as error:
            logger.exception("can't tell who connects")
            raise Refused(InternalError.default_message) from error
        self._of_person.enter_context(HUB.counting(counted.name))
        self._client = client
        self._follower.token = token
        self._follower.due_at = time.monotonic() + token.claims.exp - time.time()

    async def _identify(self, auth: object) -> VerifiedToken:
        text = auth.get("token") if isinstance(auth, Mapping) else None
        sent = text if isinstance(text, str) else ""
        try:
            token = await identify(sent, utc_now()) if text else None
        except InvalidToken as error:
            await admit(self._scope, None)
            raise Refused(FAILED[error.was]) from error
        except Forbidden:  # guests have no sockets
            await admit(self._scope, None)
            raise
        await admit(self._scope, token)
        if token is None:
            raise Refused(NO_TOKEN)
        return token

    def sign_out(self) -> None:
        """Be nobody's again, who may sign in once more."""
        self._client = self._follower.token = None
        self._follower.due_at = time.monotonic() + SIGN_IN_SECONDS
        self._of_person.close()
        for task in self._tasks:
            task.cancel()
        self._following.clear()

    async def subscribe(self, room_id: str) -> Mapping[str, Any]:
        """Follow a room, which is read after the place from which on it is followed.

        Returns:
            What is told of the room.

        Raises:
            NotFound, Forbidden: It is not a room of theirs.
            Conflict: It is one too many.
            RateLimitExceeded: They have asked for too much.
        """
        token = self._signed_in()
        await admit(self._scope, token)
        place = end_of_heard()
        async with asking:
            member = await membership(token.claims.sub, room_id)
            subscription = Subscription(member, token)
            if not subscription.is_member:
                raise Forbidden("Only who is in the room can follow it.")
            found = await find_room(room_id)
        self._signed_in()
        if room_id not in self._following and len(self._following) >= MOST_ROOMS:
            raise Conflict(f"At most {MOST_ROOMS} rooms at once: unsubscribe from one first.")
        room = {"id": room_id, "name": found["name"], "status": found["status"]}
        # The library sends the answer before it comes to these.
        _ = self._start(self._tell("room:subscribed", roomId=room_id, room=room))
        if room_id not in self._following:
            self._following[room_id] = self._start(self._follow(room_id, subscription, place))
        return room

    def unsubscribe(self, room_id: str) -> None:
        """Follow a room no longer."""
        self._signed_in()
        if (task := self._following.pop(room_id, None)) is not None:
            task.cancel()
        _ = self._start(self._tell("room:unsubscribed", roomId=room_id))

    async def member_of(self, room_id: str, right: Right) -> Membership:
        """Tell what their person is in a room in which they are to do something. Asks the database.

        Raises:
            NotFound, Forbidden: They may not.
            InvalidToken: The token does not hold any more.
            RateLimitExceeded: They have asked for too much.
        """
        token = self._signed_in()
        await admit(self._scope, token)
        async with asking:
            return await membership(
                token.claims.sub, room_id, at_least=HELD_FROM[right], still_signed_in_by=token
            )

    def _signed_in(self) -> VerifiedToken:
        if self._client is None or self._follower.token is None:
            raise Unauthorized
        return self._follower.token

    async def _live(self) -> None:
        """Stay until the client goes, or may not stay."""
        with self._at_address, self._of_person, STREAMS.track_inprogress():
            with HUB.following(self._follower):
                await self._stay()
            self.over.set()
            if (socket := self._wire.socket(self._name)) is not None:
                await socket.close(wait=False)
        for task in self._tasks:
            task.cancel()
        self._wire.forget(self._name)

    async def _stay(self) -> None:
        while HUB.is_open and not (self.is_over or self._wire.socket(self._name) is None):
            self._follower.woken.clear()
            if self._follower.due_at > time.monotonic() and not self._follower.is_revoked:
                await self._follower.woken.wait()
            elif self._client is None:
                return
            else:
                await self._wire.dismiss(self._client)
                self.sign_out()

    async def _follow(self, room_id: str, subscription: Subscription, place: Place) -> None:
        is_out = False
        with HUB.following(subscription):
            async for turn in subscription.read(place, resumes=True):
                match turn:
                    case Place():  # something may be missing: who comes back reads the room again
                        self.end()
                        return
                    case End():
                        is_out = turn is End.NO_ACCESS
                    case _:
                        for event in turn:
                            for packet in await packets_of(event):
                                await self._send(packet)
        if is_out:
            self._following.pop(room_id, None)
            await self._tell("room:unsubscribed", roomId=room_id)

    async def _tell(self, name: str, **content: Any) -> None:
        await self._send(written(Message(name, content)))

    async def _send(self, packet: Packet) -> None:
        """Send when the client has read what waits for it.

        Raises:
            TimeoutError: It reads too slowly.
        """
        if (socket := self._wire.socket(self._name)) is None:
            return
        async with asyncio.timeout(SLOW_SECONDS):
            while socket.queue.qsize() >= MOST_WAITING:
                await socket.queue.join()
        await self._wire.send(self._name, packet)

    def _start(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.info("a socket can't go on: %r", error)
            self.end()
