"""The schema before manifests had versions and before access tokens were JWTs."""

from enum import StrEnum

from piccolo.columns import JSONB, Boolean, ForeignKey, Integer, OnDelete, Text
from piccolo.table import Table

from app.database.columns import REQUIRED, Moment, NativeEnum
from app.database.ids import new_id
from app.database.sql_migration import SqlMigration

ID = "2025-12-28T09:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "init"

UP = """
CREATE TYPE "RoomStatus" AS ENUM ('DRAFT', 'ACTIVE', 'COMPLETED', 'CANCELLED');
CREATE TYPE "ParticipantRole" AS ENUM
  ('ADMIN', 'ORGANIZER', 'MODERATOR', 'PARTICIPANT', 'VIEWER');

CREATE TABLE "users" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "email" TEXT NOT NULL UNIQUE,
  "name" TEXT,
  "avatar" TEXT,
  "provider" TEXT NOT NULL DEFAULT 'google',
  "providerId" TEXT,
  "emailVerified" TIMESTAMPTZ(3),
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "updatedAt" TIMESTAMPTZ(3) NOT NULL,
  "deletedAt" TIMESTAMPTZ(3),
  UNIQUE ("provider", "providerId")
);
CREATE INDEX "users_email_idx" ON "users"("email");
CREATE INDEX "users_deletedAt_idx" ON "users"("deletedAt");

CREATE TABLE "sessions" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "userId" TEXT NOT NULL REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "accessToken" TEXT NOT NULL UNIQUE,
  "refreshToken" TEXT NOT NULL UNIQUE,
  "expiresAt" TIMESTAMPTZ(3) NOT NULL,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "updatedAt" TIMESTAMPTZ(3) NOT NULL
);
CREATE INDEX "sessions_userId_idx" ON "sessions"("userId");
CREATE INDEX "sessions_accessToken_idx" ON "sessions"("accessToken");
CREATE INDEX "sessions_refreshToken_idx" ON "sessions"("refreshToken");
CREATE INDEX "sessions_expiresAt_idx" ON "sessions"("expiresAt");

CREATE TABLE "apps" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "appId" TEXT NOT NULL UNIQUE,
  "appSecret" TEXT NOT NULL UNIQUE,
  "manifest" JSONB NOT NULL,
  "isActive" BOOLEAN NOT NULL DEFAULT true,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "updatedAt" TIMESTAMPTZ(3) NOT NULL,
  "deletedAt" TIMESTAMPTZ(3)
);
CREATE INDEX "apps_appId_idx" ON "apps"("appId");
CREATE INDEX "apps_isActive_idx" ON "apps"("isActive");
CREATE INDEX "apps_deletedAt_idx" ON "apps"("deletedAt");

CREATE TABLE "rooms" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "name" TEXT NOT NULL,
  "description" TEXT,
  "appId" TEXT NOT NULL REFERENCES "apps"("appId") ON DELETE RESTRICT ON UPDATE CASCADE,
  "appSettings" JSONB NOT NULL,
  "status" "RoomStatus" NOT NULL DEFAULT 'DRAFT',
  "isPublic" BOOLEAN NOT NULL DEFAULT true,
  "createdBy" TEXT NOT NULL REFERENCES "users"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "updatedAt" TIMESTAMPTZ(3) NOT NULL,
  "deletedAt" TIMESTAMPTZ(3)
);
CREATE INDEX "rooms_appId_idx" ON "rooms"("appId");
CREATE INDEX "rooms_status_idx" ON "rooms"("status");
CREATE INDEX "rooms_isPublic_idx" ON "rooms"("isPublic");
CREATE INDEX "rooms_createdBy_idx" ON "rooms"("createdBy");
CREATE INDEX "rooms_createdAt_idx" ON "rooms"("createdAt");
CREATE INDEX "rooms_deletedAt_idx" ON "rooms"("deletedAt");
CREATE INDEX "rooms_status_isPublic_appId_idx" ON "rooms"("status", "isPublic", "appId");

CREATE TABLE "participants" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "userId" TEXT NOT NULL REFERENCES "users"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "roomId" TEXT NOT NULL REFERENCES "rooms"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "role" "ParticipantRole" NOT NULL DEFAULT 'PARTICIPANT',
  "metadata" JSONB,
  "joinedAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "updatedAt" TIMESTAMPTZ(3) NOT NULL,
  "deletedAt" TIMESTAMPTZ(3),
  UNIQUE ("userId", "roomId")
);
CREATE INDEX "participants_roomId_idx" ON "participants"("roomId");
CREATE INDEX "participants_userId_idx" ON "participants"("userId");
CREATE INDEX "participants_role_idx" ON "participants"("role");
CREATE INDEX "participants_deletedAt_idx" ON "participants"("deletedAt");
CREATE INDEX "participants_roomId_role_idx" ON "participants"("roomId", "role");

CREATE TABLE "prizes" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "roomId" TEXT NOT NULL REFERENCES "rooms"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "name" TEXT NOT NULL,
  "description" TEXT,
  "imageUrl" TEXT,
  "quantity" INTEGER NOT NULL DEFAULT 1,
  "quantityRemaining" INTEGER NOT NULL DEFAULT 1,
  "metadata" JSONB,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "updatedAt" TIMESTAMPTZ(3) NOT NULL,
  "deletedAt" TIMESTAMPTZ(3)
);
CREATE INDEX "prizes_roomId_idx" ON "prizes"("roomId");
CREATE INDEX "prizes_deletedAt_idx" ON "prizes"("deletedAt");

CREATE TABLE "winners" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "roomId" TEXT NOT NULL REFERENCES "rooms"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "participantId" TEXT NOT NULL
    REFERENCES "participants"("id") ON DELETE CASCADE ON UPDATE CASCADE,
  "prizeId" TEXT NOT NULL REFERENCES "prizes"("id") ON DELETE RESTRICT ON UPDATE CASCADE,
  "metadata" JSONB,
  "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "deletedAt" TIMESTAMPTZ(3)
);
CREATE INDEX "winners_roomId_idx" ON "winners"("roomId");
CREATE INDEX "winners_participantId_idx" ON "winners"("participantId");
CREATE INDEX "winners_prizeId_idx" ON "winners"("prizeId");
CREATE INDEX "winners_createdAt_idx" ON "winners"("createdAt");
CREATE INDEX "winners_deletedAt_idx" ON "winners"("deletedAt");
CREATE INDEX "winners_roomId_prizeId_idx" ON "winners"("roomId", "prizeId");
"""

