"""What platform administrators do with apps: registering, publishing, deprecating, deleting.

Each takes the app's row lock, so whatever happens to one app at once happens one after the other:
of two publishers, the second is compared with what the first has published.
"""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from app.applications.compatibility import breaking_within_major
from app.applications.manifest import is_greater, is_version, parse_manifest, version_of
from app.applications.service import SHOWN, AppVersion, find_version
from app.auth.tokens import token_hash
from app.database.columns import rfc3339
from app.database.engine import fetch, fetchrow, fetchval, jsonb, transaction
from app.database.ids import new_id
from app.database.versions import ANY, VERSION, Precondition
from app.errors import AppHasRooms, BreakingChange, Conflict, NotFound, VersionNotGreater
from app.tables import Room

SECRET_BYTES = 32


_PUBLISH = f"""
    UPDATE apps SET
        "manifestHistory" = "manifestHistory" || jsonb_build_object(
            'version', "manifestVersion",
            'manifest', manifest,
            'publishedAt', {rfc3339('"manifestPublishedAt"')},
            'deprecatedAt', {rfc3339('"manifestDeprecatedAt"')},
            'deprecationReason', "manifestDeprecationReason"
        ),
        manifest = $2, "manifestVersion" = $3, "manifestPublishedAt" = statement_timestamp(),
        "manifestDeprecatedAt" = NULL, "manifestDeprecationReason" = NULL, "updatedAt" = now()
    WHERE id = $1
"""
_DEPRECATE_PRESENT = """
    UPDATE apps SET
        "manifestDeprecatedAt" = now(), "manifestDeprecationReason" = $2, "updatedAt" = now()
    WHERE id = $1 AND "manifestVersion" = $3
"""
_DEPRECATE_EARLIER = f"""
    UPDATE apps SET "updatedAt" = now(), "manifestHistory" = (
        SELECT jsonb_agg(
            CASE WHEN h.entry ->> 'version' = $3 THEN h.entry || jsonb_build_object(
                'deprecatedAt', {rfc3339("now()")}, 'deprecationReason', $2::text
            ) ELSE h.entry END ORDER BY h.position
        )
        FROM jsonb_array_elements("manifestHistory") WITH ORDINALITY AS h(entry, position)
    )
    WHERE id = $1
"""


async def register_app(app_id: str, manifest: Mapping[str, Any]) -> tuple[asyncpg.Record, str]:
    """Register an app.

    Returns:
        The app, and its secret, of which only the hash is kept.

    Raises:
        InvalidManifest: Lists every fault.
        Conflict: The appId is taken, by a deleted app perhaps: its rooms' history keeps it.
    """
    checked = parse_manifest(manifest)
    secret, secret_hash = _new_secret()
    row = await fetchrow(
        'INSERT INTO apps AS a (id, "appId", "appSecret", manifest, "manifestVersion", "updatedAt")'
        f' VALUES ($1, $2, $3, $4, $5, now()) ON CONFLICT ("appId") DO NOTHING RETURNING {SHOWN}',
        new_id(),
        app_id,
        secret_hash,
        jsonb(checked),
        version_of(checked),
    )
    if row is None:
        raise Conflict("This appId is taken.")
    return row, secret


async def change_app(
    app_id: str,
    precondition: Precondition = ANY,
    *,
    manifest: Mapping[str, Any] | None = None,
    is_active: bool | None = None,
) -> asyncpg.Record:
    """Publish a version, close an app to new rooms, or open it again; None changes nothing.

    Raises:
        NotFound: There is no such app.
        PreconditionFailed: It has changed.
        InvalidManifest: Lists every fault.
        VersionNotGreater, BreakingChange: As `_require_follows`.
    """
    new = None if manifest is None else parse_manifest(manifest)
    seen: dict[str, Any] = {}
    if new is not None:
        # Comparing takes a moment where much was published: rooms are opened meanwhile.
        seen = await _published(app_id, {}, precondition)
        await _require_follows(new, seen)
    async with transaction():
        app = await lock_app(app_id)
        precondition.check(app)
        if new is not None:
            await _publish(app, new, seen)
        if is_active is not None and is_active != app["isActive"]:
            await fetch(
                'UPDATE apps SET "isActive" = $2, "updatedAt" = now() WHERE id = $1',
                app["id"],
                is_active,
            )
        return await lock_app(app_id)


async def _publish(
    app: asyncpg.Record, manifest: Mapping[str, Any], seen: Mapping[str, Any]
) -> None:
    """Make a manifest the present one, and put the one before it into the history.

    Args:
        app: The app, locked.
        manifest: What follows from the versions in `seen`.
        seen: Versions, with their manifests; those published since are looked at here.

    Raises:
        VersionNotGreater, BreakingChange: As `_require_follows`.
    """
    await _require_follows(manifest, await _published(app["appId"], seen))
    await fetch(_PUBLISH, app["id"], jsonb(manifest), version_of(manifest))


async def _published(
    app_id: str, besides: Mapping[str, Any], precondition: Precondition = ANY
) -> dict[str, Any]:
    """Read what an app has published, besides what is known: manifests by their versions.

    Raises:
        NotFound: There is no such app.
        PreconditionFailed: It has changed.
    """
    row = await fetchrow(
        f"""
        SELECT {VERSION}, "manifestVersion", manifest, (
            SELECT COALESCE(jsonb_object_agg(h ->> 'version', h -> 'manifest'), '{{}}')
            FROM jsonb_array_elements("manifestHistory") h WHERE h ->> 'version' <> ALL($2)
        ) AS earlier FROM apps WHERE "appId" = $1 AND "deletedAt" IS NULL
        """,
        app_id,
        list(besides),
    )
    if row is None:
        raise NotFound("There is no such app.")
    precondition.check(row)
    found = msgspec.json.decode(row["earlier"], type=dict[str, Any])
    if row["manifestVersion"] not in besides:
        found[row["manifestVersion"]] = msgspec.json.decode(row["manifest"])
    return found


async def _require_follows(manifest: Mapping[str, Any], former: Mapping[str, Any]) -> None:
    """Allow a version that is greater than others and accepts what those of its major accept.

    Raises:
        VersionNotGreater: It is not greater than one of them.
        BreakingChange: It refuses what one of them accepts; names every place.
    """
    _require_greater(version_of(manifest), former)
    rivals = [each for version, each in former.items() if is_version(version)]
    changes = await asyncio.to_thread(breaking_within_major, manifest, rivals)
    if changes:
        raise BreakingChange(
            "This would refuse what rooms of the same major version may hold. "
            "Take it back, or publish it as a new major version.",
            details={"changes": msgspec.to_builtins(changes)},
        )


def _require_greater(version: str, former: Mapping[str, Any]) -> None:
    # A database that was taken over may hold versions that are not semantic ones.
    for other in filter(is_version, former):
        if not is_greater(version, other):
            raise VersionNotGreater(
                f"{version} is not greater than {other}, which was published before.",
                details={"version": version, "published": other},
            )


async def deprecate_version(app_id: str, version: str, reason: str) -> AppVersion:
    """Take no new rooms on a version, whose rooms go on as they are.

    Raises:
        NotFound: There is no such app, or it never had this version.
        Conflict: It is deprecated already.
    """
    async with transaction():
        app = await lock_app(app_id)
        found = await find_version(app_id, version)
        if found["deprecatedAt"] is not None:
            raise Conflict(f"Version {version} is deprecated already.")
        statement = _DEPRECATE_PRESENT if found["current"] else _DEPRECATE_EARLIER
        await fetch(statement, app["id"], reason, version)
        found = await find_version(app_id, version)
    return AppVersion(*(found[name] for name in AppVersion.__struct_fields__))


async def replace_secret(app_id: str) -> str:
    """Give an app a new secret; the one before is worth nothing from now on.

    Returns:
        The secret, of which only the hash is kept.

    Raises:
        NotFound: There is no such app.
    """
    secret, secret_hash = _new_secret()
    async with transaction():
        app = await lock_app(app_id)
        await fetch(
            'UPDATE apps SET "appSecret" = $2, "updatedAt" = now() WHERE id = $1',
            app["id"],
            secret_hash,
        )
    return secret


async def delete_app(app_id: str, precondition: Precondition = ANY) -> None:
    """Soft-delete an app that no live room uses.

    A room that is being opened holds the app's lock (`lock_for_new_room`): it is counted here, or
    finds no app.

    Raises:
        NotFound: There is no such app.
        PreconditionFailed: It has changed.
        AppHasRooms: Live rooms use it; says how many.
    """
    async with transaction():
        app = await lock_app(app_id)
        precondition.check(app)
        rooms = await fetchval(f'SELECT count(*) FROM {Room.alive()} r WHERE "appId" = $1', app_id)
        if rooms:
            raise AppHasRooms(
                f"{rooms} live room(s) use this app. Delete those rooms first.",
                details={"rooms": rooms},
            )
        await fetch(
            'UPDATE apps SET "deletedAt" = now(), "updatedAt" = now() WHERE id = $1', app["id"]
        )


async def lock_app(app_id: str) -> asyncpg.Record:
    """Read an app, and let nobody else change it until the transaction ends.

    Raises:
        NotFound: There is no such app.
    """
    row = await fetchrow(
        f'SELECT {SHOWN} FROM apps a WHERE "appId" = $1 AND "deletedAt" IS NULL FOR NO KEY UPDATE',
        app_id,
    )
    if row is None:
        raise NotFound("There is no such app.")
    return row


def _new_secret() -> tuple[str, str]:
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return secret, token_hash(secret)
