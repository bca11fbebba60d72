-- What others might have, below what is told of it. Each part is tried on one database.

--- Types, defaults and NULL

-- type of users.createdAt is timestamp(6) with time zone: it becomes what all times are, to the
-- millisecond
ALTER TABLE users ALTER "createdAt" TYPE TIMESTAMPTZ(6);

-- default of rooms.createdAt is now(): it becomes CURRENT_TIMESTAMP
ALTER TABLE rooms ALTER "createdAt" TYPE TIMESTAMP, ALTER "createdAt" SET DEFAULT now();

-- type of rooms.status is text: it becomes "RoomStatus"
ALTER TABLE rooms ALTER status DROP DEFAULT, ALTER status TYPE TEXT;

-- enum ParticipantRole has the values PARTICIPANT, VIEWER, ORGANIZER: it gets ADMIN, ORGANIZER,
-- MODERATOR, PARTICIPANT, VIEWER
ALTER TYPE "ParticipantRole" RENAME TO old;
CREATE TYPE "ParticipantRole" AS ENUM ('PARTICIPANT', 'VIEWER', 'ORGANIZER');
ALTER TABLE participants ALTER role DROP DEFAULT, ALTER role TYPE "ParticipantRole" USING
    role::text::"ParticipantRole";
DROP TYPE old;

-- type of token_blacklist.id is uuid: it becomes text
UPDATE token_blacklist SET id = gen_random_uuid();
ALTER TABLE token_blacklist ALTER id TYPE UUID USING id::uuid, ALTER id SET DEFAULT
    gen_random_uuid();

-- type of users.email is text COLLATE "C": it becomes text
ALTER TABLE users ALTER email TYPE TEXT COLLATE "C";

-- type of apps.manifest is json: it becomes jsonb
ALTER TABLE apps ALTER manifest TYPE JSON, ALTER manifest SET DEFAULT '{}';

-- type of prizes.quantity is smallint: it becomes integer
ALTER TABLE prizes ALTER quantity TYPE SMALLINT;

-- type of apps.appId is character varying(64): it becomes text
ALTER TABLE apps ALTER "appId" TYPE VARCHAR(64);

-- constraint rooms_appId_fkey of rooms compares values of another type: it is made again
ALTER TABLE rooms ALTER "appId" TYPE VARCHAR(64);

-- column users.name is NOT NULL: it may be NULL
UPDATE users SET name = '';
ALTER TABLE users ALTER name SET NOT NULL;

-- default of users.avatar is ''::bpchar: it becomes none
ALTER TABLE users DROP avatar, ADD avatar CHAR(40) DEFAULT '';

--- Constraints, neighbours and Prisma's record

-- constraint won of winners is FOREIGN KEY ("prizeId") REFERENCES prizes(id) NOT VALID: it
-- becomes FOREIGN KEY ("prizeId") REFERENCES prizes(id) ON UPDATE CASCADE ON DELETE RESTRICT
ALTER TABLE winners DROP CONSTRAINT "winners_prizeId_fkey", ADD CONSTRAINT won FOREIGN KEY
    ("prizeId") REFERENCES prizes(id) NOT VALID;

-- constraint users_pkey of users is called PK_users: it is renamed
ALTER TABLE users RENAME CONSTRAINT users_pkey TO "PK_users";

-- constraint rooms_appId_fkey of rooms is called RoomApp: it is renamed
ALTER TABLE rooms RENAME CONSTRAINT "rooms_appId_fkey" TO "RoomApp";

-- index users_email_key is missing: it is made
DROP INDEX "users_email_key";
ALTER TABLE users ADD CONSTRAINT "users_email_key" UNIQUE (email) DEFERRABLE;

-- constraint prizes_quantity_check of prizes is not this service's: CHECK ((quantity < 100)):
-- it is dropped
ALTER TABLE prizes ADD CONSTRAINT prizes_quantity_check CHECK (quantity < 100);

-- constraint apps_appSecret_fkey of apps is not this service's: FOREIGN KEY ("appSecret")
-- REFERENCES apps("appSecret"): it is dropped
ALTER TABLE apps ADD FOREIGN KEY ("appSecret") REFERENCES apps("appSecret");

-- row level security of users is on: it stays as it is
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON users USING (false);

-- table we"ird %s {} is not this service's: it stays as it is
CREATE TABLE "we""ird %s {}" (id INT, at TIMESTAMP) PARTITION BY RANGE (id);
CREATE TABLE "part 1" PARTITION OF "we""ird %s {}" DEFAULT;

-- table payments is not this service's: it stays as it is
CREATE TABLE payments ("userId" TEXT REFERENCES users(id) ON DELETE RESTRICT);

-- function twice(integer) is not this service's: it stays as it is
CREATE FUNCTION twice(n INT) RETURNS INT LANGUAGE sql AS 'SELECT 2 * n';

-- foreign table invoices is not this service's: it stays as it is
CREATE FOREIGN DATA WRAPPER elsewhere;
CREATE SERVER far FOREIGN DATA WRAPPER elsewhere;
CREATE FOREIGN TABLE invoices (id TEXT) SERVER far;

-- address of user u_gone is 'Gone@Example.com': it becomes gone@example.com
CREATE SEQUENCE odd;
INSERT INTO _prisma_migrations (id, checksum, migration_name, rolled_back_at) VALUES ('x', '',
    'failed', now());

--- Alone: another schema

-- the tables are in the schema Event's: they move to public
ALTER SCHEMA public RENAME TO "Event's";
CREATE SCHEMA public;

--- Alone: no record

-- there is no record of migrations (prisma db push): none is needed
DROP TABLE _prisma_migrations;

--- Alone: an enum of another name

-- enum RoomStatus is missing: it is made
ALTER TYPE "RoomStatus" RENAME TO room_status;

--- Alone: manifests that nobody checked

-- app app_quiz_v1 has no settings schema that may be used (Must be an object: the JSON Schema
-- of a room's settings.): it stays, and no room is opened on it before a version that has one
-- is published
UPDATE apps SET manifest = '"text"';
