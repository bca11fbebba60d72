// Which page is shown at which address. The service serves the same document at all of them
// (`PATHS` of app/web/pages.py).
import { signal } from "@preact/signals";

import { base } from "./api.js";

export const TABS = ["people", "prizes", "draw", "winners"];
const ROOM = /^\/rooms\/([^/]+)(?:\/([a-z]+))?$/;

/**
 * @typedef {object} Place
 * @property {string} page
 * @property {string} [room]
 * @property {string} [tab]
 * @property {URLSearchParams} query
 */

/**
 * @param {string} path below PUBLIC_URL
 * @param {string} [query]
 * @returns {Place | null} null: it is no page of ours
 */
export const placeOf = (path, query = "") => {
  const found = { query: new URLSearchParams(query) };
  if (path === "/") return { page: "rooms", ...found };
  if (path === "/rooms/new") return { page: "open", ...found };
  if (path === "/login" || path === "/auth/callback") return { page: "sign-in", ...found };
  const room = ROOM.exec(path);
  if (room && (!room[2] || TABS.includes(room[2]))) {
    return { page: "room", room: decodeURIComponent(room[1]), tab: room[2] || "overview", ...found };
  }
  return null;
};

/** @returns {Place} */
const here = () =>
  placeOf(location.pathname.slice(base.length) || "/", location.search) || { page: "nothing", query: new URLSearchParams() };

export const place = signal(here());

/**
 * @param {string} path below PUBLIC_URL
 * @param {boolean} [replaces] what is shown now, so that *back* does not come back to it
 */
export const go = (path, replaces = false) => {
  history[replaces ? "replaceState" : "pushState"](null, "", base + path);
  place.value = here();
  scrollTo(0, 0);
};

/**
 * The address of a room's page.
 * @param {string} room
 * @param {string} [tab]
 */
export const roomPath = (room, tab) => `/rooms/${encodeURIComponent(room)}${tab ? `/${tab}` : ""}`;

addEventListener("popstate", () => { place.value = here(); });

// Links to pages of ours load nothing anew.
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest("a");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (link.target || link.download || link.origin !== location.origin || !link.pathname.startsWith(base)) return;
  const path = link.pathname.slice(base.length);
  if (!placeOf(path)) return;
  event.preventDefault();
  go(path + link.search);
});
