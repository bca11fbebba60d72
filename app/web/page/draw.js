// The room's draws, step by step: announce, close, throw the dice, draw; and what may follow.
import { useState } from "preact/hooks";

import { base, save, send } from "./api.js";
import { Button, Field, Form, Grave, Trouble, useList, useRead, useWork, Waiting } from "./components.js";
import { html } from "./html.js";
import { number, words } from "./words.js";

const NOT_OVER = new Set(["ANNOUNCED", "CLOSED", "READY"]);
const SAMPLE = 100;
/** What may weigh: whole numbers from 1, written as such or as text. @param {unknown} value */
const weighs = (value) => /^[1-9]\d{0,3}$/.test(String(value));

/**
 * The columns that everybody of a sample has tickets in.
 * @param {any[]} people
 */
const columnsOf = (people) => {
  const told = people.map((each) => each.metadata || {}).filter((each) => Object.keys(each).length);
  const names = new Set(told.flatMap((each) => Object.keys(each)));
  return [...names].filter((name) => told.every((each) => !(name in each) || weighs(each[name])));
};

/** @param {{ room: any, prizes: any[], changed: () => Promise<void> }} props */
const Announce = ({ room, prizes, changed }) => {
  const left = prizes.filter((each) => each.quantityRemaining > 0);
  const [without, leaveOut] = useState(/** @type {string[]} */ ([]));
  const [weightKey, weigh] = useState("");
  const [alternates, line] = useState("3");
  const [onePrizeEach, each] = useState(true);
  const [dice, throwDice] = useState("5");
  const columns = useRead(
    async () => columnsOf((await send("GET", `/rooms/${room.id}/participants`, { query: { limit: SAMPLE } })).data),
    [room.id, room._count.participants],
  );
  const drawn = left.filter((prize) => !without.includes(prize.id));
  const hasClaims = drawn.some((prize) => prize.claim);
  const announcing = useWork(async () => {
    const count = Number(dice);
    await send("POST", `/rooms/${room.id}/draws`, { body: {
      prizes: drawn.map((prize) => ({ id: prize.id, quantity: prize.quantityRemaining })),
      weightKey: weightKey || null,
      alternates: hasClaims ? Number(alternates) : 0,
      onePrizeEach,
      entropy: count
        ? { kind: "text", label: words.draw.diceLabel(count), format: { alphabet: "1-6", length: count } }
        : { kind: "none" },
    } });
    await changed();
  });
  if (!left.length) return html`<section class="card"><p>${words.draw.nothingLeft}</p></section>`;
  return html`<section class="card"><h2>${words.draw.announce}</h2><p>${words.draw.announceMeans}</p>
    <${Form} onSend=${announcing.begin}>
      <fieldset><legend>${words.draw.what}</legend>${left.map((prize) => html`<label class="check"><input type="checkbox" checked=${!without.includes(prize.id)}
        onChange=${(/** @type {any} */ event) => leaveOut(event.target.checked ? without.filter((one) => one !== prize.id) : [...without, prize.id])} />
        <span>${number(prize.quantityRemaining)} × ${prize.name}</span></label>`)}</fieldset>
      <label class="check"><input type="checkbox" checked=${onePrizeEach} onChange=${(/** @type {any} */ event) => each(event.target.checked)} />
        <span>${words.draw.onePrizeEach}</span></label>
      <${Field} label=${words.draw.tickets} hint=${words.draw.ticketsMean}>
        <select value=${weightKey} onChange=${(/** @type {any} */ event) => weigh(event.target.value)}>
          <option value="">${words.draw.oneTicket}</option>
          ${(columns.value || []).map((name) => html`<option value=${name}>${name}</option>`)}
        </select><//>
      ${hasClaims && html`<${Field} label=${words.draw.alternates} hint=${words.draw.alternatesMean}>
        <input type="number" min="0" max="100" required value=${alternates} onInput=${(/** @type {any} */ event) => line(event.target.value)} /><//>`}
      <${Field} label=${words.draw.dice} hint=${words.draw.diceMean}>
        <input type="number" min="0" max="50" required value=${dice} onInput=${(/** @type {any} */ event) => throwDice(event.target.value)} /><//>
      <${Button} type="submit" kind="main" busy=${announcing.busy} disabled=${!drawn.length}>${words.draw.announce}<//>
      <${Trouble} of=${columns.fault || announcing.fault} />
    <//></section>`;
};

