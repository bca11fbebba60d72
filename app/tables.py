"""The whole schema. Attributes are named as their columns; the DDL is in piccolo_migrations/.

A column with `default=REQUIRED` is NOT NULL and has to be given; `null=True` makes it optional.
"""

from enum import StrEnum

from piccolo.columns import (
    JSON,
    JSONB,
    Array,
    BigInt,
    Boolean,
    Bytea,
    ForeignKey,
    Integer,
    OnDelete,
    Text,
)
from piccolo.columns.readable import Readable
from piccolo.table import Table

from app.database.columns import REQUIRED, CamelCaseTable, Moment, NativeEnum, now_ms
from app.database.ids import new_id
from app.database.soft_delete import SoftDeletable


class RoomStatus(StrEnum):
    """Where a room is in its life."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"

    @property
    def is_open(self) -> bool:
        """Whether people and prizes still come and go."""
        return self in (RoomStatus.DRAFT, RoomStatus.ACTIVE)


class ParticipantRole(StrEnum):
    """What a person may do in a room, the mightiest first."""

    ADMIN = "ADMIN"
    ORGANIZER = "ORGANIZER"
    MODERATOR = "MODERATOR"
    PARTICIPANT = "PARTICIPANT"
    VIEWER = "VIEWER"


class ShowName(StrEnum):
    """How somebody is called before who does not moderate the room."""

    FULL = "FULL"
    INITIALS = "INITIALS"
    """The first letters of the first and the last word: A. J."""
    NONE = "NONE"


class TaskOutcome(StrEnum):
    """How a run of a maintenance job ended, or that it has not."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    """Its server was shut down; another goes on."""
    ABANDONED = "ABANDONED"
    """Its server died; found by the one that goes on."""


class DisabledReason(StrEnum):
    """Why nothing is sent to an endpoint."""

    ASKED = "ASKED"
    """The app, or an administrator, wants it so."""
    GONE = "GONE"
    """It has answered 410."""
    FAILING = "FAILING"
    """Nothing could be delivered for days."""


class DeliveryStatus(StrEnum):
    """What has become of an event that is sent to an endpoint."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class MailStatus(StrEnum):
    """What has become of a mail."""

    KEPT = "KEPT"
    """In development, without a mail server: to be looked at, and never sent."""
    PENDING = "PENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    """The mail server refused it for good, or it waited too long."""
    DROPPED = "DROPPED"
    """When its turn came, there was no reason to send it any more, or nobody to send it to."""


class ClaimStatus(StrEnum):
    """What a win that has to be claimed has come to."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    DECLINED = "DECLINED"
    EXPIRED = "EXPIRED"


class Settler(StrEnum):
    """Who said of a win that it is taken, or is not."""

    WINNER = "WINNER"
    STAFF = "STAFF"
    """A moderator of the room, or above, for the winner."""


class DrawStatus(StrEnum):
    """How far a draw has come."""

    ANNOUNCED = "ANNOUNCED"
    CLOSED = "CLOSED"
    READY = "READY"
    """The public input is fixed; whatever happens next, the draw will be DRAWN."""
    DRAWN = "DRAWN"
    CANCELLED = "CANCELLED"


class User(SoftDeletable, tablename="users"):
    """A person who signed in at least once."""

    id = Text(primary_key=True, default=new_id)
    email = Text(default=REQUIRED, unique=True, help_text="Lower-case.")
    name = Text(null=True, default=None)
    avatar = Text(null=True, default=None, help_text="URL of a picture.")
    provider = Text(default="google", help_text="Who vouches for the person.")
    providerId = Text(null=True, default=None, help_text="The person's id there.")
    emailVerified = Moment(null=True, default=None)
    isAdmin = Boolean(default=False, help_text="A platform administrator.")
    createdAt = Moment()
    updatedAt = Moment(auto_update=now_ms)
    deletedAt = Moment(null=True, default=None)
    erasedAt = Moment(
        null=True, default=None, help_text="Since then nothing here says who they were."
    )
    mayReturn = Boolean(
        default=False, help_text="They deleted themselves: signing in brings the account back."
    )
    guestOf = Text(
        null=True,
        default=None,
        help_text="The only room of somebody without an account; the address is none then.",
    )

    @classmethod
    def get_readable(cls) -> Readable:
        """Show people by their email."""
        return Readable(template="%s", columns=[cls.email])


