// Codes that let people into a room: made, shown once as code, link and QR code, and revoked.
import { useState } from "preact/hooks";

import { send } from "./api.js";
import { Button, Field, Form, Grave, Trouble, useList, useWork } from "./components.js";
import { html } from "./html.js";
import { words } from "./words.js";

/** @param {{ made: any }} props */
const Made = ({ made }) => html`<div class="card" role="status">
  <p>${words.invite.once}</p>
  <p class="made">${made.code}</p>
  <p><a href=${made.link}>${made.link}</a></p>
  <img class="qr" alt=${words.invite.qr} src=${`data:image/svg+xml,${encodeURIComponent(made.qrCode)}`} />
</div>`;

/** @param {{ room: any }} props */
export const Invitations = ({ room }) => {
  const path = `/rooms/${room.id}/invitations`;
  const [maxUses, limit] = useState("");
  const [made, setMade] = useState(/** @type {any} */ (null));
  const all = useList((cursor) => send("GET", path, { query: { limit: 20, cursor } }), [room.id]);
  const making = useWork(async () => {
    const { data } = await send("POST", path, { body: maxUses ? { maxUses: Number(maxUses) } : {} });
    setMade(data);
    await all.again();
  });
  const revoking = useWork(async (/** @type {string} */ id) => {
    await send("DELETE", `${path}/${id}`);
    if (made && made.id === id) setMade(null);
    await all.again();
  });
  const good = /** @type {any[]} */ (all.items || []).filter((each) => !each.revokedAt);
  return html`<section class="card"><h2>${words.invite.title}</h2><p>${words.invite.means}</p>
    <${Form} onSend=${making.begin}>
      <${Field} label=${words.open.optional(words.invite.maxUses)}>
        <input type="number" min="1" value=${maxUses} onInput=${(/** @type {any} */ event) => limit(event.target.value)} /><//>
      <${Button} type="submit" kind="main" busy=${making.busy}>${words.invite.make}<//>
    <//>
    <${Trouble} of=${making.fault || revoking.fault || all.fault} />
    ${made && html`<${Made} made=${made} />`}
    <ul class="rows">${good.map((each) => html`<li key=${each.id}>${words.invite.used(each.uses, each.maxUses)}
      <small> ${words.roles[/** @type {keyof typeof words.roles} */ (each.role)]}</small>
      <div class="actions"><${Grave} label=${words.invite.revoke} sure=${words.invite.revokeSure} busy=${revoking.busy} onSure=${() => revoking.begin(each.id)} /></div></li>`)}</ul>
    ${all.more}
  </section>`;
};
