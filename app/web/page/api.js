// The client of the REST API: every request of the page goes through `send`.
// Who writes another client finds here what each needs: the token, one renewal when it has died,
// a key for what must not be done twice, and errors as values that can be told in words.
import { signal } from "@preact/signals";

export const base = document.documentElement.dataset.base || "";
export const API = `${base}/api/v1`;
const TRIES = 3;

/** How many requests are under way: long work is shown at the top of the page. */
export const underWay = signal(0);

/**
 * What the session gives this module; `session.js` fills it in.
 * @type {{ token: () => string | null, renew: () => Promise<boolean> }}
 */
export const session = { token: () => null, renew: async () => false };

/** A refusal of the server, or that it was not reached (status 0). */
export class Fault extends Error {
  /**
   * @param {number} status
   * @param {{ code?: string, message?: string, details?: any, requestId?: string }} error
   * @param {number} [wait] seconds after which one may ask again
   */
  constructor(status, error, wait) {
    super(error.message || error.code || "");
    this.status = status;
    this.code = error.code || "";
    this.details = error.details || {};
    this.requestId = error.requestId;
    this.wait = wait;
  }
}

/** A key under which a POST is done once, however often it is sent. */
export const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");

/**
 * @typedef {object} Options
 * @property {any} [body] sent as JSON
 * @property {Blob | string} [raw] sent as it is
 * @property {string} [type] of what is sent as it is
 * @property {Record<string, any>} [query] what is undefined or empty is left out
 * @property {string} [key] Idempotency-Key; a POST has one of its own where it may have one
 * @property {string} [tag] If-Match
 * @property {boolean} [quiet] not shown as work under way
 */

/**
 * @typedef {object} Answer
 * @property {any} data
 * @property {any} meta of a list
 * @property {string | null} position where to follow the room's events from
 * @property {string | null} tag for `If-Match`
 */

/**
 * @param {Record<string, any>} [query]
 */
const queryOf = (query) => {
  const given = Object.entries(query || {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  // A list is written as the same name several times.
  const said = given.flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((each) => [name, String(each)]));
  return said.length ? `?${new URLSearchParams(said)}` : "";
};

/** @param {number} milliseconds */
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

/**
 * Ask, and ask again when no answer came and asking twice does no harm.
 * @param {string} url
 * @param {RequestInit} request
 * @param {boolean} mayRepeat
 */
const reach = async (url, request, mayRepeat) => {
  for (let tried = 1; ; tried += 1) {
    try {
      return await fetch(url, request);
    } catch {
      if (!mayRepeat || tried === TRIES) throw new Fault(0, { code: "UNREACHABLE" });
      await pause(500 * tried);
    }
  }
};

/**
 * @param {string} method
 * @param {string} path below /api/v1
 * @param {Options} options
 * @returns {Promise<Response>}
 */
const ask = async (method, path, options) => {
  /** @type {Record<string, string>} */
  const headers = {};
  const token = session.token();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (options.type) headers["Content-Type"] = options.type;
  if (options.key) headers["Idempotency-Key"] = options.key;
  if (options.tag) headers["If-Match"] = options.tag;
  const body = options.body === undefined ? options.raw : JSON.stringify(options.body);
  const request = { method, headers, body };
  return reach(`${API}${path}${queryOf(options.query)}`, request, method === "GET" || Boolean(options.key));
};

/** @param {Response} answer */
const faultOf = async (answer) => {
  const told = await answer.json().catch(() => ({}));
  return new Fault(answer.status, told.error || {}, Number(answer.headers.get("Retry-After")) || undefined);
};

/**
 * Ask; with a token that has died, renew it once and ask again.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Response>}
 */
export const reply = async (method, path, options = {}) => {
  const takesKey = method === "POST" && !/^\/(auth|invitations)(\/|$)/.test(path);
  const asked = takesKey && !options.key ? { ...options, key: newKey() } : options;
  if (!options.quiet) underWay.value += 1;
  try {
    let answer = await ask(method, path, asked);
    if (answer.status === 401 && session.token() && (await session.renew())) answer = await ask(method, path, asked);
    if (!answer.ok) throw await faultOf(answer);
    return answer;
  } finally {
    if (!options.quiet) underWay.value -= 1;
  }
};

/**
 * Ask for JSON.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Answer>}
 */
export const send = async (method, path, options) => {
  const answer = await reply(method, path, options);
  const told = await answer.json();
  return {
    data: told.data,
    meta: told.meta,
    position: answer.headers.get("Event-Position"),
    tag: answer.headers.get("ETag"),
  };
};

/**
 * Save a file that only who is signed in may have.
 * @param {string} path
 * @param {string} name
 * @param {Record<string, any>} [query]
 */
export const save = async (path, name, query) => {
  const content = await (await reply("GET", path, { query })).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};
