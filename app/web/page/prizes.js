// What there is to win.
import { send } from "./api.js";
import { Trouble, useList, Waiting } from "./components.js";
import { html } from "./html.js";
import { words } from "./words.js";

/** @param {import("./room.js").RoomProps} props */
export const Prizes = ({ room, news }) => {
  const prizes = useList((cursor) => send("GET", `/rooms/${room.id}/prizes`, { query: { limit: 50, cursor } }), [room.id, news]);
  return html`
    <${Trouble} of=${prizes.fault} />
    ${!prizes.items && !prizes.fault && html`<${Waiting} />`}
    ${prizes.items && !prizes.items.length && html`<p>${words.prizes.none}</p>`}
    <ul class="rows">${(prizes.items || []).map((/** @type {any} */ each) => html`<li key=${each.id}>
      <b>${each.name}</b> <small>${words.prizes.left(each.quantityRemaining, each.quantity)}</small></li>`)}</ul>
    ${prizes.more}`;
};
