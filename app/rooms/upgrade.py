"""Moving a room up to a later version of its app.

A room stays on the version that it was opened with until its organizer moves it. Its settings are
merged with what the organizer adds, by JSON Merge Patch (RFC 7396), and must fit the target.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from app.applications.documents import storage_faults
from app.applications.json_schema import DEEPEST_SETTINGS
from app.applications.manifest import is_greater, is_version
from app.applications.service import find_version, validator_of
from app.applications.settings_schema import LARGEST_SETTINGS_BYTES, missing_for
from app.database.engine import jsonb, transaction
from app.database.versions import ANY, Precondition
from app.errors import (
    Conflict,
    MigrationRequired,
    RoomClosed,
    ValidationFailed,
    VersionNotGreater,
)
from app.participants.service import Membership
from app.rooms.service import find_room, lock_room
from app.tables import Room, RoomStatus


async def upgrade_room(
    member: Membership,
    target: str,
    patch: Mapping[str, Any],
    precondition: Precondition = ANY,
    *,
    is_preview: bool = False,
) -> asyncpg.Record | Mapping[str, Any]:
    """Lock a room to a later version of its app.

    Args:
        member: An organizer's.
        target: The version.
        patch: Merged into the room's settings; null removes a member.
        precondition: The versions of the room that the caller accepts to change.
        is_preview: Whether to change nothing, and return the room as it would be.

    Raises:
        NotFound: The room was deleted meanwhile, or the app never had this version.
        PreconditionFailed: The room has changed.
        RoomClosed: It is COMPLETED or CANCELLED.
        VersionNotGreater: The room is on this version, or on a greater one.
        Conflict: The version is deprecated.
        ValidationFailed: What is to be merged can't be stored, or the target is no version.
        MigrationRequired: The merged settings don't fit; lists what is missing and what is wrong.
    """
    _check_form(target, patch)
    async with transaction():
        room = await lock_room(member.room_id)
        precondition.check(room)
        if not RoomStatus(room["status"]).is_open:
            raise RoomClosed
        version = await _higher_version(room, target)
        merged = merge(msgspec.json.decode(room["appSettings"]), patch)
        _require_fit(room, version, merged)
        values: dict[str, Any] = {
            "appManifestVersion": target,
            "appSettings": jsonb(merged),
        }
        if is_preview:
            shown = await find_room(member.room_id)
            return {**shown, **values, "manifest": version["manifest"], "deprecatedAt": None}
        await Room.update(**values).where(Room.id == member.room_id)
        return await find_room(member.room_id)


def _check_form(target: str, patch: Mapping[str, Any]) -> None:
    faults = storage_faults(patch, max_bytes=LARGEST_SETTINGS_BYTES, max_depth=DEEPEST_SETTINGS)
    fields = {fault.json_path("$.settings"): fault.message for fault in faults}
    if not is_version(target):
        fields["$.targetVersion"] = "Must be a semantic version, as in 1.4.0 (semver.org)."
    if fields:
        raise ValidationFailed.at(fields)


async def _higher_version(room: asyncpg.Record, target: str) -> asyncpg.Record:
    present = room["appManifestVersion"]
    # A database that was taken over may hold versions that are not semantic ones: all are higher.
    if is_version(present) and not is_greater(target, present):
        raise VersionNotGreater(
            f"The room is on {present}. It can only go up.",
            details={"version": target, "present": present},
        )
    version = await find_version(room["appId"], target)
    if version["deprecatedAt"] is not None:
        raise Conflict(
            f"Version {target} is deprecated and takes no rooms: {version['deprecationReason']}"
        )
    return version


def _require_fit(room: asyncpg.Record, version: asyncpg.Record, merged: object) -> None:
    validator = validator_of(room["appId"], version["version"], version["manifest"])
    if unfit := missing_for(validator, merged):
        raise MigrationRequired(
            f"The room's settings do not fit version {version['version']} yet. "
            "Send what is missing or wrong in `settings`; null removes a member.",
            details={"from": room["appManifestVersion"], "to": version["version"], **unfit},
        )


def merge(target: object, patch: object) -> Any:
    """Apply a JSON Merge Patch (RFC 7396), leaving both as they are."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged
