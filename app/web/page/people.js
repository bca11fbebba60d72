// Who is in a room.
import { useState } from "preact/hooks";

import { send } from "./api.js";
import { Button, Field, Form, Trouble, useList, useWork, Waiting } from "./components.js";
import { html } from "./html.js";
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

/** @param {import("./room.js").RoomProps} props */
export const People = ({ room, moderates, news, again }) => {
  const people = useList((cursor) => send("GET", `/rooms/${room.id}/participants`, { query: { limit: 50, cursor } }), [room.id, news]);
  return html`
    ${moderates && html`<${Add} room=${room} again=${async () => { await people.again(); await again(); }} />`}
    <${Trouble} of=${people.fault} />
    ${!people.items && !people.fault && html`<${Waiting} />`}
    ${people.items && !people.items.length && html`<p>${words.people.nobody}</p>`}
    <ul class="rows">${(people.items || []).map((/** @type {any} */ each) => html`<li key=${each.id}>
      <b>${each.user.name || words.people.unnamed}</b>
      <small>${each.email || ""} ${words.roles[/** @type {keyof typeof words.roles} */ (each.role)]}</small></li>`)}</ul>
    ${people.more}`;
};
