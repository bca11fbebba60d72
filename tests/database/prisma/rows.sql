-- What people did while the first schema was in use. Zone-less times are UTC; one of them does not
-- exist in Berlin (clocks go forward), another exists there twice.
INSERT INTO "users" ("id", "email", "name", "providerId", "emailVerified", "createdAt", "updatedAt", "deletedAt") VALUES
    ('u_alice', 'Alice@Example.com', 'Alice', 'g-1', '2025-03-30 02:30:00.123', '2025-01-02 03:04:05.678', '2025-10-26 02:30:00', NULL),
    ('u_bob', 'bob@example.com', NULL, NULL, NULL, '2025-02-02 00:00:00', '2025-02-02 00:00:00.001', NULL),
    ('u_gone', 'Gone@Example.com', 'Gone', 'g-3', NULL, '2025-02-03 00:00:00', '2025-02-03 00:00:00', '2025-06-01 12:00:00.5');

INSERT INTO "sessions" ("id", "userId", "accessToken", "refreshToken", "expiresAt", "updatedAt") VALUES
    ('s_plain', 'u_alice', 'a-1', 'a plain token, é', '2035-01-01 00:00:00', '2025-07-01 10:00:00.25'),
    ('s_looks_hashed', 'u_alice', 'a-2', 'd1e8a70b5ccab1dc2f56bbf7e99f064a660c08e361a35751b9c483c88943d082', '2035-01-01 00:00:00', '2025-07-02 10:00:00'),
    ('s_looks_prefixed', 'u_bob', 'a-3', 'sha256:d1e8a70b5ccab1dc2f56bbf7e99f064a660c08e361a35751b9c483c88943d082', '2020-01-01 00:00:00', '2025-07-03 10:00:00');

INSERT INTO "apps" ("id", "appId", "appSecret", "manifest", "isActive", "updatedAt", "deletedAt") VALUES
    ('a_lottery', 'app_lottery_v1', 'lottery secret', '{"meta": {"version": "2.1.0"}}', true, '2025-04-01 00:00:00', NULL),
    ('a_quiz', 'app_quiz_v1', '60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752', '{"meta": {}}', true, '2025-04-01 00:00:00', NULL),
    ('a_old', 'app_old', 'sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752', '{}', false, '2025-04-01 00:00:00', '2025-05-01 00:00:00');

INSERT INTO "rooms" ("id", "name", "description", "appId", "appSettings", "status", "isPublic", "createdBy", "updatedAt", "deletedAt") VALUES
    ('r_open', 'New Year', 'Win a phone', 'app_lottery_v1', '{"ticketCount": 3}', 'ACTIVE', true, 'u_alice', '2025-04-02 00:00:00', NULL),
    ('r_quiz', 'Quiz', NULL, 'app_quiz_v1', '{}', 'DRAFT', false, 'u_bob', '2025-04-02 00:00:00', NULL),
    ('r_gone', 'Gone', NULL, 'app_old', '[]', 'CANCELLED', true, 'u_gone', '2025-04-02 00:00:00', '2025-06-01 12:00:00');

INSERT INTO "participants" ("id", "userId", "roomId", "role", "metadata", "updatedAt", "deletedAt") VALUES
    ('p_alice', 'u_alice', 'r_open', 'ORGANIZER', NULL, '2025-04-03 00:00:00', NULL),
    ('p_bob', 'u_bob', 'r_open', 'PARTICIPANT', '{"tickets": 2}', '2025-04-03 00:00:00', NULL),
    ('p_gone', 'u_gone', 'r_open', 'VIEWER', NULL, '2025-04-03 00:00:00', '2025-06-01 12:00:00');

INSERT INTO "prizes" ("id", "roomId", "name", "imageUrl", "quantity", "quantityRemaining", "metadata", "updatedAt") VALUES
    ('z_phone', 'r_open', 'Phone', 'https://example.com/phone.png', 1, 1, NULL, '2025-04-04 00:00:00'),
    ('z_card', 'r_open', 'Gift card', NULL, 5, 4, '{"value": 20}', '2025-04-04 00:00:00');

INSERT INTO "winners" ("id", "roomId", "participantId", "prizeId", "metadata", "createdAt", "deletedAt") VALUES
    ('w_revoked', 'r_open', 'p_bob', 'z_card', NULL, '2025-04-05 00:00:00', '2025-04-05 00:00:01'),
    ('w_live', 'r_open', 'p_bob', 'z_card', '{"ticket": 7}', '2025-04-05 00:00:02', NULL);