DOWN = """
DROP TABLE "winners", "prizes", "participants", "rooms", "apps", "sessions", "users";
DROP TYPE "RoomStatus", "ParticipantRole";
"""


class RoomStatus(StrEnum):
    """As it was then."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class ParticipantRole(StrEnum):
    """As it was then."""

    ADMIN = "ADMIN"
    ORGANIZER = "ORGANIZER"
    MODERATOR = "MODERATOR"
    PARTICIPANT = "PARTICIPANT"
    VIEWER = "VIEWER"


class User(Table, tablename="users"):
    """A target of foreign keys."""

    id = Text(primary_key=True, default=new_id)


class App(Table, tablename="apps"):
    """A target of foreign keys."""

    id = Text(primary_key=True, default=new_id)
    appId = Text(unique=True)


class Room(Table, tablename="rooms"):
    """A target of foreign keys."""

    id = Text(primary_key=True, default=new_id)


class Participant(Table, tablename="participants"):
    """A target of foreign keys."""

    id = Text(primary_key=True, default=new_id)


class Prize(Table, tablename="prizes"):
    """A target of foreign keys."""

    id = Text(primary_key=True, default=new_id)


async def forwards() -> SqlMigration:
    """Describe the migration to Piccolo."""
    migration = SqlMigration(migration_id=ID, description=DESCRIPTION, up=UP, down=DOWN)
    migration.new_table(
        "User",
        "users",
        id=Text(primary_key=True, default=new_id),
        email=Text(default=REQUIRED, unique=True),
        name=Text(null=True, default=None),
        avatar=Text(null=True, default=None),
        provider=Text(default="google"),
        providerId=Text(null=True, default=None),
        emailVerified=Moment(null=True, default=None),
        createdAt=Moment(),
        updatedAt=Moment(),
        deletedAt=Moment(null=True, default=None),
    )
    migration.new_table(
        "Session",
        "sessions",
        id=Text(primary_key=True, default=new_id),
        userId=ForeignKey(User, null=False),
        accessToken=Text(default=REQUIRED, unique=True, secret=True),
        refreshToken=Text(default=REQUIRED, unique=True, secret=True),
        expiresAt=Moment(default=REQUIRED),
        createdAt=Moment(),
        updatedAt=Moment(),
    )
    migration.new_table(
        "App",
        "apps",
        id=Text(primary_key=True, default=new_id),
        appId=Text(default=REQUIRED, unique=True),
        appSecret=Text(default=REQUIRED, unique=True, secret=True),
        manifest=JSONB(default=REQUIRED),
        isActive=Boolean(default=True),
        createdAt=Moment(),
        updatedAt=Moment(),
        deletedAt=Moment(null=True, default=None),
    )
    migration.new_table(
        "Room",
        "rooms",
        id=Text(primary_key=True, default=new_id),
        name=Text(default=REQUIRED),
        description=Text(null=True, default=None),
        appId=ForeignKey(App, target_column="appId", null=False, on_delete=OnDelete.restrict),
        appSettings=JSONB(default=REQUIRED),
        status=NativeEnum(choices=RoomStatus, default=RoomStatus.DRAFT),
        isPublic=Boolean(default=True),
        createdBy=ForeignKey(User, null=False, on_delete=OnDelete.restrict),
        createdAt=Moment(),
        updatedAt=Moment(),
        deletedAt=Moment(null=True, default=None),
    )
    migration.new_table(
        "Participant",
        "participants",
        id=Text(primary_key=True, default=new_id),
        userId=ForeignKey(User, null=False),
        roomId=ForeignKey(Room, null=False),
        role=NativeEnum(choices=ParticipantRole, default=ParticipantRole.PARTICIPANT),
        metadata=JSONB(null=True, default=None),
        joinedAt=Moment(),
        updatedAt=Moment(),
        deletedAt=Moment(null=True, default=None),
    )
    migration.new_table(
        "Prize",
        "prizes",
        id=Text(primary_key=True, default=new_id),
        roomId=ForeignKey(Room, null=False),
        name=Text(default=REQUIRED),
        description=Text(null=True, default=None),
        imageUrl=Text(null=True, default=None),
        quantity=Integer(default=1),
        quantityRemaining=Integer(default=1),
        metadata=JSONB(null=True, default=None),
        createdAt=Moment(),
        updatedAt=Moment(),
        deletedAt=Moment(null=True, default=None),
    )
    migration.new_table(
        "Winner",
        "winners",
        id=Text(primary_key=True, default=new_id),
        roomId=ForeignKey(Room, null=False),
        participantId=ForeignKey(Participant, null=False),
        prizeId=ForeignKey(Prize, null=False, on_delete=OnDelete.restrict),
        metadata=JSONB(null=True, default=None),
        createdAt=Moment(),
        deletedAt=Moment(null=True, default=None),
    )
    return migration
