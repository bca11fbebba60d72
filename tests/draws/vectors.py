"""The specification's vectors, copied from its page; they owe nothing to the code."""

import msgspec

from app.draws.ranking import (
    Entrant,
    Entropy,
    NoEntropy,
    Plan,
    PlannedPrize,
    TextEntropy,
)
from app.prizes.claims import ClaimTerms

SECRET = bytes(range(32))
COMMITMENT = "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd"
ENTRANTS = [
    Entrant("éva", 2),
    Entrant("bob", 3),
    Entrant("dave", 1),
    Entrant("alice", 1),
    Entrant("carol", 1),
]
ENTRANTS_DIGEST = "10f36b04ff711cd5f933a6601c0932f82d39d6e6f99898f0680c24dac5824b66"

QUICKNET = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
ROUND = 657413
SIGNATURE = (
    "b713718a38ae728dfd477991af2822e08d2f305e47718cef"
    "9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b"
)
RANDOMNESS = "fc1873a13f3545aeade8401532ef5519920652eee6b0d2b19ca12643b87b3587"


def plan(entropy: Entropy, *, one_prize_each: bool) -> Plan:
    return Plan(
        spec="draw/1",
        drawId="d1",
        roomId="r1",
        app="app_lottery_v1@1.2.0",
        commitment=COMMITMENT,
        entropy=entropy,
        prizes=(PlannedPrize("p1", 1), PlannedPrize("p2", 2)),
        onePrizeEach=one_prize_each,
        entrantCount=5,
        entrantsDigest=ENTRANTS_DIGEST,
    )


def claiming(
    entropy: Entropy, *, one_prize_each: bool, alternates: int, prizes: tuple[PlannedPrize, ...]
) -> Plan:
    """Return a plan of draw/2."""
    before = plan(entropy, one_prize_each=one_prize_each)
    return msgspec.structs.replace(before, spec="draw/2", alternates=alternates, prizes=prizes)


FIRST = plan(NoEntropy(), one_prize_each=True)
SECOND = plan(TextEntropy("dice"), one_prize_each=False)
# Plan, public, length of the canonical plan, its digest, seed, winners.
DRAWS = [
    (
        FIRST,
        b"",
        362,
        "384c6e9db79ea304f1f236b2042f09e3be62e2b83c3dd88c62eb8da35b13fff8",
        "71cd16833c8c8ddabb51b853f3436e761d2a1d7d3cfe61dafbde035ca01a4f57",
        [("p1", "bob"), ("p2", "carol"), ("p2", "éva")],
    ),
    (
        SECOND,
        b"4 2 6 1 5",
        378,
        "f806d0252dec96a44ebabbb50491c1ceedd6f922fdeaf4734edf16a4189ce784",
        "16ede973e3d7c3e5809e4b6b146013f5b8df95adaec8cd965cbd18014fb5b06d",
        [("p1", "bob"), ("p2", "éva"), ("p2", "bob")],
    ),
]

WEEK, DAY_AND_A_HALF = ClaimTerms("P7D"), ClaimTerms("PT36H")
FIRST_CLAIMING = claiming(
    NoEntropy(),
    one_prize_each=True,
    alternates=1,
    prizes=(
        PlannedPrize("p1", 1, WEEK),
        PlannedPrize("p2", 1, DAY_AND_A_HALF),
        PlannedPrize("p3", 1, None),
    ),
)
SECOND_CLAIMING = claiming(
    TextEntropy("dice"),
    one_prize_each=False,
    alternates=3,
    prizes=(PlannedPrize("p1", 1, WEEK), PlannedPrize("p2", 2, None)),
)
# As above, and who is next in line.
CLAIMING_DRAWS = [
    (
        FIRST_CLAIMING,
        b"",
        467,
        "9f4756a5838c3d60b7b86a2115c4fc1516235244f0ebbb4995050b6edb512454",
        "a62ed48cacf671759f3add09f732f1ea9b898d8052f528c5f90a284699afc919",
        [("p1", "bob"), ("p2", "éva"), ("p3", "alice")],
        [("p1", "carol"), ("p2", "dave")],
    ),
    (
        SECOND_CLAIMING,
        b"4 2 6 1 5",
        431,
        "019790dfd5a8c4d4ff80adbeadd6bcc17362f09075f259fd643be6364907c664",
        "5195f53eba594bb92c7d820c49822ad5598b3c050408b6428a1d72c4527ebce5",
        [("p1", "carol"), ("p2", "alice"), ("p2", "éva")],
        [("p1", "éva"), ("p1", "dave"), ("p1", "bob")],
    ),
]
