"""Which app is calling: its id and secret in `Authorization: Basic`, known once they were right.

An app that identifies itself is counted by itself and has the rights of anyone. The permissions of
its manifest grant nothing more yet.

PostgreSQL announces every change of an app's secret or standing (the migration `announce_apps`), so
what is known stays right without a query. While this process can't hear, it asks each time.
"""

import base64
import hmac
from collections import OrderedDict

import asyncpg
import msgspec

from app.auth.tokens import token_hash
from app.database.engine import fetchval
from app.database.listener import LISTENER, Subject
from app.errors import InvalidCredentials
from app.tables import App

CHANNEL = "apps"
CAPACITY = 1_000
LONGEST_CREDENTIALS = 1_024
"""Characters. With an id and a secret of ours they have about 150 at most."""
CHALLENGE = 'Basic realm="apps", charset="UTF-8"'

_IN_FORCE = f'(SELECT * FROM {App.alive()} a WHERE "isActive") a'


class AppCredentials(msgspec.Struct, frozen=True):
    """Who an app says that it is."""

    app_id: str
    secret_hash: str


class KnownApps:
    """Credentials that were right, and still are as far as was announced."""

    def __init__(self, capacity: int) -> None:
        """Start empty.

        Args:
            capacity: Apps. When it is full, the one that came first goes.
        """
        self.changes = 0
        """Counts what was announced."""
        self._capacity = capacity
        self._hashes: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        """Apps known."""
        return len(self._hashes)

    def has(self, credentials: AppCredentials) -> bool:
        """Whether they were right when they were read last."""
        known = self._hashes.get(credentials.app_id, "")
        return hmac.compare_digest(known, credentials.secret_hash)

    def add(self, credentials: AppCredentials, *, read_at: int) -> None:
        """Remember what was right, unless something was announced since it was read.

        Args:
            credentials: What was right.
            read_at: `changes`, before it was read.
        """
        if read_at != self.changes:
            return
        self._hashes[credentials.app_id] = credentials.secret_hash
        if len(self._hashes) > self._capacity:
            self._hashes.popitem(last=False)

    def forget(self, app_id: str) -> None:
        """Hear that an app has changed."""
        self.changes += 1
        self._hashes.pop(app_id, None)

    async def catch_up(self, connection: asyncpg.Connection) -> None:
        """Keep what is still right after a time in which nothing was heard."""
        self.changes += 1
        hashes, self._hashes = self._hashes, OrderedDict()
        statement = f'SELECT "appId", "appSecret" FROM {_IN_FORCE} WHERE "appId" = ANY($1)'
        for app_id, secret_hash in await connection.fetch(statement, list(hashes)):
            if hashes[app_id] == secret_hash:
                self._hashes[app_id] = secret_hash


known_apps = KnownApps(CAPACITY)


def read_credentials(encoded: str) -> AppCredentials:
    """Read what follows `Basic` (RFC 7617).

    Raises:
        InvalidCredentials: It is not an id and a secret.
    """
    if len(encoded) > LONGEST_CREDENTIALS:
        raise _refusal(f"the app's credentials have {len(encoded)} characters")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except ValueError as error:
        raise _refusal("the app's credentials are not UTF-8 in base64") from error
    app_id, colon, secret = text.partition(":")
    if not (app_id.isprintable() and app_id and colon):
        raise _refusal("the app's credentials are not an id and a secret")
    return AppCredentials(app_id, token_hash(secret))


async def confirm_app(credentials: AppCredentials) -> None:
    """Tell whether an app is the one that it says: without a query, once it was.

    Raises:
        InvalidCredentials: There is no such app, it is closed, or has another secret.
    """
    if known_apps.has(credentials) and LISTENER.is_hearing:
        return
    changes = known_apps.changes
    statement = f'SELECT "appSecret" FROM {_IN_FORCE} WHERE "appId" = $1'
    secret_hash = await fetchval(statement, credentials.app_id)
    if not hmac.compare_digest(secret_hash or "", credentials.secret_hash):
        raise _refusal(f"app {credentials.app_id!r:.80}: no such app in force, or another secret")
    known_apps.add(credentials, read_at=changes)


def _refusal(cause: str) -> InvalidCredentials:
    return InvalidCredentials(
        "The app's id or secret is wrong.", private=cause, challenge=CHALLENGE
    )


LISTENER.hear(CHANNEL, Subject(known_apps.forget, known_apps.catch_up))
