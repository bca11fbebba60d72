"""Apps: finding them and their versions, and what a version says about the settings of rooms."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from app.applications.hidden_settings import reader_of
from app.applications.schema_nodes import Node
from app.applications.settings_schema import (
    SettingsValidator,
    check_settings,
    settings_schema_of,
    validator_for,
)
from app.database.engine import fetchrow
from app.database.listing import Listing, PageRequest, Position
from app.database.versions import VERSION
from app.errors import Conflict, InvalidManifest, NotFound
from app.tables import User

SHOWN = f"""
    a.id, a."appId", a.manifest, a."manifestVersion", a."isActive", a."createdAt", a."updatedAt",
    a."manifestPublishedAt", a."manifestDeprecatedAt", a."manifestDeprecationReason", a.{VERSION}
"""
"""What is shown of an app; its history is long and read only where it is needed."""
_LISTING = Listing(
    found=['FROM apps x WHERE x."isActive" AND x."deletedAt" IS NULL'],
    shown=SHOWN,
    joined="JOIN apps a ON a.id = page.id",
)


MOST_KEPT_READERS = 1_000
_readers: "OrderedDict[tuple[str, str], Node | None]" = OrderedDict()


class AppVersion(msgspec.Struct, frozen=True):
    """A version that an app published."""

    version: str
    publishedAt: datetime | None = None
    """None where a database that was taken over doesn't know."""
    deprecatedAt: datetime | None = None
    deprecationReason: str | None = None
    current: bool = False

    @property
    def position(self) -> Position:
        """Where it stands in the list of versions."""
        return Position(self.publishedAt or datetime.fromtimestamp(0, UTC), self.version)


async def list_apps(page: PageRequest) -> tuple[Sequence[asyncpg.Record], int]:
    """List the active apps, oldest first; one more than asked for when more follow."""
    return await _LISTING.fetch(page)


async def find_app(viewer: str | None, app_id: str) -> asyncpg.Record:
    """Read an app: an active one, or for platform administrators any.

    Raises:
        NotFound: There is none of this appId.
    """
    row = await fetchrow(f"SELECT {SHOWN} {_VISIBLE}", app_id, viewer)
    if row is None:
        raise NotFound("There is no such app.")
    return row


async def list_versions(
    viewer: str | None, app_id: str, page: PageRequest
) -> tuple[list[AppVersion], int]:
    """List the versions of an app that `find_app` would find, newest first.

    Returns:
        The page, with one more when more follow, and how many there are.

    Raises:
        NotFound: There is none of this appId.
    """
    row = await fetchrow(
        f"""
        SELECT a."manifestVersion", a."manifestPublishedAt", a."manifestDeprecatedAt",
            a."manifestDeprecationReason", true AS current, (
                SELECT COALESCE(jsonb_agg(h.entry - 'manifest' ORDER BY h.position), '[]')
                FROM jsonb_array_elements(a."manifestHistory")
                    WITH ORDINALITY AS h(entry, position)
            ) AS earlier
        {_VISIBLE}
        """,
        app_id,
        viewer,
    )
    if row is None:
        raise NotFound("There is no such app.")
    *present, earlier = row
    versions = msgspec.json.decode(earlier, type=list[AppVersion])
    versions = [AppVersion(*present), *reversed(versions)]
    start = page.offset
    if page.after is not None:
        names = [each.version for each in versions]
        start = names.index(page.after.id) + 1 if page.after.id in names else len(names)
    return versions[start : start + page.limit + 1], len(versions)


_VISIBLE = f"""
    FROM apps a WHERE a."appId" = $1 AND a."deletedAt" IS NULL AND (
        a."isActive" OR EXISTS (SELECT FROM {User.alive()} u WHERE u.id = $2 AND u."isAdmin")
    )
"""


async def lock_for_new_room(app_id: str) -> asyncpg.Record:
    """Read an app that new rooms may use, and keep it as it is until the transaction ends.

    Raises:
        NotFound: There is no such app.
        Conflict: It takes no new rooms.
    """
    row = await fetchrow(
        f'SELECT {SHOWN} FROM apps a WHERE "appId" = $1 AND "deletedAt" IS NULL FOR SHARE', app_id
    )
    if row is None:
        raise NotFound("There is no such app.")
    if not row["isActive"]:
        raise Conflict("This app takes no new rooms.")
    if row["manifestDeprecatedAt"] is not None:
        raise Conflict(
            f"Version {row['manifestVersion']} of this app is deprecated and takes no new rooms: "
            f"{row['manifestDeprecationReason']}",
        )
    return row


async def check_room_settings(app_id: str, version: str, settings: Mapping[str, Any]) -> None:
    """Check a room's settings against the manifest version that the room is locked to.

    Raises:
        NotFound: The app never had this version.
        ValidationFailed: Names every setting that doesn't fit.
    """
    found = await find_version(app_id, version)
    check_settings(validator_of(app_id, version, found["manifest"]), settings)


async def hiding_schema(app_id: str, version: str) -> Node | None:
    """Give the settings schema of a version for `public_settings`; None where it hides nothing.

    A version's schema never changes, so what it hides is found out once.
    """
    key = (app_id, version)
    if key not in _readers:
        try:
            found = await find_version(app_id, version)
        except NotFound:  # in a database that was taken over; nothing is said of its settings
            return None
        _readers[key] = reader_of(msgspec.json.decode(found["manifest"]).get("settings"))
        if len(_readers) > MOST_KEPT_READERS:
            _readers.popitem(last=False)
    return _readers[key]


async def find_version(app_id: str, version: str) -> asyncpg.Record:
    """Read a version that an app published: its manifest, and what `AppVersion` tells of it.

    Raises:
        NotFound: The app never had this version.
    """
    row = await fetchrow(
        f'SELECT $2 AS version, v.* FROM apps a, {published("$2")} v WHERE a."appId" = $1',
        app_id,
        version,
    )
    if row is None:
        raise NotFound("The app has no such version.")
    return row


def published(version: str) -> str:
    """Write the SQL that finds a version of the app `a`, wherever it is kept.

    The history is read for an earlier version only.

    Args:
        version: An SQL expression.
    """
    return f"""
        LATERAL (
            SELECT a.manifest, a."manifestPublishedAt" AS "publishedAt",
                a."manifestDeprecatedAt" AS "deprecatedAt",
                a."manifestDeprecationReason" AS "deprecationReason", true AS current
            WHERE a."manifestVersion" = {version}
            UNION ALL
            SELECT h -> 'manifest', (h ->> 'publishedAt')::timestamptz,
                (h ->> 'deprecatedAt')::timestamptz, h ->> 'deprecationReason', false
            FROM jsonb_array_elements(a."manifestHistory") h
            WHERE a."manifestVersion" <> {version} AND h ->> 'version' = {version}
            LIMIT 1
        )
    """


def validator_of(app_id: str, version: str, manifest: str) -> SettingsValidator:
    """Give the validator of room settings of a version.

    Args:
        app_id: The app's public identifier.
        version: The version.
        manifest: Its manifest as JSON; one that was adopted may be any document.

    Raises:
        Conflict: It has no schema of settings that may be used.
    """
    schema = settings_schema_of(msgspec.json.decode(manifest))
    try:
        return validator_for(app_id, version, schema)
    except InvalidManifest as error:
        raise Conflict(
            f"Version {version} of this app has no settings schema that may be used:"
            " rooms need a version that has one."
        ) from error
