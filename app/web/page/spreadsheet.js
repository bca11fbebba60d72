// People from a spreadsheet: chosen or dropped, looked at as the server reads it, then brought in.
import { useState } from "preact/hooks";

import { newKey, send } from "./api.js";
import { Button, Faulty, Field, Trouble, useWork } from "./components.js";
import { html } from "./html.js";
import { words } from "./words.js";

const WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const MEANINGS = ["email", "name", "firstName", "lastName", "role", "metadataMember", "nothing"];
/** How the API calls the choice of a column. @type {Record<string, string>} */
const PARAMETERS = {
  email: "emailColumn", name: "nameColumn", firstName: "firstNameColumn", lastName: "lastNameColumn", role: "roleColumn",
};

/** What Excel saves as CSV in Russia is in windows-1251: not UTF-8. @param {File} file */
const typeOf = async (file) => {
  if (/\.xlsx$/i.test(file.name)) return WORKBOOK;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    return "text/csv";
  } catch {
    return "text/csv; charset=windows-1251";
  }
};

/**
 * What the API is asked with, of what was chosen for each column.
 * @param {Record<string, string>} chosen
 */
const queryOf = (chosen) => {
  /** @type {Record<string, any>} */
  const query = { extra: "ignore", metadataColumn: [] };
  for (const [name, meaning] of Object.entries(chosen)) {
    if (meaning === "metadataMember") query.metadataColumn.push(name);
    else if (PARAMETERS[meaning]) query[PARAMETERS[meaning]] = name;
  }
  return query;
};

/** @param {{ room: any, again: () => Promise<void> }} props */
export const Spreadsheet = ({ room, again }) => {
  const [file, setFile] = useState(/** @type {File | null} */ (null));
  const [type, setType] = useState("");
  const [chosen, choose] = useState(/** @type {Record<string, string>} */ ({}));
  const [seen, setSeen] = useState(/** @type {any} */ (null));
  const [done, setDone] = useState(/** @type {any} */ (null));
  const [key, setKey] = useState("");
  const path = `/rooms/${room.id}/participants/bulk`;

  const looking = useWork(async (/** @type {File} */ given, /** @type {string} */ as, /** @type {Record<string, any>} */ query) => {
    setDone(null);
    const { data } = await send("POST", path, { raw: given, type: as, query: { ...query, preview: true }, key: newKey() });
    setSeen(data);
    choose(Object.fromEntries(data.columns.map((/** @type {any} */ each) => [each.name, each.readAs])));
    setKey(newKey());
  });
  const take = async (/** @type {File | undefined} */ given) => {
    if (!given) return;
    const as = await typeOf(given);
    setFile(given);
    setType(as);
    setSeen(null);
    await looking.begin(given, as, { extra: "metadata" });
  };
  const change = (/** @type {string} */ name, /** @type {string} */ meaning) => {
    const next = { ...chosen, [name]: meaning };
    choose(next);
    looking.begin(/** @type {File} */ (file), type, queryOf(next));
  };
  const bringing = useWork(async () => {
    const { data } = await send("POST", path, { raw: /** @type {File} */ (file), type, query: queryOf(chosen), key });
    setSeen(null);
    setFile(null);
    setDone(data);
    await again();
  });

  return html`<section class="card" onDragOver=${(/** @type {Event} */ event) => event.preventDefault()}
    onDrop=${(/** @type {any} */ event) => { event.preventDefault(); take(event.dataTransfer.files[0]); }}>
    <h2>${words.sheet.title}</h2><p>${words.sheet.means}</p>
    <${Field} label=${words.sheet.file}><input type="file" accept=".csv,.tsv,.txt,.xlsx"
      onChange=${(/** @type {any} */ event) => { take(event.target.files[0]); event.target.value = ""; }} /><//>
    <${Trouble} of=${looking.fault || bringing.fault} />
    ${done && html`<div role="status"><p><b>${words.sheet.done(done)}</b></p><${Faults} of=${done} /></div>`}
    ${seen && html`<h3>${file && file.name}</h3>
      ${seen.refusal && html`<div class="trouble" role="alert"><p>${seen.refusal.message}</p>
        <${Faulty} fields=${(seen.refusal.details || {}).fields} /></div>`}
      ${seen.columns.map((/** @type {any} */ column) => html`<${Field} label=${column.name || words.sheet.nameless}
          hint=${[column.examples.join(", "), column.isWeight && words.sheet.isWeight].filter(Boolean).join(" · ")}>
        <select value=${chosen[column.name]} onChange=${(/** @type {any} */ event) => change(column.name, event.target.value)}>
          ${MEANINGS.includes(chosen[column.name]) ? null : html`<option value=${chosen[column.name]}>${chosen[column.name]}</option>`}
          ${MEANINGS.map((each) => html`<option value=${each}>${words.sheet.meanings[/** @type {keyof typeof words.sheet.meanings} */ (each)]}</option>`)}
        </select><//>`)}
      <p>${words.sheet.foreseen(seen)}</p>
      <${Faults} of=${seen} />
      <ul class="rows">${seen.lines.filter((/** @type {any} */ each) => each.email).slice(0, 5).map((/** @type {any} */ each) => html`<li>
        <b>${each.name || words.people.unnamed}</b> <small>${each.email} ${each.metadata ? Object.entries(each.metadata).map(([name, value]) => `${name}: ${value}`).join(", ") : ""}</small></li>`)}</ul>
      <${Button} kind="main" busy=${bringing.busy || looking.busy} disabled=${Boolean(seen.refusal) || !(seen.added + seen.cameBack)} onClick=${() => bringing.begin()}>
        ${words.sheet.bring(seen.added + seen.cameBack)}<//>`}
  </section>`;
};

/** The lines that keep somebody out, each with why. @param {{ of: any }} props */
const Faults = ({ of }) => of.faults.length ? html`<div class="trouble"><p>${words.sheet.failed(of.failed)}</p>
  <ul>${of.faults.slice(0, 20).map((/** @type {any} */ each) => html`<li>${words.sheet.line(each.line)} ${each.error && each.error.message}
    ${each.error && each.error.details && each.error.details.fields ? Object.values(each.error.details.fields).join(" ") : ""}</li>`)}</ul></div>` : null;
