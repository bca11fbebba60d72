// The first page: one's own rooms, and those that one may see.
import { send } from "./api.js";
import { Link, Standing, useList } from "./components.js";
import { html } from "./html.js";
import { roomPath } from "./router.js";
import { person } from "./session.js";
import { words } from "./words.js";

/** @param {{ room: any }} props */
const Card = ({ room }) => html`<li><${Link} to=${roomPath(room.id)} class="card">
  <b>${room.name}</b>
  <span class=${`status ${room.status.toLowerCase()}`}>${words.room.status[/** @type {keyof typeof words.room.status} */ (room.status)]}</span>
  <small>${words.rooms.counts(room._count)}${room.isPublic ? "" : ` · ${words.room.private}`}</small>
<//></li>`;

/** @param {{ title: string, query: Record<string, any>, none: string, without?: string }} props */
const List = ({ title, query, none, without }) => {
  const rooms = useList(
    (cursor) => send("GET", "/rooms", { query: { limit: 20, ...query, cursor } }),
    [JSON.stringify(query)],
  );
  const shown = rooms.items && rooms.items.filter((/** @type {any} */ each) => each.createdBy !== without);
  return html`<section>
    <h2>${title}</h2>
    <${Standing} of=${{ items: shown, fault: rooms.fault }} none=${none} />
    <ul class="cards">${(shown || []).map((room) => html`<${Card} key=${/** @type {any} */ (room).id} room=${room} />`)}</ul>
    ${rooms.more}
  </section>`;
};

export const Rooms = () => {
  const who = person.value;
  if (who && who.guestOf) {
    return html`<h1>${words.rooms.title}</h1><p>${words.rooms.guest}</p>
      <${Link} to=${roomPath(who.guestOf)} class="button main">${words.rooms.toYours}<//>`;
  }
  if (!who) {
    return html`<h1>Event Platform</h1><p class="lead">${words.rooms.about}</p>
      <p><${Link} to="/login" class="button main">${words.rooms.begin}<//></p>
      <${List} title=${words.rooms.public} query=${{}} none=${words.rooms.noPublic} />`;
  }
  return html`<div class="head"><h1>${words.rooms.title}</h1>
      <${Link} to="/rooms/new" class="button main">${words.rooms.open}<//></div>
    <${List} title=${words.rooms.yours} query=${{ createdBy: who.id }} none=${words.rooms.noneYet} />
    <${List} title=${words.rooms.others} query=${{}} none=${words.rooms.noOthers} without=${who.id} />`;
};
