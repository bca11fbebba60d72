// Oneself in a room: joining, and what one has won.
import { useState } from "preact/hooks";

import { send } from "./api.js";
import { Button, Field, Form, Grave, Link, Trouble, useRead, useWork } from "./components.js";
import { html } from "./html.js";
import { roomPath } from "./router.js";
import { enter, person } from "./session.js";
import { time, words } from "./words.js";

/** @param {import("./room.js").RoomProps & { win: any }} props */
const Win = ({ room, win, again }) => {
  const settle = useWork(async (/** @type {"claim" | "decline"} */ answer) => {
    await send("POST", `/rooms/${room.id}/winners/${win.id}/${answer}`);
    await again();
  });
  const claim = win.claim;
  return html`<li class="card">
    ${win.prize.imageUrl && html`<img src=${win.prize.imageUrl} alt="" loading="lazy" />`}
    <p>${words.seat.won} <b>${win.prize.name}</b></p>
    ${claim && claim.status === "PENDING" && html`<p>${words.seat.sayBy(time(claim.by))}</p>
      <${Button} kind="main" busy=${settle.busy} onClick=${() => settle.begin("claim")}>${words.seat.claim}<//>
      <${Grave} label=${words.seat.decline} sure=${words.seat.declineSure} busy=${settle.busy} onSure=${() => settle.begin("decline")} />`}
    ${claim && claim.status !== "PENDING" && html`<p>${words.seat.claims[/** @type {keyof typeof words.seat.claims} */ (claim.status)]}</p>`}
    <${Trouble} of=${settle.fault} />
  </li>`;
};

/** @param {import("./room.js").RoomProps} props */
const AsGuest = ({ room }) => {
  const [name, setName] = useState("");
  const coming = useWork(async () => {
    const { data } = await send("POST", `/rooms/${room.id}/guests`, { body: { name: name.trim() } });
    await enter(data, data.roomId);
  });
  return html`<section class="card"><h2>${words.seat.asGuest}</h2>
    <p>${words.seat.guestMeans}</p>
    <${Form} onSend=${coming.begin}>
      <${Field} label=${words.seat.yourName}><input required maxlength="100" autocomplete="name" value=${name}
        onInput=${(/** @type {any} */ event) => setName(event.target.value)} /><//>
      <${Button} type="submit" busy=${coming.busy}>${words.seat.comeIn}<//>
      <${Trouble} of=${coming.fault} />
    <//></section>`;
};

/** @param {import("./room.js").RoomProps} props */
export const Seat = (props) => {
  const { room, seat, news, again } = props;
  const joining = useWork(async () => {
    await send("POST", `/rooms/${room.id}/participants`, { body: {} });
    await again();
  });
  const mine = seat && seat.id;
  const wins = useRead(
    async () => (mine ? (await send("GET", `/rooms/${room.id}/winners`, { query: { participantId: mine, limit: 100 } })).data : []),
    [room.id, mine, news],
  );
  const mayJoin = room.isPublic && room.status !== "COMPLETED" && room.status !== "CANCELLED";
  if (!person.value) return mayJoin && room.guests ? html`<${AsGuest} ...${props} />` : null;
  if (!seat) {
    return mayJoin ? html`<section class="card"><p>${words.seat.notIn}</p>
      <${Button} kind="main" busy=${joining.busy} onClick=${() => joining.begin()}>${words.seat.join}<//>
      <${Trouble} of=${joining.fault} /></section>` : null;
  }
  return html`<section>
    ${person.value.guestOf && html`<p>${words.rooms.guest} <${Link} to=${`/login?next=${encodeURIComponent(roomPath(room.id))}`}>${words.session.signIn}<//></p>`}
    <p>${words.seat.in(words.roles[/** @type {keyof typeof words.roles} */ (seat.role)])}</p>
    <${Trouble} of=${wins.fault} />
    <ul class="cards">${(wins.value || []).map((/** @type {any} */ win) => html`<${Win} key=${win.id} ...${props} win=${win} />`)}</ul>
  </section>`;
};
