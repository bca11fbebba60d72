"""All of a draw in one archive, for whoever doubts it: a participant, or an authority."""

import msgspec
from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.response import Stream

from app.auth.service import utc_now
from app.draws.auditing import audit_of
from app.draws.controller import Number
from app.draws.reading import Readable, find_draw, read_entrants
from app.draws.schemas import made, record_of
from app.draws.screens import PAGES
from app.http import archives
from app.participants.guards import in_room, provide_member
from app.participants.roles import Right
from app.participants.service import Membership
from app.rooms.schemas import RoomOut
from app.rooms.service import shown_to_all

ABOUT = """Draw {number} of the room "{room}": what is needed to check it, without any server.

record.json    The draw's public record. Its member recordDigest is the one that the screen
               shows when the draw is over: compare it with a picture of the screen.
entrants.txt   Who took part: a participant's id and number of tickets in a line. It is missing if
               the draw was cancelled before its close. Its SHA-256 is the record's entrantsDigest.
verify.html    Open it in a browser and drop record.json and entrants.txt: it recomputes the draw
               and asks nobody. It is the page that the server has at /verify.
audit.json     The steps of the draw and what changed in the room between them, as the database
               noted it: when, by whom, what. People are ids. Times are UTC.
room.json      The room and its rules as everybody sees them now.
"""


@get(
    "/rooms/{room_id:str}/draws/{number:int}/evidence.zip",
    guards=[in_room(Right.DRAW)],
    security=[{"bearer": []}],
    dependencies={"member": Provide(provide_member)},
    media_type=archives.MEDIA_TYPE,
    tags=["draws"],
    operation_id="exportDrawEvidence",
    summary="All of a draw, for whoever doubts it",
)
async def export_evidence(member: NamedDependency[Membership], number: Number) -> Stream:
    """Send the record, the entrants, what happened between the steps, and the page that checks it.

    A ZIP archive, which moderators may hand on. README.txt in it says what each file is. It names
    nobody: people are ids, but for who opened the room.
    """
    row = await find_draw(Readable(member.room_id), number)
    [room] = await shown_to_all([member.room_id])
    about = ABOUT.format(number=number, room=room["name"])
    files = {
        "README.txt": archives.text(about),
        "record.json": archives.text(_written(await made(record_of, row))),
        **({"entrants.txt": read_entrants(row["id"])} if row["closedAt"] else {}),
        "verify.html": archives.text((PAGES / "verify.html").read_text()),
        "audit.json": archives.text(_written(await audit_of(member.room_id, number))),
        "room.json": archives.text(_written(RoomOut.of(room))),
    }
    return archives.download(f"draw-{number}.zip", files.items(), utc_now())


def _written(document: object) -> str:
    return msgspec.json.format(msgspec.json.encode(document)).decode()
