-- What others might have, below the sentence that refuses it. Each part is one database.

--- What is missing

-- table winners is missing
DROP TABLE winners;

-- winners is a view, not an ordinary table
CREATE VIEW winners AS SELECT 'w' AS id;

-- column users.avatar is missing
ALTER TABLE users DROP avatar;

--- What means something else, or is in the way

-- column users.age is not this service's: keep it in a table of your own: 1 row(s) (u_bob) have
-- a value
ALTER TABLE users ADD age INT;
UPDATE users SET age = 7 WHERE id = 'u_bob';

-- column users.name is GENERATED ALWAYS AS (upper(email)): its values would no longer follow
ALTER TABLE users DROP name, ADD name TEXT GENERATED ALWAYS AS (upper(email)) STORED;

-- column rooms.name allows NULL: 3 row(s) (r_gone, r_open, r_quiz) are NULL there
ALTER TABLE rooms ALTER name DROP NOT NULL;
UPDATE rooms SET name = NULL;

-- type of rooms.status is text: 1 row(s) (r_quiz) have none of DRAFT, ACTIVE, COMPLETED,
-- CANCELLED
ALTER TABLE rooms ALTER status DROP DEFAULT, ALTER status TYPE TEXT;
UPDATE rooms SET status = 'PAUSED' WHERE id = 'r_quiz';

-- type of rooms.createdAt is date, expected timestamp(3) without time zone: 3 row(s) (r_gone,
-- r_open, r_quiz) have a value
ALTER TABLE rooms ALTER "createdAt" DROP DEFAULT, ALTER "createdAt" TYPE DATE;

-- index participants_userId_roomId_key is missing: 2 row(s) (p_bob, p_gone) share their values
DROP INDEX "participants_userId_roomId_key";
UPDATE participants SET "userId" = 'u_bob' WHERE id = 'p_gone';

-- constraint winners_prizeId_fkey of winners is FOREIGN KEY ("prizeId") REFERENCES prizes(id)
-- NOT VALID: 1 row(s) (w_live) refer to no row of prizes
ALTER TABLE winners DROP CONSTRAINT "winners_prizeId_fkey";
UPDATE winners SET "prizeId" = 'z_none' WHERE id = 'w_live';
ALTER TABLE winners ADD CONSTRAINT "winners_prizeId_fkey" FOREIGN KEY ("prizeId") REFERENCES
    prizes(id) NOT VALID;

-- trigger touched of rooms would act on what this service writes: drop it first
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON rooms FOR EACH ROW EXECUTE FUNCTION touch();

-- rule kept of users changes what statements do: drop it first
CREATE RULE kept AS ON DELETE TO users DO INSTEAD NOTHING;

-- row level security of users is forced: it hides rows from this service
ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- policy recent on table rooms depends on rooms.createdAt, whose type changes: drop it first
CREATE POLICY recent ON rooms USING ("createdAt" > '2025-01-01');

-- materialized view public.recent shows columns whose type changes: drop it first, and make it
-- again afterwards
CREATE MATERIALIZED VIEW recent AS SELECT "createdAt" FROM rooms;

-- token_blacklist is partitioned, not an ordinary table
ALTER TABLE token_blacklist RENAME TO old;
CREATE TABLE token_blacklist (LIKE old INCLUDING DEFAULTS) PARTITION BY HASH (id);

-- table former_users inherits from users, whose rows would be those of both
CREATE TABLE former_users () INHERITS (users);

-- table winners is UNLOGGED, and empty after a crash: ALTER TABLE winners SET LOGGED
ALTER TABLE winners SET UNLOGGED;

-- table draws is in the way of this service's own of that name: rename it
CREATE TABLE draws (id INT);

-- index audit_log_tableName_rowId_idx is in the way of this service's own of that name: rename
-- it
CREATE TABLE notes (id TEXT);
CREATE INDEX "audit_log_tableName_rowId_idx" ON notes (id);

-- type DrawStatus is in the way of this service's own of that name: rename it
CREATE TYPE "DrawStatus" AS ENUM ('NEW');

-- function count_rows() is in the way of this service's own of that name: rename it
CREATE FUNCTION count_rows() RETURNS INT LANGUAGE sql AS 'SELECT 1';

-- schema admin is in the way of this service's own of that name: rename it
CREATE SCHEMA admin;

-- table migration is in the way of this service's own of that name: rename it
CREATE TABLE migration (version INT);

-- user u_gone has the address 'no address': Not an e-mail address: it needs a name, an @ and a
-- domain.
UPDATE users SET email = 'no address' WHERE id = 'u_gone';
