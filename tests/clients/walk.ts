// The main job, by openapi-fetch with the types that `openapi-typescript` makes: `node walk.js URL`.
// Run by test_generated.py, with the types beside it.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Code = components["schemas"]["ConflictOrRoomNotActiveBody"]["code"];

declare const process: { argv: string[] };
const url = process.argv[2];
const client = createClient<paths>({ baseUrl: url });

function found<T>(answer: { data?: { data: T }; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data.data;
}

const demo = { email: "alice@example.com", password: "password123" };
const { accessToken } = found(await client.POST("/api/v1/auth/login", { body: demo }));
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${accessToken}`);
  },
});

const drawDate = new Date(Date.now() + 86_400_000).toISOString();
const room = found(
  await client.POST("/api/v1/rooms", {
    body: { name: "Walk in TypeScript", appId: "app_lottery_v1", appSettings: { ticketCount: 10, drawDate } },
  }),
);
const room_id = room.id;
const inRoom = { path: { room_id } };

const diana = { email: "diana@example.com", name: "Diana" };
const participant = found(
  await client.POST("/api/v1/rooms/{room_id}/participants", { params: inRoom, body: diana }),
);
const lines = found(
  await client.POST("/api/v1/rooms/{room_id}/participants/bulk", {
    params: inRoom,
    body: "email,name\r\nann@example.com,Ann\r\nben@example.com,Ben\r\n",
    headers: { "Content-Type": "text/csv" },
    bodySerializer: (text) => text,
  }),
);
const prize = found(
  await client.POST("/api/v1/rooms/{room_id}/prizes", {
    params: inRoom,
    body: { name: "Headphones", quantity: 2 },
  }),
);

const award = { participantId: participant.id, prizeId: prize.id };
const early = await client.POST("/api/v1/rooms/{room_id}/winners", { params: inRoom, body: award });
const code = early.response.status === 409 ? (early.error as { error: { code: Code } }).error.code : null;
if (code !== "ROOM_NOT_ACTIVE") throw new Error(`${code}`);

found(await client.PATCH("/api/v1/rooms/{room_id}", { params: inRoom, body: { status: "ACTIVE" } }));
for (let time = 0; time < 2; time++) {
  const header = { "Idempotency-Key": `award-${prize.id}` };
  found(
    await client.POST("/api/v1/rooms/{room_id}/winners", { params: { ...inRoom, header }, body: award }),
  );
}

const draw = found(
  await client.POST("/api/v1/rooms/{room_id}/draws", {
    params: inRoom,
    body: {
      entropy: { kind: "text", label: "Three dice", format: { alphabet: "1-6", length: 3 } },
    },
  }),
);
const ofDraw = { path: { room_id, number: draw.number } };
const closed = found(
  await client.POST("/api/v1/rooms/{room_id}/draws/{number}/close", { params: ofDraw }),
);
const drawn = found(
  await client.POST("/api/v1/rooms/{room_id}/draws/{number}/draw", {
    params: ofDraw,
    body: { public: "426" },
  }),
);
if (lines.added !== 2 || closed.entrantCount !== 2 || drawn.status !== "DRAWN") throw new Error("not drawn");

const winners = found(await client.GET("/api/v1/rooms/{room_id}/winners", { params: inRoom }));
const table = await client.GET("/api/v1/rooms/{room_id}/winners.csv", { params: inRoom, parseAs: "text" });
console.log(winners.length, winners.at(-1)?.prize.name, table.data?.trim().split("\n").length);