class Identity(CamelCaseTable, tablename="identities"):
    """Somebody at a sign-in provider, who is a person here: one of each provider."""

    id = Text(primary_key=True, default=new_id)
    userId = ForeignKey(User, null=False)
    provider = Text(default=REQUIRED)
    subject = Text(default=REQUIRED, help_text="The person's id there.")
    createdAt = Moment()


class Session(CamelCaseTable, tablename="sessions"):
    """A device that is signed in: one chain of refresh tokens, of which only hashes are kept."""

    id = Text(primary_key=True, default=new_id)
    userId = ForeignKey(User, null=False)
    refreshToken = Text(
        default=REQUIRED, unique=True, secret=True, help_text="SHA-256 of the token, in hex."
    )
    expiresAt = Moment(default=REQUIRED)
    deviceInfo = Text(null=True, default=None, help_text="The User-Agent.")
    ipAddress = Text(null=True, default=None)
    lastUsedAt = Moment()
    createdAt = Moment()
    updatedAt = Moment(auto_update=now_ms)
    previousRefreshToken = Text(
        null=True,
        default=None,
        unique=True,
        secret=True,
        help_text="SHA-256 of the direct predecessor.",
    )
    rotatedAt = Moment(null=True, default=None, help_text="When it was replaced.")


class SignInCode(CamelCaseTable, tablename="sign_in_codes"):
    """The last code that was asked for an address, to sign in with. Its digits are not kept."""

    email = Text(primary_key=True, default=REQUIRED)
    id = Text(
        default=REQUIRED, unique=True, help_text="SHA-256 of the secret of the client that asked."
    )
    kid = Text(default=REQUIRED, help_text="Which of our secrets the digits are derived with.")
    expiresAt = Moment(default=REQUIRED)
    usedAt = Moment(null=True, default=None)
    tries = Integer(default=0)
    asked = Integer(default=1, help_text="Codes of this address since `askedSince`.")
    askedSince = Moment(help_text="For a day, then anew.")


class TokenBlacklist(CamelCaseTable, tablename="token_blacklist"):
    """An access token that was revoked before its time. It outlives the person."""

    id = Text(primary_key=True, default=new_id)
    tokenHash = Text(
        default=REQUIRED, unique=True, secret=True, help_text="SHA-256 of the token, in hex."
    )
    expiresAt = Moment(default=REQUIRED, help_text="After it the row says nothing more.")
    userId = Text(default=REQUIRED)
    reason = Text(null=True, default=None)
    revokedAt = Moment()
    revokedBy = Text(null=True, default=None)


class App(SoftDeletable, tablename="apps"):
    """An application that events run on, described by its manifest."""

    id = Text(primary_key=True, default=new_id)
    appId = Text(default=REQUIRED, unique=True)
    appSecret = Text(
        default=REQUIRED, unique=True, secret=True, help_text="SHA-256 of the secret, in hex."
    )
    manifest = JSONB(default=REQUIRED)
    manifestVersion = Text(default="1.0.0", help_text="meta.version of the manifest.")
    manifestHistory = JSONB(default="[]", help_text="Earlier versions, oldest first.")
    isActive = Boolean(default=True)
    createdAt = Moment()
    updatedAt = Moment(auto_update=now_ms)
    deletedAt = Moment(null=True, default=None)
    manifestPublishedAt = Moment()
    manifestDeprecatedAt = Moment(
        null=True, default=None, help_text="Since then, the present version takes no new rooms."
    )
    manifestDeprecationReason = Text(null=True, default=None)

    @classmethod
    def get_readable(cls) -> Readable:
        """Show apps by their public id."""
        return Readable(template="%s", columns=[cls.appId])


