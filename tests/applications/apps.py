"""What the tests of apps share: manifests, and an administrator's requests."""

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from app.database.seed import LOTTERY

APPS = "/api/v1/apps"
ROOMS = "/api/v1/rooms"
Headers = dict[str, str]


def manifest(version: str = "1.0.0", **changes: Any) -> dict[str, Any]:
    """Return the lottery's manifest, as another version and with other members."""
    return {**LOTTERY, "meta": {**LOTTERY["meta"], "version": version}, **changes}


def schema(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    """Return a closed settings schema."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


class Administrator(msgspec.Struct, frozen=True):
    """A platform administrator with a client."""

    client: httpx.AsyncClient
    headers: Headers

    async def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.client.request(method, APPS + path, json=body, headers=self.headers)

    async def register(self, app_id: str = "app_raffle", **changes: Any) -> dict[str, Any]:
        body = {"appId": app_id, "manifest": manifest(**changes)}
        answer = await self.send("POST", "", body)
        assert answer.status_code == 201, answer.text
        registered: dict[str, Any] = answer.json()["data"]
        return registered

    async def publish(
        self, version: str, app_id: str = "app_raffle", **changes: Any
    ) -> httpx.Response:
        return await self.send("PATCH", f"/{app_id}", {"manifest": manifest(version, **changes)})

    async def versions(self, app_id: str = "app_raffle") -> list[dict[str, Any]]:
        answer = await self.send("GET", f"/{app_id}/versions?limit=100")
        assert answer.status_code == 200, answer.text
        versions: list[dict[str, Any]] = answer.json()["data"]
        return versions

    async def open_room(
        self, settings: dict[str, Any], app_id: str = "app_raffle"
    ) -> httpx.Response:
        body = {"name": "A raffle", "appId": app_id, "appSettings": settings}
        return await self.client.post(ROOMS, json=body, headers=self.headers)


def error_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return an error's details."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    details: dict[str, Any] = answer.json()["error"]["details"]
    return details
