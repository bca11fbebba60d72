"""Request bodies: decoded strictly, every failing field named.

Litestar would convert leniently ("5" becomes 5), stop at the first fault and let through what
PostgreSQL can't store.
"""

import functools
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, TypeVar, cast, get_args, get_type_hints

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException

from app.applications.documents import (
    MOST_FAULTS,
    Fault,
    outside_of_strings,
    storage_faults,
    values_of,
)
from app.email_addresses import LONGEST_ADDRESS, NotAnAddress, canonical_address
from app.errors import UnsupportedMediaType, ValidationFailed
from app.http.faults import place_and_words
from app.visible_text import fault_of_line, fault_of_text, fault_of_words

LARGEST_BODY_BYTES = 1_000_000
"""What addresses take that say nothing else."""
LARGEST_CREDENTIALS_BYTES = 16_000
"""What signing in takes: of anybody."""
CLOSELY_READ_BYTES = 16 * 1024
"""In larger bodies, a member that is there twice and a number beyond all bounds are not named."""
MOST_CONTAINERS = 50_000
"""Objects and arrays of a body. Making one costs far more than the two bytes that say so."""
LARGEST_METADATA_BYTES = 16 * 1024
DEEPEST_METADATA = 32
DEEPEST_BODY = 100
LARGEST_INTEGER = int(sys.float_info.max)
"""As JSON's readers take numbers for doubles."""
_LARGEST_DIGITS = str(LARGEST_INTEGER).encode()
_MANY_DIGITS = re.compile(rb"[0-9]{%d,}" % len(_LARGEST_DIGITS))
_LONG_INTEGER = re.compile(rb"(?<![0-9.eE+])(?<![eE]-)[0-9]{%d}" % (len(_LARGEST_DIGITS) + 1))
"""Reading those takes time that grows with the square of their length."""

METADATA_RULE = (
    f"A JSON object of at most {LARGEST_METADATA_BYTES:,} bytes, nested at most {DEEPEST_METADATA} "
    "levels deep. Replaced whole."
)
Metadata = Annotated[
    dict[str, Any], msgspec.Meta(description=METADATA_RULE, examples=[{"ticket": "A-17"}])
]
PictureUrl = Annotated[
    str,
    msgspec.Meta(
        max_length=2048,
        pattern=r"^https?://[^\s/?#]\S*\Z",
        description="The http or https address of a picture.",
    ),
]


Check = Callable[[str], str | None]
"""Says what is wrong with a text beyond what its pattern tells; None where nothing is."""


def name_of(longest: int, *examples: str) -> msgspec.Meta:
    """Describe names of so many characters: one line, something to see."""
    return msgspec.Meta(
        min_length=1,
        max_length=longest,
        pattern=r"\S",
        description=f"1 to {longest} characters in one line, some of which can be seen; without "
        "controls and bidirectional overrides.",
        examples=list(examples) or None,
        extra={"check": fault_of_line},
    )


def text_of(longest: int, *, shortest: int = 0, example: str | None = None) -> msgspec.Meta:
    """Describe texts of several lines; one that may not be empty has something to see."""
    return msgspec.Meta(
        min_length=shortest or None,
        max_length=longest,
        examples=None if example is None else [example],
        extra={"check": fault_of_words if shortest else fault_of_text},
    )


def _fault_of_address(text: str) -> str | None:
    try:
        canonical_address(text)
    except NotAnAddress as fault:
        return fault.message
    return None


EmailAddress = Annotated[
    str,
    msgspec.Meta(
        max_length=LONGEST_ADDRESS,
        description="An e-mail address. It is kept in lower case, with the domain as DNS has it; "
        "one that could be taken for another is refused.",
        examples=["diana@example.com"],
        extra={"check": _fault_of_address},
    ),
]


