"""A room's settings against the JSON Schema of the app version that the room is locked to.

Pure, but for the validators that it keeps: compiling one takes a thousand times as long as
using it.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from app.applications.documents import MOST_FAULTS, Fault, storage_faults
from app.applications.json_schema import (
    DEEPEST_SETTINGS,
    DRAFT_2020_12,
    compile_schema,
    draft_of,
    faults_of,
    first_faults_of,
    most_visits,
    schema_faults,
)
from app.errors import InvalidManifest, ValidationFailed

LARGEST_SETTINGS_BYTES = 32 * 1024
"""Compact UTF-8."""
MOST_VISITS_LISTED = 50_000
"""Pairs of a value and a subschema of which every fault is listed: 10 µs each, if all are wrong.

Of settings beyond it, which only someone who means harm would send, the first fault is told.
"""
MOST_KEPT_VALIDATORS = 256

_kept: "OrderedDict[tuple[str, str], SettingsValidator]" = OrderedDict()


class SettingsValidator:
    """A compiled settings schema."""

    def __init__(self, schema: Mapping[str, Any], source: bytes = b"") -> None:
        """Compile a schema.

        Args:
            schema: A settings schema of a published manifest.
            source: Its JSON text, by which a kept validator is known to be the right one.

        Raises:
            InvalidManifest: The schema is not one that may be published.
        """
        if faults := schema_faults(schema):
            raise InvalidManifest(
                "The settings schema of this app version can't be used.",
                details={"faults": [{"pointer": f.pointer, "message": f.message} for f in faults]},
            )
        self.source = source
        self._visits = most_visits(schema)
        self._compiled = compile_schema(draft_of(schema) or DRAFT_2020_12, schema)

    def errors(self, settings: object) -> list[Fault]:
        """List every place where the settings can't be stored or don't fit the schema."""
        faults = storage_faults(
            settings, max_bytes=LARGEST_SETTINGS_BYTES, max_depth=DEEPEST_SETTINGS
        )
        if faults:
            return faults
        if not isinstance(settings, dict):
            return [Fault((), "Must be a JSON object.", "type")]
        if self._compiled.is_valid(settings):
            return []
        if _count_values(settings) * self._visits > MOST_VISITS_LISTED:
            return first_faults_of(self._compiled, settings)
        return faults_of(self._compiled, settings)[:MOST_FAULTS]


def _count_values(settings: dict[str, Any]) -> int:
    # Each value but the first follows a comma or a bracket; those in texts only add to the bound.
    written = msgspec.json.encode(settings)
    return written.count(b",") + written.count(b"{") + written.count(b"[")


def settings_schema_of(manifest: object) -> Any:
    """Take the schema of settings out of a document that should be a manifest."""
    return manifest.get("settings") if isinstance(manifest, dict) else None


def validator_for(app_id: str, version: str, schema: Mapping[str, Any]) -> SettingsValidator:
    """Give the validator of an app version, compiled once and kept while it is in use.

    Args:
        app_id: The app's public identifier.
        version: The manifest version, whose schema never changes.
        schema: That schema, compiled when no validator is kept for it.

    Raises:
        InvalidManifest: The schema is not one that may be published.
    """
    key = (app_id, version)
    source = msgspec.json.encode(schema)
    kept = _kept.get(key)
    if kept is None or kept.source != source:
        kept = _kept[key] = SettingsValidator(schema, source)
    _kept.move_to_end(key)
    if len(_kept) > MOST_KEPT_VALIDATORS:
        _kept.popitem(last=False)
    return kept


def check_settings(
    validator: SettingsValidator, settings: object, *, root: str = "$.appSettings"
) -> None:
    """Refuse settings that don't fit.

    Args:
        validator: The validator of the room's locked version.
        settings: What the client sent.
        root: JSON path of the settings in the request.

    Raises:
        ValidationFailed: Names every failing place by its JSON path.
    """
    if faults := validator.errors(settings):
        raise ValidationFailed.at(_by_path(faults, root))


def missing_for(
    validator: SettingsValidator, settings: object, *, root: str = "$.settings"
) -> dict[str, Any]:
    """Tell what keeps settings from fitting another version, as an error's details.

    Returns:
        `missing`: the JSON paths of required members that aren't there; `fields`: every failing
        path, those included, with what is wrong. Empty when nothing is.
    """
    faults = validator.errors(settings)
    if not faults:
        return {}
    missing = [fault.json_path(root) for fault in faults if fault.keyword == "required"]
    return {"missing": missing, "fields": _by_path(faults, root)}


def _by_path(faults: Iterable[Fault], root: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for fault in faults:
        path = fault.json_path(root)
        fields[path] = f"{fields[path]} {fault.message}" if path in fields else fault.message
    return fields