class Room(SoftDeletable, tablename="rooms"):
    """An event: an app, its settings and the people who take part."""

    id = Text(primary_key=True, default=new_id)
    name = Text(default=REQUIRED)
    description = Text(null=True, default=None)
    appId = ForeignKey(App, target_column="appId", null=False, on_delete=OnDelete.restrict)
    appSettings = JSONB(default=REQUIRED)
    appManifestVersion = Text(
        default="1.0.0", help_text="The manifest that the settings obey, whatever came after it."
    )
    status = NativeEnum(choices=RoomStatus, default=RoomStatus.DRAFT)
    isPublic = Boolean(default=True)
    createdBy = ForeignKey(User, null=False, on_delete=OnDelete.restrict)
    createdAt = Moment()
    updatedAt = Moment(auto_update=now_ms)
    deletedAt = Moment(null=True, default=None)
    publicUntil = Moment(null=True, default=None, help_text="When it last ceased to be public.")
    sendsMail = Boolean(default=True, help_text="Whether mails go out of it.")
    showName = Text(
        null=True,
        default=None,
        help_text="How people are called who choose nothing; null: initials where it is public.",
    )
    forgetAfter = Text(
        null=True, default=None, help_text="How long after its end its people are forgotten: P30D."
    )
    endedAt = Moment(null=True, default=None, help_text="When it was closed or deleted.")
    forgottenAt = Moment(null=True, default=None, help_text="When its people were forgotten.")
    guests = Boolean(default=False, help_text="Whether who has no account may come in.")

    @classmethod
    def get_readable(cls) -> Readable:
        """Show rooms by their name."""
        return Readable(template="%s", columns=[cls.name])


class Participant(SoftDeletable, tablename="participants"):
    """A person in a room. Leaving sets deletedAt; coming back clears it.

    Who was brought in by an address is nobody's account until they join: so it can't be told who
    has one.
    """

    id = Text(primary_key=True, default=new_id)
    userId = ForeignKey(User, null=True, default=None)
    roomId = ForeignKey(Room, null=False)
    role = NativeEnum(choices=ParticipantRole, default=ParticipantRole.PARTICIPANT)
    metadata = JSONB(null=True, default=None, help_text="What moderators say of them.")
    ownMetadata = JSONB(
        null=True,
        default=None,
        help_text="What they said of themselves on joining: no draw reads it.",
    )
    joinedAt = Moment()
    updatedAt = Moment(auto_update=now_ms)
    deletedAt = Moment(null=True, default=None)
    email = Text(
        null=True,
        default=None,
        help_text="What the room knows them by: they were brought in by it, or had it on joining.",
    )
    name = Text(null=True, default=None, help_text="Given with the address.")
    acceptedAt = Moment(null=True, default=None, help_text="When they joined by themselves.")
    participantUntil = Moment(
        null=True, default=None, help_text="When they last ceased to be a PARTICIPANT here."
    )
    erasedAt = Moment(
        null=True, default=None, help_text="When all that was personal here became blank."
    )
    showName = Text(
        null=True,
        default=None,
        help_text="How they want to be called here; null: as the room has it.",
    )
    wasOf = Text(
        null=True, default=None, help_text="Whose it was, who has given it up for another seat."
    )

    @classmethod
    def get_readable(cls) -> Readable:
        """Show participants by the person's email, else by the address that they were asked by."""
        return Readable(template="%s", columns=[cls.userId.email, cls.email])


class Invitation(CamelCaseTable, tablename="invitations"):
    """A code that lets whoever has it into a room. Of the code only a hash is kept."""

    id = Text(primary_key=True, default=new_id)
    roomId = ForeignKey(Room, null=False)
    role = NativeEnum(choices=ParticipantRole, default=ParticipantRole.PARTICIPANT)
    codeHash = Text(
        default=REQUIRED, unique=True, secret=True, help_text="Of the code, with our secret."
    )
    maxUses = Integer(null=True, default=None, help_text="How many it lets in; null: any number.")
    uses = Integer(default=0, help_text="How many it has let in.")
    expiresAt = Moment(null=True, default=None)
    revokedAt = Moment(null=True, default=None)
    createdBy = ForeignKey(User, null=False)
    createdAt = Moment()


