"""Bodies and answers of /apps."""

from typing import Annotated, Any, Self

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.applications.manifest import CAPABILITIES, PERMISSIONS
from app.applications.service import AppVersion
from app.http.bodies import Input, text_of
from app.http.envelopes import optional_timestamp, timestamp

AppId = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_]{2,63}\Z",
        description="3 to 64 lower-case letters, digits and `_`; a letter first. For good.",
        examples=["app_raffle"],
    ),
]
Manifest = Annotated[
    dict[str, Any],
    Meta(
        description="What the app says about itself: `meta` (`name`, `version` by semver.org, "
        "`description`), `baseUrl` (https; http on localhost), `capabilities` (of "
        f"{', '.join(CAPABILITIES)}), `permissions` (of {', '.join(PERMISSIONS)}) and `settings`: "
        "the JSON Schema, draft 7 or 2020-12, of a room's settings.",
        examples=[
            {
                "meta": {"name": "Raffle", "version": "1.0.0", "description": "Tickets in a hat."},
                "baseUrl": "https://raffle.example.com",
                "capabilities": {"prizeFund": True, "winnerSelection": True},
                "permissions": ["rooms:read", "winners:write"],
                "settings": {
                    "type": "object",
                    "properties": {"tickets": {"type": "integer", "minimum": 1}},
                    "required": ["tickets"],
                    "additionalProperties": False,
                },
            }
        ],
    ),
]
Secret = Annotated[
    str, Meta(description="Keep it: it is shown this once, and only its hash is kept here.")
]


class AppInput(Input):
    """An app to register."""

    appId: AppId
    manifest: Manifest


class AppChange(Input):
    """What of an app to change; what is missing stays."""

    manifest: Manifest | UnsetType = UNSET
    """A new version, greater than every one before."""
    isActive: bool | UnsetType = UNSET
    """Whether it takes new rooms, and may identify itself."""


class DeprecationInput(Input):
    """Why a version takes no new rooms."""

    reason: Annotated[str, text_of(500, shortest=1, example="Tickets can be counted twice.")]


class Deprecation(msgspec.Struct):
    """Since when, and why, a version takes no new rooms."""

    deprecatedAt: str
    reason: str | None

    @classmethod
    def of(cls, deprecated_at: Any, reason: str | None) -> Self | None:
        """Show a deprecation; None where there is none."""
        return None if deprecated_at is None else cls(timestamp(deprecated_at), reason)


class AppOut(msgspec.Struct, kw_only=True):
    """An app that rooms can run, with the schema of their settings in `manifest.settings`."""

    id: str
    appId: str
    manifest: dict[str, Any]
    manifestVersion: str
    deprecation: Deprecation | None
    """Of the present version."""
    isActive: bool
    createdAt: str
    updatedAt: str

    @classmethod
    def of(cls, row: asyncpg.Record, **more: Any) -> Self:
        """Show a row of apps."""
        return cls(
            id=row["id"],
            appId=row["appId"],
            manifest=msgspec.json.decode(row["manifest"]),
            manifestVersion=row["manifestVersion"],
            deprecation=Deprecation.of(
                row["manifestDeprecatedAt"], row["manifestDeprecationReason"]
            ),
            isActive=row["isActive"],
            createdAt=timestamp(row["createdAt"]),
            updatedAt=timestamp(row["updatedAt"]),
            **more,
        )


class RegisteredAppOut(AppOut, kw_only=True):
    """An app that was registered just now."""

    appSecret: Secret


class SecretOut(msgspec.Struct):
    """The new secret of an app."""

    appId: str
    appSecret: Secret


class VersionOut(msgspec.Struct):
    """A version that an app published."""

    version: str
    publishedAt: str | None
    deprecatedAt: str | None
    deprecationReason: str | None
    current: bool

    @classmethod
    def of(cls, version: AppVersion) -> Self:
        """Show a version."""
        return cls(
            version.version,
            optional_timestamp(version.publishedAt),
            optional_timestamp(version.deprecatedAt),
            version.deprecationReason,
            version.current,
        )