class Input(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of request bodies: unknown members are refused by name."""


def given(change: Input) -> dict[str, Any]:
    """Return the members of a PATCH body that are there."""
    return {
        name: value
        for name in change.__struct_fields__
        if (value := getattr(change, name)) is not msgspec.UNSET
    }


InputT = TypeVar("InputT", bound=Input)


class ApiRequest(Request[Any, Any, State]):
    """A request whose JSON body is checked against the handler's `data` type, every field of it."""

    async def body(self) -> bytes:
        """Read the body.

        Raises:
            ValidationFailed: The client went away before its end.
        """
        try:
            return await super().body()
        except InternalServerException as error:  # Litestar takes it for a failure of ours
            raise ValidationFailed("The body broke off.") from error

    async def json(self) -> Any:
        """Decode the body.

        Raises:
            ValidationFailed: It isn't JSON, or doesn't fit; names every failing field.
            UnsupportedMediaType: It is said to be something else.
        """
        require_json(self.headers.get("content-type"))
        body = await self.body()
        field = self.route_handler.parsed_data_field
        target = None if field is None else _input_type(field.annotation)
        if target is None:
            return decode_any(body)
        if field is not None and field.is_optional and body.strip() == b"null":
            return None
        return decode_body(body, target)


def require_json(content_type: str | None) -> None:
    """Let only JSON through, or what doesn't say what it is.

    Raises:
        UnsupportedMediaType: The Content-Type is another.
    """
    if not is_json(content_type):
        raise UnsupportedMediaType("Send application/json.")


def is_json(content_type: str | None) -> bool:
    """Tell whether a body is JSON, or doesn't say what it is."""
    media_type = (content_type or "application/json").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


@functools.cache
def _input_type(annotation: Any) -> type[Input] | None:
    for kind in get_args(annotation) or (annotation,):
        if isinstance(kind, type) and issubclass(kind, Input):
            return kind
    return None


def decode_body(body: bytes, target: type[InputT]) -> InputT:
    """Decode a JSON body strictly.

    Raises:
        ValidationFailed: Names every failing field by its JSON path.
    """
    return checked(decode_any(body), target)


def checked(document: Any, target: type[InputT]) -> InputT:
    """Make a body, or a part of one, of decoded JSON that can be stored.

    Raises:
        ValidationFailed: Names every failing field by its JSON path.
    """
    document = _with_integers(document, target)
    try:
        decoded = msgspec.convert(document, target)
    except msgspec.ValidationError as error:
        raise _every_fault(document, target, error) from error
    if faults := {
        **{each.json_path("$.metadata"): each.message for each in _metadata_faults_of(decoded)},
        **dict(_text_faults(document, target)),
    }:
        raise ValidationFailed.at(faults)
    return decoded


def _metadata_faults_of(decoded: Input) -> list[Fault]:
    return metadata_faults(getattr(decoded, "metadata", None))


def _text_faults(
    document: Any, target: type[msgspec.Struct], at: str = "$"
) -> Iterator[tuple[str, str]]:
    """Find the texts that have the form of their type and yet are not fit to be kept."""
    for name, (check, inner) in _checks_of(target).items():
        for place, value in _each(f"{at}.{name}", document.get(name)):
            if isinstance(value, str) and check and (message := check(value)):
                yield place, message
            if isinstance(value, dict):
                for struct in inner:
                    if _may_be(value, struct):
                        yield from _text_faults(value, struct, place)


def _each(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        yield from ((f"{place}[{number}]", each) for number, each in enumerate(value))
    else:
        yield place, value


@functools.cache
def _checks_of(
    target: type[msgspec.Struct],
) -> Mapping[str, tuple[Check | None, Sequence[type[msgspec.Struct]]]]:
    found = {name: (_check_of(kind), _structs_in(kind)) for name, kind in _types_of(target).items()}
    return {name: checks for name, checks in found.items() if any(checks)}


def _structs_in(expected: Any) -> list[type[msgspec.Struct]]:
    if isinstance(expected, type) and issubclass(expected, msgspec.Struct):
        return [expected]
    return [struct for part in get_args(expected) for struct in _structs_in(part)]


def _may_be(value: Mapping[str, Any], struct: type[msgspec.Struct]) -> bool:
    """Tell whether an object is a struct's, of several that a tag tells apart."""
    config = struct.__struct_config__
    return config.tag is None or value.get(str(config.tag_field)) == config.tag


def _check_of(expected: Any) -> Check | None:
    for part in get_args(expected):
        if isinstance(part, msgspec.Meta) and part.extra:
            return cast("Check", part.extra["check"])
        if found := _check_of(part):
            return found
    return None


def _with_integers(document: Any, target: type[Input]) -> Any:
    """Take 5.0 for 5 where an integer is expected: JSON has one kind of number."""
    names = _integers_of(target)
    if not names or not isinstance(document, dict):
        return document
    return {
        name: int(value)
        if name in names and isinstance(value, float) and value.is_integer()
        else value
        for name, value in document.items()
    }


@functools.cache
def _integers_of(target: type[Input]) -> frozenset[str]:
    found = set()
    for field in msgspec.structs.fields(target):
        info = msgspec.inspect.type_info(field.type)
        kinds = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
        if any(isinstance(kind, msgspec.inspect.IntType) for kind in kinds):
            found.add(field.encode_name)
    return frozenset(found)


def decode_any(body: bytes) -> Any:
    """Decode JSON that PostgreSQL can store.

    Raises:
        ValidationFailed: It is not JSON, says the same member twice, or can't be stored.
    """
    document = decode_json(body)
    require_storable(document, max_bytes=len(body) * 6)
    return document


def decode_json(body: bytes) -> Any:
    """Decode JSON, whether or not it can be stored.

    Raises:
        ValidationFailed: It is not JSON, says the same member twice, or is in too many pieces.
    """
    if body.count(b"{") + body.count(b"[") > MOST_CONTAINERS:
        raise ValidationFailed.at({"$": f"More than {MOST_CONTAINERS:,} objects and arrays."})
    outside = outside_of_strings(body)
    if len(body) > CLOSELY_READ_BYTES and _LONG_INTEGER.search(b" ".join(outside)):
        raise ValidationFailed.at({"$": "Holds a number out of range."})
    try:
        document = msgspec.json.decode(body)
        # It has fewer strings where a member was there twice.
        if len(outside) != len(outside_of_strings(msgspec.json.encode(document))):
            raise ValueError(_repeated_member(body))  # noqa: TRY301 - told as the others are
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        message = f"The body is not valid JSON: {error}"
        raise ValidationFailed(message, details={"fields": {"$": "Not valid JSON."}}) from error
    return document


def _repeated_member(body: bytes) -> str:
    if len(body) <= CLOSELY_READ_BYTES:
        json.loads(body, object_pairs_hook=_refuse_repeated)
    return "a member is there twice"


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> None:
    names = Counter(name for name, _ in pairs)
    [(repeated, count)] = names.most_common(1) or [("", 0)]
    if count > 1:
        raise ValueError(f"the member {repeated[:100]!a} is there twice")


def require_storable(document: Any, *, max_bytes: int) -> None:
    """Let only through what PostgreSQL can store, and gives back as it came.

    Raises:
        ValidationFailed: Names what it can't.
    """
    faults = storage_faults(document, max_bytes=max_bytes, max_depth=DEEPEST_BODY)
    if not faults and _has_large_numbers(msgspec.json.encode(document)):
        places = (
            path
            for path, value in values_of(document, DEEPEST_BODY)
            if isinstance(value, int) and abs(value) > LARGEST_INTEGER
        )
        faults = [Fault(path, "A number out of range.") for path in islice(places, MOST_FAULTS)]
        faults = faults or [Fault((), "Holds a number out of range.")]
    if faults:
        raise ValidationFailed.at({fault.json_path(): fault.message for fault in faults})


def _has_large_numbers(written: bytes) -> bool:
    """Tell whether there is an integer beyond doubles. msgspec writes others with few digits."""
    if not _MANY_DIGITS.search(written):
        return False
    found = _MANY_DIGITS.findall(b" ".join(outside_of_strings(written)))
    return any((len(digits), digits) > (len(_LARGEST_DIGITS), _LARGEST_DIGITS) for digits in found)


def metadata_faults(metadata: object) -> list[Fault]:
    """Find out whether metadata are too large or too deep."""
    if metadata is None or metadata is msgspec.UNSET:
        return []
    return storage_faults(metadata, max_bytes=LARGEST_METADATA_BYTES, max_depth=DEEPEST_METADATA)


def _every_fault(
    document: Any, target: type[Input], first: msgspec.ValidationError
) -> ValidationFailed:
    if not isinstance(document, dict):
        return ValidationFailed.at({"$": "Expected an object."})
    types = _types_of(target)
    unknown = (name for name in document if name not in types)
    faults = {
        Fault((name,), "").json_path(): "Unknown field." for name in islice(unknown, MOST_FAULTS)
    }
    for field in _fields_of(target):
        if field.encode_name in document:
            faults |= _faults_of(document[field.encode_name], types[field.encode_name], field)
        elif field.required:
            faults[f"$.{field.encode_name}"] = "Required."
    faults = dict(_text_faults(document, target)) | faults
    return ValidationFailed.at(faults or {"$": str(first)})


@functools.cache
def _fields_of(target: type[Input]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Tell a body's fields; finding them out takes longer than reading the body."""
    return msgspec.structs.fields(target)


@functools.cache
def _types_of(target: type[msgspec.Struct]) -> Mapping[str, Any]:
    hints = get_type_hints(target, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(target)}


def _faults_of(value: Any, expected: Any, field: msgspec.structs.FieldInfo) -> dict[str, str]:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        place, message = place_and_words(error, expected)
        return {f"$.{field.encode_name}{place}": message}
    return {}