class Prize(SoftDeletable, tablename="prizes"):
    """Something to be won in a room. What is missing of its stock has been won."""

    id = Text(primary_key=True, default=new_id)
    roomId = ForeignKey(Room, null=False)
    name = Text(default=REQUIRED)
    description = Text(null=True, default=None)
    imageUrl = Text(null=True, default=None)
    quantity = Integer(default=1)
    quantityRemaining = Integer(default=1)
    claim = JSONB(
        null=True, default=None, help_text='{"within": "P7D"}: how long its winners have to claim.'
    )
    metadata = JSONB(null=True, default=None)
    createdAt = Moment()
    updatedAt = Moment(auto_update=now_ms)
    deletedAt = Moment(null=True, default=None)

    @classmethod
    def get_readable(cls) -> Readable:
        """Show prizes by their name."""
        return Readable(template="%s", columns=[cls.name])


class Winner(SoftDeletable, tablename="winners"):
    """A prize that a participant won. Revoking sets deletedAt; so do declining and expiring."""

    id = Text(primary_key=True, default=new_id)
    roomId = ForeignKey(Room, null=False)
    participantId = ForeignKey(Participant, null=False)
    prizeId = ForeignKey(Prize, null=False, on_delete=OnDelete.restrict)
    metadata = JSONB(null=True, default=None)
    claimStatus = Text(
        null=True, default=None, help_text="A ClaimStatus; none if nothing is to be claimed."
    )
    claimBy = Moment(null=True, default=None, help_text="By when it has to be claimed.")
    claimSettledAt = Moment(null=True, default=None)
    claimSettledBy = Text(null=True, default=None, help_text="A Settler; none if time was over.")
    drawId = Text(
        null=True, default=None, help_text="The draw whose order goes on if it is not claimed."
    )
    createdAt = Moment()
    deletedAt = Moment(null=True, default=None)


class RoomCount(Table, tablename="room_counts"):
    """A part of how many alive ones a room has; the sum is right. Kept by triggers alone."""

    slot = BigInt(primary_key=True, default=REQUIRED)
    roomId = Text(default=REQUIRED)
    participants = Integer(default=REQUIRED)
    prizes = Integer(default=REQUIRED)
    winners = Integer(default=REQUIRED)


class TaskRun(CamelCaseTable, tablename="task_runs"):
    """A run of a maintenance job. A slot that fails has several."""

    id = Text(primary_key=True, default=new_id)
    job = Text(default=REQUIRED)
    slot = Moment(null=True, default=None, help_text="When it was due; none if started by hand.")
    runner = Text(default=REQUIRED, help_text="The host and the process.")
    startedAt = Moment()
    finishedAt = Moment(null=True, default=None)
    rows = Integer(default=0, help_text="Rows deleted, or tables vacuumed.")
    outcome = NativeEnum(choices=TaskOutcome, default=TaskOutcome.RUNNING)
    error = Text(null=True, default=None)


class IdempotencyKey(CamelCaseTable, tablename="idempotency_keys"):
    """The answer to a POST that came with an Idempotency-Key, for who asks again."""

    id = Text(primary_key=True, default=REQUIRED, help_text="SHA-256 of the person and the key.")
    userId = ForeignKey(User, null=False)
    request = Text(default=REQUIRED, help_text="SHA-256 of the address and the body.")
    status = Integer(default=REQUIRED)
    headers = JSONB(default=REQUIRED)
    body = Text(null=True, default=None, help_text="Null: it held a secret, or was too large.")
    summary = JSONB(null=True, default=None, help_text="Of an answer that was too large.")
    createdAt = Moment()
    expiresAt = Moment(default=REQUIRED)


