// What there is to win.
import { useState } from "preact/hooks";

import { send } from "./api.js";
import { Button, Field, Form, Grave, Standing, Trouble, useList, useWork } from "./components.js";
import { html } from "./html.js";
import { words } from "./words.js";

const DAYS = /^P(\d+)D$/;

/** Days within which winners have to claim a prize; empty where they need not. @param {any} prize */
const daysOf = (prize) => (prize.claim && (DAYS.exec(prize.claim.within) || [])[1]) || "";

/**
 * @param {{ prize?: any, label: string, onSend: (body: any) => Promise<unknown> }} props
 */
const PrizeForm = ({ prize, label, onSend }) => {
  const beginning = { name: "", description: "", imageUrl: "", quantity: 1, days: "" };
  const [filled, fill] = useState(prize ? { ...beginning, ...prize, days: daysOf(prize) } : beginning);
  const typed = (/** @type {string} */ name) => (/** @type {any} */ event) => fill({ ...filled, [name]: event.target.value });
  const sending = useWork(async () => {
    /** @type {Record<string, any>} */
    const body = {
      name: filled.name.trim(),
      description: (filled.description || "").trim() || null,
      imageUrl: (filled.imageUrl || "").trim() || null,
      quantity: Number(filled.quantity),
    };
    // A time that was set otherwise, such as P7DT12H, stays unless it is written over.
    if (!prize || filled.days !== daysOf(prize)) body.claim = filled.days ? { within: `P${Number(filled.days)}D` } : null;
    await onSend(body);
    if (!prize) fill(beginning);
  });
  return html`<${Form} onSend=${sending.begin}>
    <${Field} label=${words.prizes.name}><input required maxlength="255" value=${filled.name} onInput=${typed("name")} /><//>
    <${Field} label=${words.prizes.quantity}><input type="number" required min="1" max="1000000" value=${filled.quantity} onInput=${typed("quantity")} /><//>
    <${Field} label=${words.open.optional(words.prizes.description)}><textarea rows="2" maxlength="2000" value=${filled.description || ""} onInput=${typed("description")}></textarea><//>
    <${Field} label=${words.open.optional(words.prizes.picture)}><input type="url" value=${filled.imageUrl || ""} placeholder="https://" onInput=${typed("imageUrl")} /><//>
    <${Field} label=${words.open.optional(words.prizes.days)} hint=${words.prizes.daysMean}>
      <input type="number" min="1" max="366" value=${filled.days} onInput=${typed("days")} /><//>
    <${Button} type="submit" kind="main" busy=${sending.busy}>${label}<//>
    <${Trouble} of=${sending.fault} />
  <//>`;
};

/** @param {{ room: any, prize: any, moderates: boolean, again: () => Promise<void> }} props */
const Prize = ({ room, prize, moderates, again }) => {
  const [isOpen, open] = useState(false);
  const path = `/rooms/${room.id}/prizes/${prize.id}`;
  const change = async (/** @type {any} */ body) => {
    await send("PATCH", path, { body });
    open(false);
    await again();
  };
  const removing = useWork(async () => {
    await send("DELETE", path);
    await again();
  });
  return html`<li class="card">
    ${prize.imageUrl && html`<img src=${prize.imageUrl} alt="" loading="lazy" />`}
    <p><b>${prize.name}</b> <small>${words.prizes.left(prize.quantityRemaining, prize.quantity)}</small></p>
    ${prize.description && html`<p>${prize.description}</p>`}
    ${prize.claim && html`<p><small>${words.prizes.toClaim(daysOf(prize) || prize.claim.within)}</small></p>`}
    ${moderates && html`<${Button} onClick=${() => open(!isOpen)}>${isOpen ? words.common.back : words.common.change}<//>
      ${!isOpen && html`<${Grave} label=${words.common.remove} sure=${words.prizes.removeSure(prize.name)} busy=${removing.busy} onSure=${() => removing.begin()} />`}`}
    <${Trouble} of=${removing.fault} />
    ${isOpen && html`<${PrizeForm} prize=${prize} label=${words.common.save} onSend=${change} />`}
  </li>`;
};

/** @param {import("./room.js").RoomProps} props */
export const Prizes = ({ room, moderates, news, again }) => {
  const prizes = useList((cursor) => send("GET", `/rooms/${room.id}/prizes`, { query: { limit: 50, cursor } }), [room.id, news]);
  const changed = async () => { await prizes.again(); await again(); };
  const add = async (/** @type {any} */ body) => {
    await send("POST", `/rooms/${room.id}/prizes`, { body });
    await changed();
  };
  return html`
    <${Standing} of=${prizes} none=${words.prizes.none} />
    <ul class="cards">${(prizes.items || []).map((/** @type {any} */ each) =>
      html`<${Prize} key=${`${each.id} ${each.updatedAt}`} room=${room} prize=${each} moderates=${moderates} again=${changed} />`)}</ul>
    ${prizes.more}
    ${moderates && html`<section class="card"><h2>${words.prizes.add}</h2><${PrizeForm} label=${words.prizes.add} onSend=${add} /></section>`}`;
};
