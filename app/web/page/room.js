// A room: what all its tabs know of it, and the tabs. Each is a module of its own that gets `room`.
import { useEffect, useRef, useState } from "preact/hooks";

import { Fault, send } from "./api.js";
import { Link, Trouble, Waiting } from "./components.js";
import { Draws } from "./draw.js";
import { html } from "./html.js";
import { follow } from "./live.js";
import { Overview } from "./overview.js";
import { People } from "./people.js";
import { Prizes } from "./prizes.js";
import { TABS, roomPath } from "./router.js";
import { person } from "./session.js";
import { Winners } from "./winners.js";
import { words } from "./words.js";

const SHOWN = { overview: Overview, people: People, prizes: Prizes, draw: Draws, winners: Winners };
const MODERATING = new Set(["MODERATOR", "ORGANIZER", "ADMIN"]);
const ORGANIZING = new Set(["ORGANIZER", "ADMIN"]);
const CALM_MILLISECONDS = 400;

/**
 * What a tab gets.
 * @typedef {object} RoomProps
 * @property {any} room as the API shows it
 * @property {any} seat oneself in it; null: one is not in it
 * @property {boolean} moderates
 * @property {boolean} organizes
 * @property {() => Promise<void>} again reads the room anew
 * @property {number} news changes when something has happened in the room that the tab shows: a
 *   tab that reads a list names it in what it reads upon
 */

/** @param {string} id */
const read = async (id) => {
  const path = `/rooms/${encodeURIComponent(id)}`;
  const [room, seat] = await Promise.all([
    send("GET", path),
    person.value ? send("GET", `${path}/participants/me`).catch((fault) => {
      if (fault instanceof Fault && fault.status === 404) return { data: null };
      throw fault;
    }) : { data: null },
  ]);
  return { room: room.data, seat: seat.data, position: room.position };
};

/** @param {{ id: string, tab: string }} props */
export const Room = ({ id, tab }) => {
  const [found, setFound] = useState(/** @type {any} */ (null));
  const [fault, setFault] = useState(/** @type {unknown} */ (null));
  const [lost, setLost] = useState(false);
  const [news, setNews] = useState(0);
  const settling = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  const again = async () => {
    try {
      setFound(await read(id));
      setFault(null);
    } catch (failure) {
      setFault(failure);
    }
  };
  // Many things at once are one piece of news: a thousand people may come in within a second.
  const hear = () => {
    if (settling.current) return;
    settling.current = setTimeout(() => {
      settling.current = undefined;
      setNews((count) => count + 1);
      again();
    }, CALM_MILLISECONDS);
  };
  const who = person.value && person.value.id;
  useEffect(() => { again(); }, [id, who]);
  const position = found && found.position;
  const following = Boolean(found);
  useEffect(() => {
    if (!following) return undefined;
    return follow(id, position, { hear, reset: hear, lost: setLost });
  }, [id, who, following]);
  useEffect(() => { if (found) document.title = `${found.room.name} · Event Platform`; }, [found]);

  if (fault && !found) {
    const isHidden = fault instanceof Fault && fault.status === 404 && !person.value;
    return html`<${Trouble} of=${fault} />${isHidden && html`<p><${Link} to=${`/login?next=${encodeURIComponent(roomPath(id))}`} class="button main">${words.session.signIn}<//></p>`}`;
  }
  if (!found) return html`<${Waiting} />`;
  const { room, seat } = found;
  const Tab = SHOWN[/** @type {keyof typeof SHOWN} */ (tab)];
  const moderates = Boolean(seat && MODERATING.has(seat.role));
  return html`
    <div class="head"><h1>${room.name}</h1>
      <span class=${`status ${room.status.toLowerCase()}`}>${words.room.status[/** @type {keyof typeof words.room.status} */ (room.status)]}</span></div>
    <nav class="tabs" aria-label=${words.room.parts}>
      <${Link} to=${roomPath(id)} current=${tab === "overview"}>${words.room.overview}<//>
      ${TABS.map((each) => html`<${Link} to=${roomPath(id, each)} current=${tab === each}>${words.room.tabs[/** @type {keyof typeof words.room.tabs} */ (each)]}<//>`)}
    </nav>
    ${lost && html`<p class="lost" role="status">${words.room.lost}</p>`}
    <${Trouble} of=${fault} />
    <${Tab} room=${room} seat=${seat} moderates=${moderates} organizes=${Boolean(seat && ORGANIZING.has(seat.role))} again=${again} news=${news} />`;
};