class Draw(CamelCaseTable, tablename="draws"):
    """A draw of a room's prizes, from its announcement on. Nothing of it is ever deleted."""

    id = Text(primary_key=True, default=new_id)
    roomId = ForeignKey(Room, null=False, on_delete=OnDelete.restrict)
    number = Integer(default=REQUIRED, help_text="In the room, from 1, without gaps.")
    previousNumber = Integer(null=True, default=None, help_text="Generated; it must exist.")
    status = NativeEnum(choices=DrawStatus, default=DrawStatus.ANNOUNCED)
    secret = Bytea(default=REQUIRED, secret=True, help_text="Nobody's before the draw is over.")
    commitment = Text(default=REQUIRED, help_text="SHA-256 of the secret, in hex.")
    prizes = JSONB(default=REQUIRED, help_text="Ids and quantities, in the order of the draw.")
    onePrizeEach = Boolean(default=True)
    weightKey = Text(null=True, default=None, help_text="Member of the participants' metadata.")
    exclusions = JSONB(default="[]", help_text="Participants' ids with the reasons.")
    alternates = Integer(
        null=True, default=None, help_text="In line for each prize to be claimed. Null: draw/1."
    )
    entropy = JSONB(default=REQUIRED, help_text="What public randomness comes in.")
    replaces = Text(null=True, default=None, help_text="The revoked winner.")
    immediate = Boolean(default=False)
    plan = Text(null=True, default=None, help_text="Canonical JSON, of which planDigest is taken.")
    planDigest = Text(null=True, default=None)
    public = Bytea(null=True, default=None)
    signature = Text(null=True, default=None, help_text="Of the drand round, in hex.")
    seed = Bytea(null=True, default=None, secret=True)
    winners = JSONB(null=True, default=None, help_text="As drawn, whatever became of them.")
    nextInLine = JSONB(null=True, default=None, help_text="Who takes over what is not claimed.")
    undrawn = Integer(null=True, default=None)
    reason = Text(null=True, default=None, help_text="Why it was cancelled.")
    announcedAt = Moment()
    closedAt = Moment(null=True, default=None)
    drawnAt = Moment(null=True, default=None)
    cancelledAt = Moment(null=True, default=None)
    wasPublic = Boolean(default=False, help_text="Whether the room was, at the announcement.")
    allowRevoked = Boolean(
        null=True, default=None, help_text="In a redraw. Null: announced before this was recorded."
    )
    leftOut = JSONB(null=True, default=None, help_text="Who did not take part, by why.")
    readyAt = Moment(null=True, default=None)
    passed = JSONB(null=True, default=None, help_text="Whose turn went to the next.")
    unawarded = JSONB(null=True, default=None, help_text="Which wins were not awarded, and why.")
    idempotencyKey = Text(
        null=True, default=None, unique=True, help_text="Of the announcement: who asks again."
    )
    guests = Integer(null=True, default=None, help_text="Entrants without an account.")


class DrawEntrants(Table, tablename="draw_entrants"):
    """A part of a closed draw's `entrants.txt`."""

    # The primary key is (drawId, part), and drawId points at draws.id; Piccolo knows no key of
    # several columns.
    drawId = Text(primary_key=True, default=REQUIRED)
    part = Integer(default=REQUIRED)
    lines = Text(default=REQUIRED)


class DrawClaim(Table, tablename="draw_claims"):
    """A unit of a draw that somebody did not take, and who is next. Written once, and kept."""

    # The primary key is (drawId, prizeId, number), and drawId points at draws.id.
    drawId = Text(primary_key=True, default=REQUIRED)
    prizeId = Text(default=REQUIRED)
    number = Integer(default=REQUIRED, help_text="Of the prize in the draw, from 1.")
    participantId = Text(default=REQUIRED)
    status = Text(default=REQUIRED, help_text="DECLINED or EXPIRED.")
    settledBy = Text(null=True, default=None, help_text="A Settler; none if time was over.")
    at = Moment(default=REQUIRED)
    passed = JSONB(default="[]", help_text="Who was before the next in line, and why not.")
    next = Text(null=True, default=None, help_text="The participant. None: it is back in stock.")


class Quiz(CamelCaseTable, tablename="quizzes"):
    """A quiz that was played in a room. The last one is the present one."""

    id = Text(primary_key=True, default=new_id)
    roomId = ForeignKey(Room, null=False)
    number = Integer(default=REQUIRED, help_text="In the room, from 1.")
    startedAt = Moment()
    finishedAt = Moment(null=True, default=None)