/** What was announced, in sentences. @param {{ draw: any, prizes: any[] }} props */
const Terms = ({ draw, prizes }) => {
  const names = new Map(prizes.map((each) => [each.id, each.name]));
  const told = [
    draw.prizes.map((/** @type {any} */ each) => `${number(each.quantity)} × ${names.get(each.id) || words.draw.gonePrize}`).join(", "),
    draw.replaces && words.draw.isRedraw,
    draw.onePrizeEach ? words.draw.onePrizeEach : words.draw.manyPrizesEach,
    draw.weightKey ? words.draw.weighed(draw.weightKey) : words.draw.oneTicket,
    draw.alternates > 0 && words.draw.inLine(draw.alternates),
    draw.entropy.kind === "text" && words.draw.byText(draw.entropy.label),
    draw.entropy.kind === "drand" && words.draw.byDrand,
    draw.entropy.kind === "none" && words.draw.bySecret,
    draw.entrantCount !== null && words.draw.entrants(draw.entrantCount),
  ];
  return html`<ul>${told.filter(Boolean).map((each) => html`<li>${each}</li>`)}</ul>`;
};

/** What comes next. @param {{ path: string, draw: any, changed: () => Promise<void> }} props */
const Step = ({ path, draw, changed }) => {
  const [thrown, setThrown] = useState("");
  const [reason, setReason] = useState("");
  const going = useWork(async (/** @type {string} */ step, /** @type {any} */ body) => {
    await send("POST", `${path}/${step}`, { body });
    await changed();
  });
  const isText = draw.entropy.kind === "text";
  const format = draw.entropy.format;
  const next = draw.status === "ANNOUNCED"
    ? html`<p>${words.draw.closeMeans}</p><${Button} kind="main" busy=${going.busy} onClick=${() => going.begin("close", undefined)}>${words.draw.close}<//>`
    : draw.status === "CLOSED" && html`<${Form} onSend=${() => going.begin("draw", isText ? { public: thrown.replace(/\s/g, "") } : {})}>
        <p>${isText ? words.draw.throwMeans(draw.entropy.label) : draw.entropy.kind === "drand" ? words.draw.drandMeans : words.draw.drawMeans}</p>
        ${isText && html`<${Field} label=${draw.entropy.label} hint=${words.draw.format(format.alphabet, format.length)}>
          <input class="code" required autocomplete="off" inputmode=${format.alphabet === "A-Z" ? "text" : "numeric"} value=${thrown}
            onInput=${(/** @type {any} */ event) => setThrown(event.target.value)} /><//>`}
        ${draw.entropy.kind !== "drand" && html`<${Button} type="submit" kind="main" busy=${going.busy}>${words.draw.draw}<//>`}
      <//>`;
  return html`${next}
    <${Trouble} of=${going.fault} />
    <details><summary>${words.draw.cancel}</summary>
      <${Field} label=${words.draw.reason} hint=${words.draw.reasonMeans}><input maxlength="500" value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} /><//>
      ${reason.trim() && html`<${Grave} label=${words.draw.cancel} sure=${words.draw.cancelSure} busy=${going.busy} onSure=${() => going.begin("cancel", { reason: reason.trim() })} />`}
    </details>`;
};

