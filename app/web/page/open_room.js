// Opening a room: which app, its settings, and who may see it.
import { useEffect, useState } from "preact/hooks";

import { send } from "./api.js";
import { Button, Field, Form, Trouble, useList, useWork, Waiting } from "./components.js";
import { html } from "./html.js";
import { go, roomPath } from "./router.js";
import { person } from "./session.js";
import { SettingsForm, beginning, filledIn } from "./settings_form.js";
import { words } from "./words.js";

/** @param {{ app: any }} props */
const RoomForm = ({ app }) => {
  const schema = app.manifest.settings;
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [isPublic, setPublic] = useState(true);
  const [guests, setGuests] = useState(false);
  const [settings, setSettings] = useState(() => beginning(schema) || {});
  const [misread, setMisread] = useState("");
  const opening = useWork(async () => {
    setMisread("");
    let appSettings;
    try {
      appSettings = filledIn(schema, settings) || {};
    } catch (fault) {
      setMisread(words.open.noJson(String(fault)));
      return;
    }
    const body = { name, appId: app.appId, appSettings, description: description || null, isPublic, guests: isPublic && guests };
    const { data } = await send("POST", "/rooms", { body });
    go(roomPath(data.id));
  });
  return html`<${Form} onSend=${opening.begin}>
    <${Field} label=${words.open.name}><input required maxlength="255" value=${name} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /><//>
    <${Field} label=${words.open.optional(words.open.description)}>
      <textarea rows="2" maxlength="2000" value=${description} onInput=${(/** @type {any} */ event) => setDescription(event.target.value)}></textarea><//>
    <fieldset><legend>${words.open.whoSees}</legend>
      <label class="check"><input type="radio" name="public" checked=${isPublic} onChange=${() => setPublic(true)} />
        <span>${words.open.public}</span><small>${words.open.publicMeans}</small></label>
      <label class="check"><input type="radio" name="public" checked=${!isPublic} onChange=${() => setPublic(false)} />
        <span>${words.open.private}</span><small>${words.open.privateMeans}</small></label>
      ${isPublic && html`<label class="check"><input type="checkbox" checked=${guests} onChange=${(/** @type {any} */ event) => setGuests(event.target.checked)} />
        <span>${words.open.guests}</span><small>${words.open.guestsMean}</small></label>`}
    </fieldset>
    <fieldset><legend>${words.open.settings(app.manifest.meta.name)}</legend>
      <${SettingsForm} schema=${schema} value=${settings} onChange=${setSettings} /></fieldset>
    ${misread && html`<div class="trouble" role="alert"><p>${misread}</p></div>`}
    <${Trouble} of=${opening.fault} />
    <${Button} type="submit" kind="main" busy=${opening.busy}>${words.open.open}<//>
  <//>`;
};

export const OpenRoom = () => {
  const apps = useList((cursor) => send("GET", "/apps", { query: { limit: 100, cursor } }), []);
  const [chosen, choose] = useState("");
  useEffect(() => { if (person.value === null) go("/login?next=/rooms/new", true); }, [person.value]);
  const usable = (apps.items || []).filter((/** @type {any} */ each) => !each.deprecation);
  const app = /** @type {any} */ (usable.find((/** @type {any} */ each) => each.appId === chosen) || usable[0]);
  return html`<div class="narrow"><h1>${words.open.title}</h1>
    <${Trouble} of=${apps.fault} />
    ${!apps.items && !apps.fault && html`<${Waiting} />`}
    ${apps.items && !usable.length && html`<div class="trouble"><p>${words.open.noApp}</p></div>`}
    ${usable.length > 1 && html`<${Field} label=${words.open.app} hint=${app.manifest.meta.description}>
      <select value=${app.appId} onChange=${(/** @type {any} */ event) => choose(event.target.value)}>
        ${usable.map((/** @type {any} */ each) => html`<option value=${each.appId}>${each.manifest.meta.name}</option>`)}
      </select><//>`}
    ${app && html`<${RoomForm} key=${app.appId} app=${app} />`}
  </div>`;
};