class Round(CamelCaseTable, tablename="rounds"):
    """A question of the room's settings, as it was asked."""

    id = Text(primary_key=True, default=new_id)
    roomId = ForeignKey(Room, null=False)
    quizId = ForeignKey(Quiz, null=False)
    question = JSONB(default=REQUIRED, help_text="As it was shown: without the right answer.")
    correctIndex = Integer(default=REQUIRED, help_text="Moderators' alone.")
    questionIndex = Integer(default=REQUIRED)
    totalQuestions = Integer(default=REQUIRED)
    shownAt = Moment(default=REQUIRED)
    endsAt = Moment(null=True, default=None, help_text="When its time has passed; null: never.")
    closedAt = Moment(null=True, default=None)


class Answer(CamelCaseTable, tablename="answers"):
    """What a participant answered in a round. One each, and none is ever changed."""

    id = Text(primary_key=True, default=new_id)
    roundId = ForeignKey(Round, null=False)
    participantId = ForeignKey(Participant, null=False)
    answerIndex = Integer(null=True, default=None, help_text="Null: erased with the person.")
    isCorrect = Boolean(default=REQUIRED)
    isWinning = Boolean(default=REQUIRED, help_text="The first right one of its round.")
    responseTimeMs = Integer(default=REQUIRED, help_text="Since the question was shown.")
    answeredAt = Moment(default=REQUIRED)
    winnerId = Text(
        null=True, default=None, help_text="Of what was won, if there was something left."
    )


class AuditLog(CamelCaseTable, tablename="audit_log"):
    """What an administrator did to a row. Written by triggers, once; nobody changes a record."""

    id = BigInt(primary_key=True, default=REQUIRED)
    actor = Text(default=REQUIRED, help_text="The administrator's user name.")
    action = Text(default=REQUIRED)
    tableName = Text(default=REQUIRED)
    rowId = Text(default=REQUIRED)
    before = JSONB(null=True, default=None, help_text="Of a change, the columns that changed.")
    after = JSONB(null=True, default=None)
    createdAt = Moment()


class Outbox(Table, tablename="outbox"):
    """Something that happened in a room and is not in `events` yet. Written by triggers."""

    seq = BigInt(primary_key=True, default=REQUIRED)
    id = Text(default=REQUIRED)
    type = Text(default=REQUIRED)
    roomId = Text(null=True, default=None)
    subject = Text(null=True, default=None, help_text="The id of what it happened to.")
    details = JSONB(null=True, default=None)
    createdAt = Moment()


class Event(Table, tablename="events"):
    """Something that happened in a room, as it is told: the log, in the order of positions."""

    position = BigInt(primary_key=True, default=REQUIRED)
    id = Text(default=REQUIRED)
    type = Text(default=REQUIRED)
    roomId = Text(default=REQUIRED)
    audience = Text(default=REQUIRED, help_text="Who of the room's readers may hear it.")
    subject = Text(null=True, default=None, help_text="The id of what it happened to.")
    person = Text(null=True, default=None, help_text="Whom it names and concerns.")
    content = JSON(default=REQUIRED)
    createdAt = Moment(default=REQUIRED)


class EventLog(Table, tablename="event_log"):
    """Which log the positions are of: one row, once somebody has asked. A restore takes it away."""

    id = Integer(primary_key=True, default=REQUIRED)
    epoch = Text(default=REQUIRED)


class EventTicket(CamelCaseTable, tablename="event_tickets"):
    """What opens one stream, once, in the name of an access token."""

    id = Text(primary_key=True, default=REQUIRED, help_text="SHA-256 of the ticket, in hex.")
    token = JSONB(default=REQUIRED, help_text="What the access token says.")
    expiresAt = Moment(default=REQUIRED)


