// Who has won what; awards by hand, and what is said for somebody.
import { useState } from "preact/hooks";

import { save, send } from "./api.js";
import { Button, Field, Form, Grave, Standing, Trouble, useList, useRead, useWork } from "./components.js";
import { html } from "./html.js";
import { time, words } from "./words.js";

/** @param {import("./room.js").RoomProps & { win: any, changed: () => Promise<void> }} props */
const Win = ({ room, win, moderates, organizes, changed }) => {
  const path = `/rooms/${room.id}/winners/${win.id}`;
  const settling = useWork(async (/** @type {string} */ answer) => {
    await send("POST", `${path}/${answer}`);
    await changed();
  });
  const revoking = useWork(async () => {
    await send("DELETE", path);
    await changed();
  });
  const claim = win.claim;
  const waits = claim && claim.status === "PENDING";
  return html`<li>
    <b>${win.participant.user.name || words.people.unnamed}</b> – ${win.prize.name}
    ${claim && html` <small>${waits ? words.winners.waits(time(claim.by)) : words.winners.claimed}</small>`}
    ${(moderates || organizes) && html`<div class="actions">
      ${waits && moderates && html`<${Button} busy=${settling.busy} onClick=${() => settling.begin("claim")}>${words.winners.claim}<//>
        <${Grave} label=${words.winners.decline} sure=${words.winners.declineSure} busy=${settling.busy} onSure=${() => settling.begin("decline")} />`}
      ${organizes && html`<${Grave} label=${words.winners.revoke} sure=${words.winners.revokeSure} busy=${revoking.busy} onSure=${() => revoking.begin()} />`}
    </div>`}
    <${Trouble} of=${settling.fault || revoking.fault} />
  </li>`;
};

/** @param {{ room: any, changed: () => Promise<void> }} props */
const Award = ({ room, changed }) => {
  const [participant, choosePerson] = useState("");
  const [prize, choosePrize] = useState("");
  const given = useRead(async () => {
    const [people, prizes] = await Promise.all([
      send("GET", `/rooms/${room.id}/participants`, { query: { limit: 1000 } }),
      send("GET", `/rooms/${room.id}/prizes`, { query: { limit: 1000 } }),
    ]);
    return {
      people: people.data.filter((/** @type {any} */ each) => each.role !== "VIEWER"),
      prizes: prizes.data.filter((/** @type {any} */ each) => each.quantityRemaining > 0),
    };
  }, [room.id, room._count.participants, room._count.prizes, room._count.winners]);
  const awarding = useWork(async () => {
    await send("POST", `/rooms/${room.id}/winners`, { body: { participantId: participant, prizeId: prize } });
    choosePerson("");
    await changed();
  });
  const { people, prizes } = given.value || { people: [], prizes: [] };
  return html`<section class="card"><h2>${words.winners.award}</h2><${Form} onSend=${awarding.begin}>
    <${Field} label=${words.winners.who}><select required value=${participant} onChange=${(/** @type {any} */ event) => choosePerson(event.target.value)}>
      <option value="">–</option>
      ${people.map((/** @type {any} */ each) => html`<option value=${each.id}>${each.user.name || each.email || words.people.unnamed}</option>`)}
    </select><//>
    <${Field} label=${words.winners.what}><select required value=${prize} onChange=${(/** @type {any} */ event) => choosePrize(event.target.value)}>
      <option value="">–</option>
      ${prizes.map((/** @type {any} */ each) => html`<option value=${each.id}>${each.name}</option>`)}
    </select><//>
    <${Button} type="submit" busy=${awarding.busy}>${words.winners.award}<//>
    <${Trouble} of=${given.fault || awarding.fault} />
  <//></section>`;
};

/** @param {{ room: any }} props */
const Files = ({ room }) => {
  const saving = useWork(async (/** @type {string} */ name) => save(`/rooms/${room.id}/${name}`, name));
  return html`<section class="card"><h2>${words.winners.files}</h2>
    <${Button} busy=${saving.busy} onClick=${() => saving.begin("winners.csv")}>${words.winners.winnersFile}<//>
    <${Button} busy=${saving.busy} onClick=${() => saving.begin("participants.csv")}>${words.winners.peopleFile}<//>
    <${Trouble} of=${saving.fault} />
  </section>`;
};

/** @param {import("./room.js").RoomProps} props */
export const Winners = (props) => {
  const { room, moderates, news, again } = props;
  const winners = useList((cursor) => send("GET", `/rooms/${room.id}/winners`, { query: { limit: 50, cursor } }), [room.id, news]);
  const changed = async () => { await winners.again(); await again(); };
  return html`
    <${Standing} of=${winners} none=${words.winners.none} />
    <ul class="rows">${(winners.items || []).map((/** @type {any} */ each) => html`<${Win} key=${each.id} ...${props} win=${each} changed=${changed} />`)}</ul>
    ${winners.more}
    ${moderates && html`<${Files} room=${room} /><${Award} room=${room} changed=${changed} />`}`;
};
