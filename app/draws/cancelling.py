"""Cancelling a draw, visibly: it keeps its number, and its secret is revealed."""

from app.database.audit import acting
from app.database.engine import fetch, transaction
from app.database.versions import ANY, Precondition
from app.draws.steps import actor_of, clock, lock_draw, step
from app.errors import Conflict
from app.participants.service import Membership
from app.tables import DrawStatus


async def cancel(
    member: Membership, number: int, reason: str, precondition: Precondition = ANY
) -> None:
    """Give a draw up, visibly. One that was cancelled for the same reason stays as it is.

    Raises:
        NotFound: The room has no such draw.
        Conflict: It was drawn, or cancelled for another reason; another step is under way.
        PreconditionFailed: It is not as the caller has read it.
    """
    async with step("cancel"), transaction():
        present = await lock_draw(member.room_id, number)
        precondition.check(present)
        if present["status"] == DrawStatus.READY:
            raise Conflict("The public input of this draw is fixed; it is being drawn.")
        if present["status"] == DrawStatus.DRAWN:
            raise Conflict("This draw was drawn; revoke its winners instead.")
        if present["status"] == DrawStatus.CANCELLED:
            if present["reason"] != reason:
                raise Conflict("This draw was cancelled for another reason.")
            return
        cancelled_at = await clock(after=present["closedAt"] or present["announcedAt"])
        async with acting(actor_of(member), "cancel draw"):
            await fetch(
                'UPDATE draws SET status = $2, reason = $3, "cancelledAt" = $4 WHERE id = $1',
                present["id"],
                DrawStatus.CANCELLED,
                reason,
                cancelled_at,
            )
