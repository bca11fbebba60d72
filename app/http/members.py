"""What the members of bodies and answers mean, for the API's description.

Said where the member is: by its `Meta`, or by the string under it. What many have under one name,
and what needs no more than a word, is said here.
"""

import ast
import functools
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Json = dict[str, Any]

GENERIC = re.compile(r"(Data|Page)_(\w+)")
"""Envelopes, which have the name of what is in them."""
ENVELOPES = {"Data": "The envelope of a successful answer.", "Page": "One page of a list."}
TIMES = {"at", "by", "time"}
"""Times that are not called `…At`."""
DESCRIBED_MEMBERS = {
    "accessToken": "Sent as `Authorization: Bearer …`, for an hour.",
    "added": "How many were added.",
    "allowRevoked": "Whether revoked winners of the prize take part again, with `replaces`.",
    "alphabet": "The characters that it consists of.",
    "alreadyIn": "How many were in the room before, and stay as they are.",
    "alternates": "How many people stand in line for each prize that has to be claimed.",
    "announcedAt": "When the rules were fixed.",
    "answeredAt": "When the answer came in.",
    "app": "The room's app.",
    "Plan.app": "The app, and its version.",
    "appId": "The app's public id.",
    "appManifestVersion": "The version of its app that the room is locked to.",
    "appSettings": "The app's settings for this room; its schema says what they are.",
    "avatar": "The address of a picture.",
    "cameBack": "How many had left the room, and are in it again.",
    "cancelledAt": "When it was given up; null where it was not.",
    "claims": "What was won and not taken, one after the other; null before the draw.",
    "closedAt": "When it was closed; null while it is open.",
    "commitment": "SHA-256 of the secret, shown from the announcement on.",
    "createdAt": "When it was made.",
    "createdBy": "The id of who made it; of a room, of its organizer.",
    "current": "Whether it is the present one.",
    "currentRoundId": "The round that was asked last; null before any.",
    "data": "What was asked for.",
    "deletedAt": "When it was deleted; null while it is there.",
    "deletes": "Rooms that are deleted with the account.",
    "deprecatedAt": "Since when no new room takes it; null where it is not deprecated.",
    "deprecationReason": "Why it is deprecated; null where it is not.",
    "description": "A few sentences for people.",
    "details": "Particulars, for programs.",
    "deviceInfo": "What the browser or program calls itself.",
    "drawId": "The draw's id.",
    "drawnAt": "When the winners were drawn; null before.",
    "drawnIn": "The number of the draw in which it was won.",
    "email": "The e-mail address.",
    "endsAt": "Until when answers count; null where there is no limit.",
    "entrantCount": "How many take part; null before the close.",
    "entrantsDigest": "SHA-256 of `entrants.txt`; null before the close.",
    "entropy": "What comes in from outside.",
    "erase": "Whether what says who they were becomes blank, for good.",
    "error": "What went wrong; null where nothing did.",
    "exclusions": "Who does not take part, and why.",
    "expiresAt": "Until when it is good; null: until it is revoked.",
    "expiresIn": "For how many seconds it is good.",
    "failed": "How many could not be added.",
    "finishedAt": "When it was over; null before.",
    "guests": "How many of the entrants came in without an account; null before the close.",
    "holders": "Who is left out for holding a prize already.",
    "id": "The id; it never changes.",
    "imageUrl": "The address of a picture.",
    "immediate": "Whether it is announced, closed and drawn at once.",
    "ipAddress": "The address that it was used from last.",
    "isActive": "Whether it takes new rooms, and may identify itself.",
    "isPublic": "Whether anybody may read the room.",
    "isWinning": "Whether it was the first right one.",
    "joinedAt": "When they came into the room.",
    "kind": "Tells the kinds apart.",
    "label": "What people are told of where it comes from.",
    "lastUsedAt": "When its tokens were renewed last.",
    "left": "Who is left out for having left the room.",
    "length": "How many characters it has.",
    "limit": "The most items of a page.",
    "lines": "What became of each line, in their order.",
    "manifest": "What the app says about itself.",
    "manifestVersion": "The app's present version.",
    "maxUses": "How many people it lets in; null: any number.",
    "message": "One sentence for a person.",
    "meta": "Where the page stands in its list.",
    "metadata": "What clients note there; a JSON object.",
    "name": "What it is called; of people, null where nothing is shown.",
    "next": "Who got the unit instead; null: nobody.",
    "nextInLine": "Who is next for each prize that has to be claimed.",
    "number": "The number in the room, from 1.",
    "onePrizeEach": "Whether nobody wins twice, in this draw or before.",
    "options": "What can be answered.",
    "otherRole": "Who is left out for a role that does not take part.",
    "page": "The number of the page, from 1.",
    "pages": "How many pages there are.",
    "participantId": "The participant's id (not the person's).",
    "participantName": "What the participant is called; null where nothing is shown.",
    "participants": "How many people are in the room.",
    "parts": "What is well and what is not, by part.",
    "passed": "Who was passed over, for having gone meanwhile.",
    "passesOn": "Rooms that pass to another organizer.",
    "password": "The demo people's password.",
    "place": "The place in the order of the prize, from 1.",
    "planDigest": "SHA-256 of the plan; null before the close.",
    "prizeId": "The prize's id.",
    "prizeName": "What the prize is called; null where it may not be told.",
    "prizes": "The prizes, and how many units of each.",
    "Counts.prizes": "How many prizes there are.",
    "AnnouncementInput.prizes": "What is drawn; without it all that is left.",
    "public": "The public entropy, as hexadecimal digits; null before it came in.",
    "DrawInput.public": "The text that was announced, such as what the dice show.",
    "publishedAt": "When it was published; null where it is not known.",
    "quantity": "How many units there are.",
    "quantityRemaining": "How many units are left.",
    "questionId": "The question's `id` in the room's settings.",
    "questionIndex": "The question's place in the room's settings, from 0.",
    "quizId": "The quiz's id.",
    "quizNumber": "The quiz's number in the room, from 1.",
    "readyAt": "When the public entropy came in; null before.",
    "reason": "Why; null where nothing was said.",
    "redrawnIn": "The number of the draw in which it was drawn again; null where it was not.",
    "refreshToken": "Buys the next pair of tokens, once.",
    "replaces": "The revoked winner whose unit is drawn again; null where there is none.",
    "responseTimeMs": "Milliseconds from the question to the answer.",
    "revoked": "Who is left out for a win that was taken back.",
    "revokedAt": "When it was taken back; null where it was not.",
    "role": "What they may do in the room.",
    "roomId": "The room's id.",
    "roomName": "What the room is called.",
    "round": "The round's number in the network.",
    "roundId": "The round's id.",
    "secret": "What was committed to; null until it is over.",
    "seed": "What the order follows from; null before the draw.",
    "sessions": "How many sessions were ended.",
    "settledAt": "When it was said; null while it is open.",
    "settledBy": "Who said so; null where nobody did in time.",
    "shownAt": "When the question was asked.",
    "signature": "The network's signature of the round; null where there is none.",
    "spec": "The recipe by which it is drawn.",
    "startedAt": "When it began.",
    "state": "How it is.",
    "status": "How far it has come.",
    "success": "That it was done.",
    "takesOverFrom": "The participant who did not take it; null where nobody had it before.",
    "targetVersion": "The version to move up to.",
    "text": "The question.",
    "totalPages": "The same as `pages`.",
    "totalQuestions": "How many questions the quiz has.",
    "unawarded": "What was won and could not be awarded, and why.",
    "undrawn": "How many units found nobody; null before the draw.",
    "updatedAt": "When it was changed last.",
    "url": "Where to send the browser.",
    "userId": "The person's id; null of who has no account yet.",
    "uses": "How many people it has let in.",
    "version": "The version, by semver.org.",
    "weightKey": "Member of the participants' metadata that says how many tickets each has.",
    "winnerId": "The award's id; null where there is none.",
    "winners": "Who won, prize by prize; null before the draw.",
    "Counts.winners": "How many awards there are.",
    "wins": "Who won what.",
    "LeaderOut.wins": "How many rounds they have won.",
    "ProviderAnswer.code": "What buys the provider's tokens.",
    "ProviderAnswer.error": "Why nobody was signed in.",
    "ProviderAnswer.state": "Which sign-in it is.",
    "CodeInput.code": "The code of the invitation; case and dashes don't matter.",
    "EmailLogin.code": "The six digits that were sent.",
    "LineError.code": "Stable; what a program acts upon.",
}
"""By name, or by component and name."""


