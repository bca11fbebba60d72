// How a room stands: its status, its numbers, what comes next, and oneself in it.
import { send } from "./api.js";
import { Button, Grave, Link, Trouble, useWork } from "./components.js";
import { html } from "./html.js";
import { roomPath } from "./router.js";
import { Seat } from "./seat.js";
import { person } from "./session.js";
import { number, words } from "./words.js";

/** @param {import("./room.js").RoomProps} props */
const Status = ({ room, again }) => {
  const change = useWork(async (/** @type {string} */ status) => {
    await send("PATCH", `/rooms/${room.id}`, { body: { status } });
    await again();
  });
  return html`<section class="card">
    <p>${words.overview.means[/** @type {keyof typeof words.overview.means} */ (room.status)]}</p>
    ${room.status === "DRAFT" && html`<${Button} kind="main" busy=${change.busy} onClick=${() => change.begin("ACTIVE")}>${words.overview.open}<//>`}
    ${room.status === "ACTIVE" && html`<${Grave} label=${words.overview.close} sure=${words.overview.closeSure} busy=${change.busy} onSure=${() => change.begin("COMPLETED")} />`}
    ${(room.status === "DRAFT" || room.status === "ACTIVE") && html` <${Grave} label=${words.overview.cancel} sure=${words.overview.cancelSure} busy=${change.busy} onSure=${() => change.begin("CANCELLED")} />`}
    <${Trouble} of=${change.fault} />
  </section>`;
};

/** @param {import("./room.js").RoomProps} props */
const Visibility = ({ room, again }) => {
  const change = useWork(async () => {
    await send("PATCH", `/rooms/${room.id}`, { body: { isPublic: !room.isPublic } });
    await again();
  });
  return html`<section class="card">
    <p><b>${room.isPublic ? words.open.public : words.open.private}.</b> ${room.isPublic ? words.open.publicMeans : words.open.privateMeans}</p>
    <${Button} busy=${change.busy} onClick=${() => change.begin()}>${room.isPublic ? words.overview.makePrivate : words.overview.makePublic}<//>
    <${Trouble} of=${change.fault} />
  </section>`;
};

/** @param {import("./room.js").RoomProps} props */
export const Overview = (props) => {
  const { room, organizes } = props;
  const counts = /** @type {["people" | "prizes" | "winners", number][]} */ ([
    ["people", room._count.participants],
    ["prizes", room._count.prizes],
    ["winners", room._count.winners],
  ]);
  return html`
    ${room.description && html`<p class="lead">${room.description}</p>`}
    <ul class="numbers">${counts.map(([name, count]) => html`<li><${Link} to=${roomPath(room.id, name)}><b>${number(count)}</b> ${words.room.tabs[name]}<//></li>`)}</ul>
    <${Seat} ...${props} />
    ${organizes && html`<${Status} ...${props} />`}
    ${organizes && html`<section class="card"><h2>${words.overview.steps}</h2><ol class="steps">
      ${words.overview.todo.map(([tab, text]) => html`<li><${Link} to=${roomPath(room.id, tab)}>${words.room.tabs[/** @type {keyof typeof words.room.tabs} */ (tab)]}<//> – ${text}</li>`)}
    </ol></section>`}
    ${organizes && html`<${Visibility} ...${props} />`}
    ${!person.value && html`<p><${Link} to=${`/login?next=${encodeURIComponent(roomPath(room.id))}`} class="button main">${words.overview.signIn}<//></p>`}`;
};
