// Who has won what.
import { send } from "./api.js";
import { Trouble, useList, Waiting } from "./components.js";
import { html } from "./html.js";
import { words } from "./words.js";

/** @param {import("./room.js").RoomProps} props */
export const Winners = ({ room, news }) => {
  const winners = useList((cursor) => send("GET", `/rooms/${room.id}/winners`, { query: { limit: 50, cursor } }), [room.id, news]);
  return html`
    <${Trouble} of=${winners.fault} />
    ${!winners.items && !winners.fault && html`<${Waiting} />`}
    ${winners.items && !winners.items.length && html`<p>${words.winners.none}</p>`}
    <ul class="rows">${(winners.items || []).map((/** @type {any} */ each) => html`<li key=${each.id}>
      <b>${each.participant.user.name || words.people.unnamed}</b> – ${each.prize.name}</li>`)}</ul>
    ${winners.more}`;
};