def describe_members(document: Json) -> None:
    """Say of each component and each of its members what it is, and of times that they are."""
    for component, schema in document["components"]["schemas"].items():
        members = schema.get("properties", {})
        struct = _structs().get((component, frozenset(members)))
        if said := _about(component, struct):
            schema.setdefault("description", said)
        said_there = _said_under(struct)
        for name, member in members.items():
            if _is_time(name):
                _say_time(member)
            own = DESCRIBED_MEMBERS.get(f"{component}.{name}") or said_there.get(name)
            if said := own or DESCRIBED_MEMBERS.get(name):
                member.setdefault("description", said)


def _about(component: str, struct: type[msgspec.Struct] | None) -> str | None:
    if (generic := GENERIC.fullmatch(component)) is not None:
        return ENVELOPES[generic[1]]
    return inspect.cleandoc(struct.__doc__ or "").partition("\n\n")[0] if struct else None


def _is_time(name: str) -> bool:
    return name.endswith("At") or name in TIMES


def _say_time(member: Json) -> None:
    """Say of a time that it is one.

    A draw's record says itself how its times are written, of which its digest is.
    """
    for kind in (member, *member.get("oneOf", ())):
        if kind.get("type") == "string" and "pattern" not in member:
            kind.setdefault("format", "date-time")


def _said_under(struct: type[msgspec.Struct] | None) -> Mapping[str, str]:
    """Return the strings that stand under the members of a class, or its bases'."""
    said: dict[str, str] = {}
    for kind in reversed(struct.__mro__ if struct else ()):
        if kind.__module__.startswith("app."):
            said |= _strings_in(kind.__module__).get(kind.__name__, {})
    return said


@functools.cache
def _structs() -> Mapping[tuple[str, frozenset[str]], type[msgspec.Struct]]:
    """Return our structs by their names, as the components are called, and their members."""
    return {
        (struct.__name__, _members_of(struct)): struct
        for struct in _kinds_of(msgspec.Struct)
        if struct.__module__.startswith("app.")
    }


def _members_of(struct: type[msgspec.Struct]) -> frozenset[str]:
    tag = struct.__struct_config__.tag_field
    return frozenset({*struct.__struct_encode_fields__, *([tag] if tag else ())})


def _kinds_of(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds_of(each)


@functools.cache
def _strings_in(module: str) -> Mapping[str, Mapping[str, str]]:
    """Return what stands under the members of each class of a module."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {
        part.name: dict(_strings_of(part)) for part in tree.body if isinstance(part, ast.ClassDef)
    }


def _strings_of(part: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for member, below in zip(part.body, part.body[1:], strict=False):
        match member, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