/** Who has won. @param {{ room: any, path: string, draw: any, moderates: boolean, news: number, changed: () => Promise<void> }} props */
const Wins = ({ room, path, draw, moderates, news, changed }) => {
  const found = useRead(async () => (await send("GET", `${path}/winners`)).data, [path, news]);
  const redrawing = useWork(async (/** @type {any} */ win) => {
    const { weightKey, onePrizeEach, entropy } = draw;
    await send("POST", `/rooms/${room.id}/draws`, { body: {
      replaces: win.winnerId, weightKey, onePrizeEach, entropy: entropy.kind === "drand" ? { kind: "none" } : entropy,
    } });
    await changed();
  });
  if (found.fault) return html`<${Trouble} of=${found.fault} />`;
  if (!found.value) return html`<${Waiting} />`;
  const { wins, replaced } = found.value;
  return html`
    ${replaced && html`<p>${words.draw.replaces(replaced.name || words.people.unnamed, replaced.drawnIn)}</p>`}
    ${!wins.length && html`<p>${words.draw.nobodyWon}</p>`}
    <ol>${wins.map((/** @type {any} */ win) => html`<li>
      <b class=${win.revokedAt ? "gone" : null}>${win.name || words.people.unnamed}</b> – ${win.prizeName || words.draw.gonePrize}
      ${win.takesOverFrom && html` <small>${words.draw.takesOver}</small>`}
      ${win.claim && html` <small>${words.draw.claims[/** @type {keyof typeof words.draw.claims} */ (win.claim.status)]}</small>`}
      ${win.revokedAt && html` <small>${win.redrawnIn ? words.draw.redrawnIn(win.redrawnIn) : words.draw.revoked}</small>`}
      ${moderates && win.revokedAt && !win.redrawnIn && win.winnerId && room.status === "ACTIVE"
        && html`<div class="actions"><${Button} busy=${redrawing.busy} onClick=${() => redrawing.begin(win)}>${words.draw.redraw}<//></div>`}
    </li>`)}</ol>
    <${Trouble} of=${redrawing.fault} />`;
};

/** @param {import("./room.js").RoomProps & { draw: any, prizes: any[], changed: () => Promise<void> }} props */
const Draw = ({ room, draw, prizes, moderates, news, changed }) => {
  const path = `/rooms/${room.id}/draws/${draw.number}`;
  const saving = useWork(async () => save(`${path}/evidence.zip`, `draw-${draw.number}.zip`));
  return html`<section class="card"><h2>${words.draw.title(draw.number)}
      <span class=${`status ${draw.status.toLowerCase()}`}>${words.draw.status[/** @type {keyof typeof words.draw.status} */ (draw.status)]}</span></h2>
    <${Terms} draw=${draw} prizes=${prizes} />
    ${draw.status === "CANCELLED" && html`<p>${words.draw.cancelled(draw.reason || "")}</p>`}
    ${draw.status === "DRAWN" && html`<${Wins} room=${room} path=${path} draw=${draw} moderates=${moderates} news=${news} changed=${changed} />`}
    ${moderates && NOT_OVER.has(draw.status) && html`<${Step} path=${path} draw=${draw} changed=${changed} />`}
    <p>${room.isPublic && html`<a href=${`${base}/rooms/${room.id}/draws/${draw.number}`}>${words.draw.screen}</a> `}</p>
    ${moderates && !NOT_OVER.has(draw.status) && html`<${Button} busy=${saving.busy} onClick=${() => saving.begin()}>${words.draw.evidence}<//>`}
    <${Trouble} of=${saving.fault} />
  </section>`;
};

/** @param {import("./room.js").RoomProps} props */
export const Draws = (props) => {
  const { room, moderates, news, again } = props;
  const draws = useList((cursor) => send("GET", `/rooms/${room.id}/draws`, { query: { limit: 20, cursor } }), [room.id, news]);
  const prizes = useRead(async () => (await send("GET", `/rooms/${room.id}/prizes`, { query: { limit: 1000 } })).data, [room.id, news]);
  const changed = async () => { await Promise.all([draws.again(), prizes.again(), again()]); };
  const listed = /** @type {any[]} */ (draws.items || []);
  const isBusy = listed.some((each) => NOT_OVER.has(each.status));
  return html`
    <${Trouble} of=${draws.fault || prizes.fault} />
    ${(!draws.items || !prizes.value) && !draws.fault && !prizes.fault && html`<${Waiting} />`}
    ${draws.items && !listed.length && html`<p>${words.draw.none}</p>`}
    ${moderates && draws.items && prizes.value && !isBusy && (room.status === "ACTIVE"
      ? html`<${Announce} room=${room} prizes=${prizes.value} changed=${changed} />`
      : room.status === "DRAFT" && html`<p>${words.draw.openFirst}</p>`)}
    ${prizes.value && listed.map((each) => html`<${Draw} key=${each.id} ...${props} draw=${each} prizes=${prizes.value} changed=${changed} />`)}
    ${draws.more}`;
};
