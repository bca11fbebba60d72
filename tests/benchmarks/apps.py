"""What an app's history costs, and what refused rooms leave behind.

``python -m tests.benchmarks.apps``, on an embedded PostgreSQL of its own. An app's versions are all
kept in its row: reads that show the present version must not pay for the earlier ones, and those
that need an earlier one not too much.
"""

import asyncio
import gc
import logging
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import psutil

from app.applications import publishing, service
from app.asgi import create_app
from app.database.engine import fetch, fetchval, jsonb
from app.database.listing import PageRequest
from app.rooms.service import find_room
from tests import factories
from tests.applications.apps import ROOMS, manifest, schema
from tests.benchmarks.databases import connected_to_its_own

HISTORIES = ((0, 10), (10, 10), (100, 10), (100, 350))
"""Earlier versions, and the settings of each; 350 of them make 60 kB, near what a manifest may be.
"""
ROUNDS = 101
REFUSALS = 10_000


async def main() -> None:
    """Print both."""
    for releases, settings in HISTORIES:
        await show_costs(releases, settings)
    grown = await growth_over_refused_rooms()
    sys.stdout.write(f"{REFUSALS:,} refused rooms leave behind {grown / 1024:,.0f} kB\n")


async def show_costs(releases: int, settings: int) -> None:
    """Print what reads and a publication take with so many earlier versions."""
    app_id = await app_with_history(releases, settings)
    newest = await factories.room(app_id=app_id, appManifestVersion=f"1.{releases}.0")
    oldest = await factories.room(app_id=app_id, appManifestVersion="1.0.0")
    size = await fetchval(
        'SELECT length("manifestHistory"::text) FROM apps WHERE "appId" = $1', app_id
    )
    sys.stdout.write(f"{releases} earlier versions of {settings} settings, {size / 1e6:.2f} MB\n")
    reads: dict[str, Callable[[], Awaitable[Any]]] = {
        "a room on the present version": lambda: find_room(newest["id"]),
        "a room on the oldest version": lambda: find_room(oldest["id"]),
        "the list of apps": lambda: service.list_apps(PageRequest()),
        "the list of versions": lambda: service.list_versions(None, app_id, PageRequest()),
    }
    for name, read in reads.items():
        sys.stdout.write(f"    {name:<34}{await milliseconds(read):8.2f} ms\n")
    started = time.perf_counter()
    await publishing.change_app(app_id, manifest=release(releases + 1, settings))
    took = (time.perf_counter() - started) * 1e3
    sys.stdout.write(f"    {'publishing':<34}{took:8.2f} ms\n")
    await fetch('UPDATE apps SET "isActive" = false WHERE "appId" = $1', app_id)


async def app_with_history(releases: int, settings: int) -> str:
    """Register an app as if it had been published so often."""
    history = [
        {"version": f"1.{minor}.0", "manifest": release(minor, settings)}
        for minor in range(releases)
    ]
    present = release(releases, settings)
    row = await factories.app(
        manifest=jsonb(present),
        manifestVersion=f"1.{releases}.0",
        manifestHistory=jsonb(history),
    )
    app_id: str = row["appId"]
    return app_id


def release(minor: int, settings: int) -> dict[str, Any]:
    """Return a manifest that differs from its siblings in what it says, not in what it takes."""
    about = f"What the organizer of version {minor} has to know about this setting. " * 2
    each: Any = {"type": "integer", "minimum": 1, "description": about[:90]}
    properties: Any = {f"setting_{number}": each for number in range(settings)}
    return manifest(f"1.{minor}.0", settings=schema(**properties))


async def milliseconds(read: Callable[[], Awaitable[Any]]) -> float:
    """Return the median of what a read takes."""
    costs = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await read()
        costs.append((time.perf_counter() - started) * 1e3)
    return statistics.median(costs)


async def growth_over_refused_rooms() -> int:
    """Ask for rooms whose settings don't fit; return the bytes by which the process grew."""
    app: Any = create_app()
    logging.disable(logging.INFO)
    headers = await factories.bearer(await factories.user())
    app_id = (await factories.app())["appId"]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:

        async def refuse(times: int) -> None:
            for number in range(times):
                body = {"name": "A room", "appId": app_id, "appSettings": {"ticketCount": -number}}
                answer = await client.post(ROOMS, json=body, headers=headers)
                assert answer.status_code == httpx.codes.BAD_REQUEST, answer.text

        await refuse(REFUSALS // 5)
        before = resident_bytes()
        await refuse(REFUSALS)
        return resident_bytes() - before


def resident_bytes() -> int:
    """Return what the process takes when nothing waits to be collected."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def on_a_server_of_its_own() -> None:
    """Run everything on a new PostgreSQL, which is gone afterwards."""
    async with connected_to_its_own():
        await main()


if __name__ == "__main__":
    asyncio.run(on_a_server_of_its_own())
