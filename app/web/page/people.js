// Who is in a room.
import { useState } from "preact/hooks";

import { send } from "./api.js";
import { Button, Field, Form, Grave, Standing, Trouble, useList, useWork } from "./components.js";
import { html } from "./html.js";
import { Invitations } from "./invitations.js";
import { Spreadsheet } from "./spreadsheet.js";
import { words } from "./words.js";

/** @param {{ room: any, again: () => Promise<void> }} props */
const Add = ({ room, again }) => {
  const [email, setEmail] = useState("");
  const [name, setName] = useState("");
  const adding = useWork(async () => {
    await send("POST", `/rooms/${room.id}/participants`, { body: { email: email.trim(), name: name.trim() || null } });
    setEmail("");
    setName("");
    await again();
  });
  return html`<section class="card"><h2>${words.people.add}</h2><${Form} onSend=${adding.begin}>
    <${Field} label=${words.people.address}><input type="email" required value=${email} onInput=${(/** @type {any} */ event) => setEmail(event.target.value)} /><//>
    <${Field} label=${words.open.optional(words.people.name)}><input maxlength="100" value=${name} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /><//>
    <${Button} type="submit" kind="main" busy=${adding.busy}>${words.people.add}<//>
    <${Trouble} of=${adding.fault} />
  <//></section>`;
};

/** Roles that somebody may give: none above the own one. @param {boolean} organizes */
const rolesFor = (organizes) => (organizes ? ["ORGANIZER", "MODERATOR", "PARTICIPANT", "VIEWER"] : ["PARTICIPANT", "VIEWER"]);

/** @param {{ room: any, somebody: any, moderates: boolean, organizes: boolean, again: () => Promise<void> }} props */
const Row = ({ room, somebody, moderates, organizes, again }) => {
  const [isOpen, open] = useState(false);
  const path = `/rooms/${room.id}/participants/${somebody.id}`;
  const changing = useWork(async (/** @type {string} */ role) => {
    await send("PATCH", path, { body: { role } });
    await again();
  });
  const removing = useWork(async () => {
    await send("DELETE", path);
    await again();
  });
  const roles = rolesFor(organizes);
  const may = moderates && roles.includes(somebody.role);
  return html`<li>
    <b>${somebody.user.name || words.people.unnamed}</b>
    <small> ${somebody.email || ""} ${words.roles[/** @type {keyof typeof words.roles} */ (somebody.role)]}</small>
    ${may && html` <button type="button" class="plain" aria-expanded=${isOpen} onClick=${() => open(!isOpen)}>${words.common.change}</button>`}
    ${may && isOpen && html`<div class="actions">
      <${Field} label=${words.people.role}><select value=${somebody.role} disabled=${changing.busy} onChange=${(/** @type {any} */ event) => changing.begin(event.target.value)}>
        ${roles.map((each) => html`<option value=${each}>${words.roles[/** @type {keyof typeof words.roles} */ (each)]}</option>`)}</select><//>
      <${Grave} label=${words.people.remove} sure=${words.people.removeSure} busy=${removing.busy} onSure=${() => removing.begin()} />
    </div>`}
    <${Trouble} of=${changing.fault || removing.fault} />
  </li>`;
};

/** @param {import("./room.js").RoomProps} props */
export const People = ({ room, moderates, organizes, news, again }) => {
  const people = useList((cursor) => send("GET", `/rooms/${room.id}/participants`, { query: { limit: 50, cursor } }), [room.id, news]);
  const changed = async () => { await people.again(); await again(); };
  const isOver = room.status === "COMPLETED" || room.status === "CANCELLED";
  return html`
    <${Standing} of=${people} none=${words.people.nobody} />
    <ul class="rows">${(people.items || []).map((/** @type {any} */ each) => html`<${Row} key=${each.id} room=${room} somebody=${each}
      moderates=${moderates} organizes=${organizes} again=${changed} />`)}</ul>
    ${people.more}
    ${moderates && !isOver && html`<${Add} room=${room} again=${changed} /><${Spreadsheet} room=${room} again=${changed} />
      <${Invitations} room=${room} />`}`;
};
