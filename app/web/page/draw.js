// The room's draws.
import { base, send } from "./api.js";
import { Trouble, useList, Waiting } from "./components.js";
import { html } from "./html.js";
import { words } from "./words.js";

/** @param {import("./room.js").RoomProps} props */
export const Draws = ({ room, news }) => {
  const draws = useList((cursor) => send("GET", `/rooms/${room.id}/draws`, { query: { limit: 20, cursor } }), [room.id, news]);
  return html`
    <${Trouble} of=${draws.fault} />
    ${!draws.items && !draws.fault && html`<${Waiting} />`}
    ${draws.items && !draws.items.length && html`<p>${words.draw.none}</p>`}
    <ul class="rows">${(draws.items || []).map((/** @type {any} */ each) => html`<li key=${each.id}>
      <a href=${`${base}/rooms/${room.id}/draws/${each.number}`}><b>${words.draw.title(each.number)}</b></a>
      <small>${words.draw.status[/** @type {keyof typeof words.draw.status} */ (each.status)]}</small></li>`)}</ul>
    ${draws.more}`;
};
