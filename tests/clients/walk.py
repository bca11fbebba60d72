"""The main job, by the client that `openapi-python-client` makes: `python walk.py URL`.

Run by test_generated.py, with the client beside it.
"""

import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

from event_platform_client import AuthenticatedClient, Client
from event_platform_client.api.auth import sign_in_as_demo_person
from event_platform_client.api.draws import announce_draw, close_draw, draw_winners, get_draw_record
from event_platform_client.api.participants import add_many_participants, add_participant
from event_platform_client.api.prizes import create_prize
from event_platform_client.api.rooms import create_room, update_room
from event_platform_client.api.winners import award_prize, export_winners, list_winners
from event_platform_client.models import (
    AnnouncedText,
    AnnouncementInput,
    AwardInput,
    ConflictOrRoomNotActive,
    DrawInput,
    Login,
    ParticipantInput,
    PrizeInput,
    RoomChange,
    RoomInput,
    RoomInputAppSettings,
    RoomStatus,
    TextFormat,
    TextFormatAlphabet,
)
from event_platform_client.types import File


def data_of(answer: Any) -> Any:
    """Return what was asked for; a refusal has its code and message instead."""
    if answer is None or hasattr(answer, "error"):
        raise SystemExit(f"refused: {answer}")
    return answer.data


def main(url: str) -> None:
    """Open a room, award a prize by hand, draw another."""
    demo = Login(email="alice@example.com", password="password123")
    signed_in = data_of(sign_in_as_demo_person.sync(client=Client(url), body=demo))
    client = AuthenticatedClient(url, token=signed_in.access_token)

    settings = RoomInputAppSettings.from_dict(
        {"ticketCount": 10, "drawDate": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    )
    wish = RoomInput(name="Walk in Python", app_id="app_lottery_v1", app_settings=settings)
    room = data_of(create_room.sync(client=client, body=wish))
    assert room.created_at.tzinfo is not None

    diana = ParticipantInput(email="diana@example.com", name="Diana")
    participant = data_of(add_participant.sync(room.id, client=client, body=diana))
    lines = File(BytesIO(b"email,name\r\nann@example.com,Ann\r\nben@example.com,Ben\r\n"))
    added = data_of(add_many_participants.sync(room.id, client=client, body=lines))
    assert added.added == 2

    prize = PrizeInput(name="Headphones", quantity=2)
    prize_id = data_of(create_prize.sync(room.id, client=client, body=prize)).id
    award = AwardInput(participant_id=participant.id, prize_id=prize_id)
    refused = award_prize.sync(room.id, client=client, body=award)
    assert isinstance(refused, ConflictOrRoomNotActive)
    assert refused.error.code == "ROOM_NOT_ACTIVE"

    active = RoomChange(status=RoomStatus.ACTIVE)
    assert data_of(update_room.sync(room.id, client=client, body=active)).status == "ACTIVE"
    key = f"award-{prize_id}"
    for _ in range(2):
        won = award_prize.sync(room.id, client=client, body=award, idempotency_key=key)
        assert data_of(won).prize.name == "Headphones"

    dice = TextFormat(alphabet=TextFormatAlphabet.VALUE_1, length=3)
    text = AnnouncedText(label="Three dice", format_=dice, kind="text")
    plan = AnnouncementInput(entropy=text)
    number = data_of(announce_draw.sync(room.id, client=client, body=plan)).number
    assert data_of(close_draw.sync(room.id, number, client=client)).entrant_count == 2
    thrown = DrawInput(public="426")
    drawn = data_of(draw_winners.sync(room.id, number, client=client, body=thrown))
    assert drawn.status == "DRAWN"
    record: Any = get_draw_record.sync(room.id, number, client=client)
    assert record.record_digest

    winners = data_of(list_winners.sync(room.id, client=client))
    table: Any = export_winners.sync(room.id, client=client)
    lines_of_table = table.payload.read().decode().splitlines()
    sys.stdout.write(f"{len(winners)} {winners[-1].prize.name} {len(lines_of_table)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
