// Who is signed in. The access token stands in memory alone; the refresh token in a cookie that no
// script reads (POST /auth/refresh with `cookie`). What is kept otherwise is who it was, which is no
// secret: a page that finds nobody there asks for nothing, and one that is given somebody else's
// cookie says so.
import { signal } from "@preact/signals";

import { Fault, send, session } from "./api.js";

const KEPT = "event-platform person";
const ASKED = "event-platform sign-in";

/**
 * @typedef {object} Person
 * @property {string} id
 * @property {string} email
 * @property {string | null} name
 * @property {string} [guestOf] the room whose guest they are
 */

/**
 * undefined: it is not known yet; null: nobody.
 * @type {import("@preact/signals").Signal<Person | null | undefined>}
 */
export const person = signal(/** @type {Person | null | undefined} */ (undefined));

/** Tokens that came without this tab having asked for them: their person is asked first. */
export const offered = signal(/** @type {{ tokens: Tokens, person: Person } | null} */ (null));

/** @typedef {{ accessToken: string, refreshToken?: string, expiresIn: number }} Tokens */

/** @type {string | null} */
let access = null;
/** @type {string | undefined} What no cookie takes, at an address that is not PUBLIC_URL. */
let unkept;
/** @type {Promise<boolean> | null} */
let renewing = null;

/** @returns {{ id: string, guestOf?: string } | null} */
const remembered = () => {
  try { return JSON.parse(localStorage.getItem(KEPT) || "null"); } catch { return null; }
};

/** @param {Person | null} who */
const remember = (who) => {
  try {
    if (who) localStorage.setItem(KEPT, JSON.stringify({ id: who.id, guestOf: who.guestOf }));
    else localStorage.removeItem(KEPT);
  } catch { /* Then a reload signs out. */ }
};

/**
 * Tabs renew one after the other, so that each presents the token that the last one was given.
 * @param {() => Promise<boolean>} work
 */
const alone = (work) =>
  navigator.locks ? navigator.locks.request("event-platform refresh", work) : work();

/** @returns {Promise<boolean>} whether there is a token again */
const renew = async () => {
  const body = unkept ? { refreshToken: unkept } : { cookie: true };
  access = null;
  try {
    const { data } = await send("POST", "/auth/refresh", { body, quiet: true });
    access = data.accessToken;
    unkept = data.refreshToken;
    return true;
  } catch (fault) {
    if (fault instanceof Fault && (fault.status === 401 || fault.status === 403)) forget();
    else throw fault;
    return false;
  }
};

const forget = () => {
  access = null;
  unkept = undefined;
  remember(null);
  person.value = null;
};

session.token = () => access;
session.renew = () => {
  renewing = renewing || alone(renew).finally(() => { renewing = null; });
  return renewing;
};

/** @param {string} [guestOf] */
const meet = async (guestOf) => {
  const { data } = await send("GET", "/auth/me", { quiet: true });
  return { ...data, guestOf };
};

/**
 * Keep what one has as a guest, whose refresh token is still where the next one is going to be.
 * Where nothing is left to keep, one goes on without.
 * @param {string | undefined} guest what no cookie took
 */
const takeOver = async (guest) => {
  try {
    await send("POST", "/auth/guests", { body: { refreshToken: guest || null }, quiet: true });
  } catch (fault) {
    if (!(fault instanceof Fault) || !fault.status) throw fault;
  }
};

/**
 * Sign in with tokens, and leave the lasting one to the browser.
 * @param {Tokens} tokens
 * @param {string} [guestOf]
 */
export const enter = async (tokens, guestOf) => {
  const before = remembered();
  access = tokens.accessToken;
  if (before && before.guestOf && !guestOf) await takeOver(unkept);
  unkept = tokens.refreshToken;
  try {
    await send("POST", "/auth/refresh", { body: { refreshToken: unkept, cookie: true }, quiet: true })
      .then(({ data }) => { access = data.accessToken; unkept = undefined; });
  } catch (fault) {
    if (!(fault instanceof Fault && fault.status === 403)) throw fault;
  }
  const who = await meet(guestOf);
  remember(who);
  person.value = who;
};

/** Find out who is signed in here. */
export const begin = async () => {
  const kept = remembered();
  if (!kept) {
    person.value = null;
    return;
  }
  try {
    if (!(await session.renew())) return;
    const who = await meet(kept.guestOf);
    if (who.id === kept.id) person.value = who;
    else forget();
  } catch {
    person.value = null;
  }
};

export const leave = async () => {
  try { await send("POST", "/auth/logout"); } finally { forget(); }
};

/** Leave for a provider: this tab will take the tokens that come back. */
export const expectTokens = () => {
  try { sessionStorage.setItem(ASKED, "yes"); } catch { /* Then the person is asked. */ }
};

/**
 * Take tokens that stand behind the `#`. A link could sign somebody in as somebody else, so what
 * this tab did not ask for is only offered.
 * @param {URLSearchParams} fragment
 */
export const arrive = async (fragment) => {
  const tokens = {
    accessToken: fragment.get("access_token") || "",
    refreshToken: fragment.get("refresh_token") || "",
    expiresIn: Number(fragment.get("expires_in")),
  };
  let asked = null;
  try {
    asked = sessionStorage.getItem(ASKED);
    sessionStorage.removeItem(ASKED);
  } catch { /* As if nothing were kept. */ }
  if (asked) {
    await enter(tokens);
    return;
  }
  access = tokens.accessToken;
  offered.value = { tokens, person: await meet() };
  access = null;
};

// Who leaves in one tab has left in all; who signs in in one is there in all after a reload.
addEventListener("storage", (event) => {
  if (event.key === KEPT && !event.newValue) forget();
});
