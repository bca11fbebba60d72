"""Does a new manifest accept every room that an earlier one accepted?

A change is breaking unless it is proved that it isn't: each keyword of the new settings schema
must follow from what the old schema demands of the same value. So what this module calls
compatible never refuses settings that were valid; what it calls breaking may be harmless, where
the proof is beyond it. Pure.

A property that is added to an object that took any member before is breaking, because rooms may
hold that member already, with any value. Objects that are closed (`additionalProperties: false`)
can grow in minor versions.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.applications.documents import Path, pointer_to
from app.applications.json_schema import draft_of, schema_faults
from app.applications.manifest import is_version, major, version_of
from app.applications.schema_comparison import Change, Comparison, TooComplex
from app.applications.schema_nodes import identity, joined, read
from app.applications.schema_rules import RULES

_OBJECT = read({"type": "object"})


def breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Find where a new manifest refuses settings, permissions or capabilities of an old one.

    Args:
        old: A manifest as it was published. A settings schema that could not be published today
            counts as one that accepted anything.
        new: A manifest that `parse_manifest` accepted.
    """
    return [
        *_withdrawn(old, new),
        *_settings_changes(old.get("settings"), new["settings"]),
    ]


def breaking_within_major(
    new: Mapping[str, Any], published: Iterable[Mapping[str, Any]]
) -> list[Change]:
    """Find where a new manifest breaks with any published one of its own major version.

    A breaking change is allowed where the major version grows: 2.0.0 is compared with the
    versions 2.x.y alone. Zero is a major like any other, and so is that of a pre-release.

    Args:
        new: A manifest that `parse_manifest` accepted.
        published: All manifests of the app, in any order. One whose version isn't semantic, from
            before that was demanded, belongs to no major.
    """
    line = major(version_of(new))
    rivals = [old for old in published if _major_of_published(old) == line]
    return list(dict.fromkeys(change for old in rivals for change in breaking_changes(old, new)))


def _major_of_published(manifest: Mapping[str, Any]) -> int | None:
    match manifest:
        case {"meta": {"version": str(version)}}:
            return major(version) if is_version(version) else None
    # The migration plan's backfill calls a manifest without a version 1.0.0.
    return 1


def _withdrawn(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    # Manifests from before they were checked may have any shape here.
    match old:
        case {"permissions": [*permissions]}:
            for permission in permissions:
                if permission not in new["permissions"]:
                    yield Change("/permissions", f"The permission {permission} was removed.")
    match old:
        case {"capabilities": {**capabilities}}:
            for name, is_on in capabilities.items():
                if is_on is True and not new["capabilities"].get(name, False):
                    place = pointer_to(["capabilities", str(name)])
                    yield Change(place, f"The capability {name} was removed.")


def _settings_changes(old: object, new: Mapping[str, Any]) -> list[Change]:
    unusable = not isinstance(old, dict) or bool(schema_faults(old))
    former: Mapping[str, Any] = old if isinstance(old, dict) and not unusable else {}
    if identity(former) == identity(new):
        return []
    if former and draft_of(former) != draft_of(new):
        return [Change("/settings/$schema", "The draft of JSON Schema changed.")]
    at: Path = ("settings",)
    try:
        changes = Comparison(RULES).demands_more(joined(read(former, at), _OBJECT), read(new, at))
    except TooComplex:
        return [Change("/settings", "Too complex to prove that the change is harmless.")]
    return list(dict.fromkeys(changes))
