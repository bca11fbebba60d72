"""The server that speaks Socket.IO (protocol 5): who may come, and what they may say."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast
from urllib.parse import parse_qs

import msgspec
from engineio.async_socket import AsyncSocket
from engineio.packet import NOOP, Packet
from engineio.payload import Payload
from litestar.enums import ScopeType
from litestar.types import Message, Receive, ReceiveMessage, Scope, Send
from socketio import ASGIApp, AsyncServer

from app.database.caller import called_by
from app.errors import (
    AppError,
    InternalError,
    ServiceUnavailable,
    Unauthorized,
    ValidationFailed,
)
from app.events.limits import one_at_address
from app.events.mover import MOVER
from app.http.bodies import require_storable
from app.http.errors import PASSING_FAULTS
from app.settings import settings
from app.sockets.connection import SLOW_SECONDS, Connection, Wire
from app.sockets.quiz import ACTIONS, Action, Wanted

WantedT = TypeVar("WantedT", bound=Wanted)
Take: TypeAlias = Callable[[Packet], Awaitable[None]]

logger = logging.getLogger(__name__)

LONGEST_PING_SECONDS = 25
PING_TIMEOUT_SECONDS = 20
MOST_MESSAGE_BYTES = 64_000
MOST_PACKETS = 128
"""In one request of a client that polls: as many rooms as it may subscribe to, at once."""
ATTACHING = ("5", "6")
"""What messages begin with that announce binary parts, of which any number would be kept."""

_library_logger = logging.getLogger("app.sockets.library")
_library_logger.disabled = True  # it writes a traceback for whatever nonsense a client sends


class Server(Wire):
    """All clients of this process. One event loop."""

    def __init__(self) -> None:
        """Prepare the library, and come before it where what clients do is told."""
        Payload.max_decode_packets = MOST_PACKETS
        # A request of a client that polls lasts until the next ping, and may not last too long.
        ping_seconds = min(LONGEST_PING_SECONDS, max(1, int(settings().REQUEST_SECONDS * 3 / 4)))
        self._library = AsyncServer(
            async_mode="asgi",
            async_handlers=False,
            cors_allowed_origins=[],  # which Litestar sees to
            http_compression=False,
            logger=_library_logger,
            engineio_logger=_library_logger,
            max_http_buffer_size=MOST_MESSAGE_BYTES,
            ping_interval=ping_seconds,
            ping_timeout=PING_TIMEOUT_SECONDS,
        )
        self._app = ASGIApp(self._library)
        self._connections: dict[str, Connection] = {}
        self._library_opens, self._library_hears, self._library_closes = (
            self._library.eio.handlers[event] for event in ("connect", "message", "disconnect")
        )
        self._library.eio.disconnect = self._let_go
        self._library.eio.on("connect", self._open)
        self._library.eio.on("message", self._hear)
        self._library.eio.on("disconnect", self._close)
        self._library.on("connect", self._sign_in)
        self._library.on("disconnect", self._sign_out)
        self._library.on("room:subscribe", self._subscribe)
        self._library.on("room:unsubscribe", self._unsubscribe)
        for name, action in ACTIONS.items():
            self._library.on(name, partial(self._act, action))

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a websocket.

        Raises:
            RateLimitExceeded: Another connection is to begin, and the address has as many as it
                may.
        """
        known = parse_qs(scope["query_string"].decode("latin-1")).get("sid")
        if known is None:
            one_at_address(scope)
        if scope["type"] == ScopeType.HTTP:
            first = await receive()
            if first["type"] == "http.request":  # else the client has gone
                await self._app(scope, _again(first, receive), send)
            return
        state = scope["state"]
        state["connection"] = known and self._connections.get(known[0])
        try:
            await self._app(scope, _until_over(state, receive), _in_time(send))
        except (ValueError, RecursionError) as error:
            logger.info("a websocket sent what can't be read: %.200r", error)
        finally:
            if state["connection"] is not None:
                state["connection"].end()

    async def close(self) -> None:
        """Let go of everybody."""
        for connection in [*self._connections.values()]:
            connection.end()
        await asyncio.gather(*(each.living for each in [*self._connections.values()]))
        await self._library.shutdown()

    def socket(self, name: str) -> AsyncSocket | None:
        """Find the transport of a connection."""
        socket = self._library.eio.sockets.get(name)
        return None if socket is None or socket.closed else socket

    async def send(self, name: str, packet: Packet) -> None:
        """Let a packet wait for its transport."""
        await self._library.eio.send_packet(name, packet)

    async def dismiss(self, client: str) -> None:
        """Tell a client that it is not connected any more, nor will be by itself."""
        await self._library.disconnect(client)

    def forget(self, name: str) -> None:
        """Forget a connection."""
        self._connections.pop(name, None)

    async def _let_go(self, name: str) -> None:
        """Close what misbehaves. The library's own would wait until the client has read all."""
        if (socket := self.socket(name)) is not None:
            await socket.close(wait=False)

    async def _open(self, name: str, environ: Mapping[str, Any]) -> None:
        """Begin a connection, in nobody's name as yet."""
        scope = environ["asgi.scope"]
        connection = Connection(self, name, scope)
        self._connections[name] = scope["state"]["connection"] = connection
        socket = self._library.eio.sockets[name]
        socket.receive = partial(self._receive, connection, socket.receive)
        await self._library_opens(name, environ)

    async def _receive(self, connection: Connection, take: Take, packet: Packet) -> None:
        """Receive what a client sends, be it no message at all, unless it is too much."""
        if connection.is_over:
            return
        if connection.may_say_more():
            await take(packet)
        else:
            connection.end()

    async def _hear(self, name: str, data: object) -> None:
        """Hear what a client says, as long as it behaves."""
        connection = self._connections.get(name)
        if connection is None or connection.is_over:
            return
        if isinstance(data, str) and not data.startswith(ATTACHING):
            await self._library_hears(name, data)
        else:
            connection.end()

    async def _close(self, name: str, reason: str) -> None:
        await self._library_closes(name, reason)
        if name in self._connections:
            self._connections[name].end()
        if (socket := self.socket(name)) is not None:
            # A request that waits for news would wait on: nobody would hear them.
            socket.queue.put_nowait(Packet(NOOP))

    async def _sign_in(self, client: str, _: object, auth: object = None) -> None:
        await self._connection(client).sign_in(client, auth)

    async def _sign_out(self, client: str, *_: object) -> None:
        with suppress(Unauthorized):
            self._connection(client).sign_out()

    async def _subscribe(self, client: str, *given: object) -> Mapping[str, Any]:
        try:
            room = await self._connection(client).subscribe(_room_of(given))
        except AppError as refusal:
            return _refused(refusal)
        except Exception:
            logger.exception("can't subscribe")
            return _refused(InternalError())
        return {"success": True, "room": room}

    async def _unsubscribe(self, client: str, *given: object) -> Mapping[str, Any]:
        try:
            self._connection(client).unsubscribe(_room_of(given))
        except AppError as refusal:
            return _refused(refusal)
        return {"success": True}

    async def _act(self, action: Action, client: str, *given: object) -> Mapping[str, Any]:
        """Do something of a quiz in the name of a client."""
        try:
            wanted = _read(given, action.says, action.form)
            connection = self._connection(client)
            member = await connection.member_of(wanted.roomId, action.right)
            with called_by(member.user_id):
                answered = await action.do(member, wanted)
        except AppError as refusal:
            return _refused(refusal, refusal.code)
        except PASSING_FAULTS as error:
            logger.warning("can't do what a client says of a quiz: %r", error)
            return _refused(ServiceUnavailable(), ServiceUnavailable.code)
        except Exception:
            logger.exception("can't do what a client says of a quiz")
            return _refused(InternalError(), InternalError.code)
        MOVER.poke()
        return {"success": True, **msgspec.to_builtins(answered)}

    def _connection(self, client: str) -> Connection:
        name = self._library.manager.eio_sid_from_sid(client, "/")
        if name not in self._connections:
            raise Unauthorized
        return self._connections[name]


def _room_of(given: tuple[object, ...]) -> str:
    return _read(given, Wanted, "{roomId}, the id of a room").roomId


def _read(given: tuple[object, ...], expected: type[WantedT], form: str) -> WantedT:
    """Read what a client says.

    Raises:
        ValidationFailed: It has another form.
    """
    try:
        found = msgspec.convert(given[0] if given else None, expected)
        require_storable(msgspec.to_builtins(found), max_bytes=MOST_MESSAGE_BYTES)
    except (msgspec.ValidationError, ValidationFailed) as error:
        raise ValidationFailed(f"Send {form}.") from error
    return found


def _refused(refusal: AppError, code: str = "SUBSCRIPTION_FAILED") -> Mapping[str, Any]:
    return {"success": False, "error": {"code": code, "message": refusal.message}}


def _again(first: ReceiveMessage, receive: Receive) -> Receive:
    """Receive what was received already, and then the rest."""
    unread = [first]

    async def receive_again() -> ReceiveMessage:
        return unread.pop() if unread else await receive()

    return receive_again


def _until_over(state: Mapping[str, Any], receive: Receive) -> Receive:
    """Receive from a websocket as long as its connection goes on."""

    async def receive_until_over() -> ReceiveMessage:
        connection: Connection | None = state["connection"]
        if connection is None:
            return await receive()
        coming = [asyncio.ensure_future(receive()), asyncio.ensure_future(connection.over.wait())]
        try:
            await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
            if coming[0].done():
                return cast("ReceiveMessage", coming[0].result())
        finally:
            for each in coming:
                each.cancel()
        return {"type": "websocket.disconnect", "code": 1000}

    return receive_until_over


def _in_time(send: Send) -> Send:
    """Send to a websocket, and give up a client that does not read."""

    async def send_in_time(message: Message) -> None:
        async with asyncio.timeout(SLOW_SECONDS):
            await send(message)

    return send_in_time