class Mail(CamelCaseTable, tablename="mails"):
    """A mail to somebody, of something that happened in a room, or with a code; the only one of it.

    What it says is read when it is sent.
    """

    id = Text(primary_key=True, default=REQUIRED, help_text="Of its Message-ID, too.")
    kind = Text(default=REQUIRED)
    roomId = ForeignKey(Room, null=True, default=None, help_text="None: it is about the account.")
    cause = Text(
        default=REQUIRED, help_text="The id of the winner, of who was brought in, or of the code."
    )
    language = Text(default=REQUIRED)
    recipient = Text(
        null=True, default=None, help_text="Whom it was last sent to, or is about to be."
    )
    status = Text(default=REQUIRED, help_text="A MailStatus.")
    attempts = Integer(default=0)
    nextAttemptAt = Moment()
    sentAt = Moment(null=True, default=None, help_text="When the mail server took it.")
    lastError = Text(null=True, default=None, help_text="Why it was not sent, or not yet.")
    createdAt = Moment()
    chargedTo = Text(
        null=True, default=None, help_text="Who organized the room: against whose limit it counts."
    )
    countedAt = Moment(null=True, default=None, help_text="When the limits let it through.")


class MailStop(CamelCaseTable, tablename="mail_stops"):
    """Somebody at an address wants no more mails of a kind. The address is not kept."""

    id = Text(primary_key=True, default=REQUIRED, help_text="SHA-256 of the kind and the address.")
    kind = Text(default=REQUIRED)
    createdAt = Moment()


class Webhook(CamelCaseTable, tablename="webhooks"):
    """Where an app is told what happens in the rooms that run it."""

    id = Text(primary_key=True, default=new_id)
    appId = ForeignKey(App, target_column="appId", null=False)
    url = Text(default=REQUIRED)
    types = Array(Text(), default=list, help_text="The events that are sent; none named: all.")
    secret = Text(default=REQUIRED, secret=True, help_text="Encrypted.")
    formerSecret = Text(null=True, default=None, secret=True, help_text="Encrypted.")
    formerUntil = Moment(
        null=True, default=None, help_text="Until when the former secret signs, too."
    )
    failingSince = Moment(
        null=True, default=None, help_text="Since when nothing could be delivered."
    )
    disabledAt = Moment(null=True, default=None, help_text="Since when nothing is sent.")
    disabledReason = Text(null=True, default=None, help_text="A DisabledReason.")
    createdAt = Moment()

    @classmethod
    def get_readable(cls) -> Readable:
        """Show endpoints by their address."""
        return Readable(template="%s", columns=[cls.url])


class WebhookDelivery(CamelCaseTable, tablename="webhook_deliveries"):
    """An event that is sent to an endpoint; the only one of it, however often it is tried."""

    id = Text(primary_key=True, default=REQUIRED)
    webhookId = ForeignKey(Webhook, null=False)
    eventId = Text(default=REQUIRED, help_text="What `webhook-id` says.")
    type = Text(default=REQUIRED)
    occurredAt = Moment(default=REQUIRED)
    data = JSONB(default=REQUIRED, help_text="Ids alone.")
    status = Text(default=REQUIRED, help_text="A DeliveryStatus.")
    attempts = Integer(default=0)
    nextAttemptAt = Moment()
    claimedUntil = Moment(
        null=True, default=None, help_text="While somebody is sending it; renewed meanwhile."
    )
    lastStatus = Integer(null=True, default=None, help_text="Of the endpoint's last answer.")
    lastError = Text(null=True, default=None, help_text="Why it was not delivered, or not yet.")
    deliveredAt = Moment(null=True, default=None)
    createdAt = Moment()


class WebhookCursor(Table, tablename="webhook_cursor"):
    """How far the log was read for endpoints: one row."""

    id = Integer(primary_key=True, default=REQUIRED)
    position = BigInt(default=REQUIRED)


TABLES = (
    User,
    Identity,
    Session,
    SignInCode,
    TokenBlacklist,
    App,
    Room,
    Participant,
    Invitation,
    Prize,
    Winner,
    RoomCount,
    TaskRun,
    IdempotencyKey,
    Draw,
    DrawEntrants,
    DrawClaim,
    Quiz,
    Round,
    Answer,
    AuditLog,
    Outbox,
    Event,
    EventLog,
    EventTicket,
    Mail,
    MailStop,
    Webhook,
    WebhookDelivery,
    WebhookCursor,
)
"""Parents before children."""
