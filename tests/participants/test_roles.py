"""The permission table, against API.md's, written out here."""

import pytest

from app.participants.roles import Rank, may_change, may_grant, may_win, rank_of, reaches
from app.tables import ParticipantRole as Role

# Who (rows, lowest first) may give which role: V, P, M, O, A.
GRANTS = {
    Rank.OUTSIDER: "",
    Rank.VIEWER: "",
    Rank.PARTICIPANT: "",
    Rank.MODERATOR: "VP",
    Rank.ORGANIZER: "VPMO",
    Rank.ADMIN: "VPMO",
    Rank.PLATFORM_ADMINISTRATOR: "VPMOA",
}
STANDING = [None, Role.VIEWER, Role.PARTICIPANT, Role.MODERATOR, Role.ORGANIZER, Role.ADMIN]


@pytest.mark.parametrize("granter", Rank)
@pytest.mark.parametrize("role", Role)
def test_each_gives_the_roles_of_the_table(granter: Rank, role: Role) -> None:
    assert may_grant(granter, role) == (role[0] in GRANTS[granter])


@pytest.mark.parametrize("changer", Rank)
@pytest.mark.parametrize("present", Role)
@pytest.mark.parametrize("wanted", Role)
def test_a_role_is_changed_by_who_may_give_both_the_old_and_the_new(
    changer: Rank, present: Role, wanted: Role
) -> None:
    allowed = present[0] in GRANTS[changer] and wanted[0] in GRANTS[changer]
    assert may_change(changer, present, wanted, is_self=False) == allowed


@pytest.mark.parametrize("present", Role)
@pytest.mark.parametrize("wanted", Role)
def test_anybody_steps_down_and_nobody_steps_up(present: Role, wanted: Role) -> None:
    steps_up = STANDING.index(wanted) > STANDING.index(present)
    can_give_it = present[0] in GRANTS[Rank[present]] and wanted[0] in GRANTS[Rank[present]]
    assert not (steps_up and can_give_it)
    assert may_change(Rank[present], present, wanted, is_self=True) == (not steps_up)


@pytest.mark.parametrize(("position", "role"), list(enumerate(STANDING)))
def test_each_role_has_the_rights_of_those_below_it(position: int, role: Role | None) -> None:
    assert [reaches(rank_of(role), needed) for needed in STANDING] == [
        below <= position for below in range(len(STANDING))
    ]


def test_viewers_never_win() -> None:
    assert [role for role in Role if not may_win(role)] == [Role.VIEWER]
