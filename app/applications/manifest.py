"""Manifests: what an app says about itself, version by version.

A manifest is `meta` (`name`, `version`, `description`), `baseUrl`, `capabilities` (an object of
booleans; one that is missing is off), `permissions` (a list) and `settings` (a JSON Schema, draft
7 or 2020-12). Versions are semantic (semver.org 2.0.0). Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from semver import Version

from app.applications.documents import Fault, storage_faults
from app.applications.json_schema import (
    DRAFT_2020_12,
    compile_schema,
    faults_of,
    schema_faults,
)
from app.errors import InvalidManifest
from app.visible_text import fault_of_line, fault_of_text

LARGEST_MANIFEST_BYTES = 64 * 1024
"""Compact UTF-8."""
DEEPEST_MANIFEST = 32
"""Nested objects and arrays."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
"""Where a base URL may be plain http."""
CAPABILITIES = (
    "prizeFund",
    "participantRegistration",
    "winnerSelection",
    "notifications",
    "roomSettings",
)
PERMISSIONS = (
    "users:read",
    "rooms:read",
    "rooms:write",
    "participants:read",
    "participants:write",
    "prizes:read",
    "prizes:write",
    "winners:read",
    "winners:write",
    "realtime:subscribe",
    "realtime:publish",
)

MANIFEST_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["meta", "baseUrl", "capabilities", "permissions", "settings"],
    "additionalProperties": False,
    "properties": {
        "meta": {
            "type": "object",
            "required": ["name", "version"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 100},
                "version": {"type": "string", "maxLength": 100},
                "description": {"type": "string", "maxLength": 500},
            },
        },
        "baseUrl": {"type": "string", "maxLength": 2000},
        "capabilities": {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: {"type": "boolean"} for name in CAPABILITIES},
        },
        "permissions": {
            "type": "array",
            "uniqueItems": True,
            "items": {"enum": list(PERMISSIONS)},
        },
        "settings": {},
    },
}
"""The shape; what a schema can't say, and `settings` itself, is checked beside it."""

_shape = compile_schema(DRAFT_2020_12, MANIFEST_SCHEMA)


def parse_manifest(document: object) -> dict[str, Any]:
    """Check a manifest that someone wants to publish, and give it back.

    Raises:
        InvalidManifest: Lists every fault in `details.faults`, each by its JSON pointer.
    """
    faults = storage_faults(
        document, max_bytes=LARGEST_MANIFEST_BYTES, max_depth=DEEPEST_MANIFEST
    ) or [*faults_of(_shape, document), *_further_faults(document)]
    if faults:
        raise InvalidManifest(
            details={"faults": [{"pointer": f.pointer, "message": f.message} for f in faults]}
        )
    return cast("dict[str, Any]", document)


def _further_faults(document: object) -> Iterator[Fault]:
    match document:
        case {"meta": {"version": str(version)}} if not is_version(version):
            yield Fault(
                ("meta", "version"), "Must be a semantic version, as in 1.4.0 (semver.org)."
            )
    match document:
        case {"meta": {"name": str(name)}} if name and (message := fault_of_line(name)):
            yield Fault(("meta", "name"), message)
    match document:
        case {"meta": {"description": str(text)}} if message := fault_of_text(text):
            yield Fault(("meta", "description"), message)
    match document:
        case {"baseUrl": str(url)} if not _is_base_url(url):
            message = "Must be an https URL without credentials; http on this machine only."
            yield Fault(("baseUrl",), message)
    match document:
        case {"settings": schema}:
            for fault in schema_faults(schema):
                yield Fault(("settings", *fault.path), fault.message, fault.keyword)


def _is_base_url(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOCAL_HOSTS)


def is_version(text: str) -> bool:
    """Tell whether a text is a semantic version, in its one canonical form."""
    try:
        return str(Version.parse(text)) == text
    except ValueError:
        return False


def version_of(manifest: Mapping[str, Any]) -> str:
    """Read the version that a checked manifest gives itself."""
    return cast("str", manifest["meta"]["version"])


def is_greater(new: str, old: str) -> bool:
    """Compare by semver precedence: a pre-release is below its release, build metadata is equal.

    Args:
        new: A semantic version.
        old: A published version; one that isn't semantic, from before that was demanded, is less
            than any.
    """
    return not is_version(old) or Version.parse(new) > Version.parse(old)


def major(version: str) -> int:
    """Give the first number of a version.

    Zero is a major like any other: rooms depend on 0.x settings as much as on 1.x ones.
    """
    return Version.parse(version).major
