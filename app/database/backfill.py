"""The plan's backfill: apps take their version from the manifest, rooms are locked to it.

Our migration `add_manifest_versioning` does this itself. A database whose versions Prisma added
has 1.0.0 everywhere until the plan's script, or this, has run.
"""

from collections.abc import Callable

from app.database.engine import fetch, fetchrow, transaction

Report = Callable[[str], None]

# An app without a history has had one version ever: the one that its manifest names. An app that
# was published again since is left alone, and so are its rooms: they know their versions.
OUTDATED_APPS = """
    SELECT a.id, a."appId", v.version
    FROM apps a
    CROSS JOIN LATERAL (
        SELECT COALESCE(NULLIF(a.manifest #>> '{meta,version}', ''), '1.0.0') AS version
    ) v
    WHERE a."manifestHistory" = '[]'
        AND (
            a."manifestVersion" <> v.version
            OR EXISTS (
                SELECT FROM rooms r
                WHERE r."appId" = a."appId" AND r."appManifestVersion" <> v.version
            )
        )
    ORDER BY a."appId"
"""

BACKFILL_APP = """
    WITH app AS (
        UPDATE apps SET "manifestVersion" = $2, "updatedAt" = now()
        WHERE id = $1 AND "manifestHistory" = '[]' AND "manifestVersion" <> $2
    ), locked AS (
        UPDATE rooms r SET "appManifestVersion" = $2, "updatedAt" = now()
        FROM apps a
        WHERE a.id = $1 AND a."manifestHistory" = '[]'
            AND r."appId" = a."appId" AND r."appManifestVersion" <> $2
        RETURNING r.id
    )
    SELECT count(*) FROM locked
"""


async def backfill_manifest_versions(report: Report) -> int:
    """Give every app that was never versioned its version, one transaction each.

    Running it again changes nothing.

    Returns:
        How many apps were changed.
    """
    apps = await fetch(OUTDATED_APPS)
    for number, app in enumerate(apps, start=1):
        async with transaction():
            # A version that is published meanwhile waits, or has made the app one with a history.
            await fetchrow("SELECT FROM apps WHERE id = $1 FOR UPDATE", app["id"])
            rooms = (await fetch(BACKFILL_APP, app["id"], app["version"]))[0][0]
        report(f"[{number}/{len(apps)}] {app['appId']}: {app['version']}, {rooms} rooms locked")
    return len(apps)
