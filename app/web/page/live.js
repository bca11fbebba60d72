// Following a room's events. The stream is read with fetch, which sends the token (EventSource can't).
import { API, session } from "./api.js";

const SILENCE_MILLISECONDS = 40_000;
const LONGEST_PAUSE_MILLISECONDS = 15_000;

/** @typedef {{ type: string, data: any }} Told */

/**
 * Read messages as they come, until the stream ends or says nothing for too long.
 * @param {Response} stream
 * @param {AbortController} cut
 * @param {(kind: string, id: string | undefined, data: string) => void} tell
 */
const read = async (stream, cut, tell) => {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (stream.body).getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const silence = setTimeout(() => cut.abort(), SILENCE_MILLISECONDS);
    const { done, value } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const messages = text.replaceAll("\r\n", "\n").split("\n\n");
    text = messages.pop() || "";
    for (const message of messages) {
      const fields = Object.fromEntries(message.split("\n").map((line) => {
        const [name, ...rest] = line.split(": ");
        return [name, rest.join(": ")];
      }));
      if (fields.data) tell(fields.event, fields.id, fields.data);
    }
  }
};

/**
 * Tell what happens in a room from a position on, over lost connections.
 * @param {string} room
 * @param {string | null} position
 * @param {{ hear: (told: Told) => void, reset: () => void, lost: (isLost: boolean) => void }} to
 * @returns {() => void} ends it
 */
export const follow = (room, position, to) => {
  let after = position;
  let ended = false;
  let cut = new AbortController();

  const tell = (/** @type {string} */ kind, /** @type {string | undefined} */ id, /** @type {string} */ data) => {
    if (id) after = id;
    if (kind === "reset") to.reset();
    else if (kind === "end") ended = JSON.parse(data).reason === "no_access";
    else to.hear(JSON.parse(data));
  };

  const once = async () => {
    cut = new AbortController();
    const query = after ? `?${new URLSearchParams({ after })}` : "";
    const token = session.token();
    const stream = await fetch(`${API}/rooms/${encodeURIComponent(room)}/events${query}`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: cut.signal,
    });
    if (stream.status === 401 && token) await session.renew();
    else if (stream.status === 403 || stream.status === 404) ended = true;
    if (!stream.ok) return false;
    to.lost(false);
    await read(stream, cut, tell);
    return true;
  };

  const going = async () => {
    for (let failed = 0; !ended;) {
      const went = await once().catch(() => false);
      if (ended) break;
      failed = went ? 0 : failed + 1;
      if (failed > 1) to.lost(true);
      await new Promise((resolve) => { setTimeout(resolve, Math.min(500 * 2 ** failed, LONGEST_PAUSE_MILLISECONDS)); });
    }
  };
  going();
  return () => {
    ended = true;
    cut.abort();
  };
};
