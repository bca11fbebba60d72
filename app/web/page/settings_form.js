// A form for what an app's JSON Schema asks of a room. What it can't show as fields is written as JSON.
import { Field } from "./components.js";
import { html } from "./html.js";
import { words } from "./words.js";

/** @typedef {Record<string, any>} Schema */

/** @param {Schema} schema */
const kindOf = (schema) => {
  if (Array.isArray(schema.enum)) return "enum";
  const type = Array.isArray(schema.type) ? schema.type.find((/** @type {string} */ each) => each !== "null") : schema.type;
  if (type === "object" && schema.properties) return "object";
  if (type === "array" && schema.items && ["string", "integer", "number"].includes(kindOf(schema.items))) return "list";
  if (type === "string" && schema.format === "date-time") return "moment";
  return ["string", "integer", "number", "boolean"].includes(type) ? type : "json";
};

/** `drawDate` is read as *Draw date*. @param {string} name */
const spelled = (name) => {
  const apart = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replaceAll("_", " ").toLowerCase();
  return apart.charAt(0).toUpperCase() + apart.slice(1);
};

/** @param {string} iso */
const local = (iso) => {
  const moment = new Date(iso);
  return new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};

/**
 * The settings that a form begins with.
 * @param {Schema} schema
 * @returns {any}
 */
export const beginning = (schema) => {
  if (schema.default !== undefined) return schema.default;
  if (kindOf(schema) !== "object") return undefined;
  const members = Object.entries(schema.properties).map(([name, each]) => [name, beginning(/** @type {Schema} */ (each))]);
  return Object.fromEntries(members.filter(([, value]) => value !== undefined));
};

/**
 * What of a form is sent: what was left empty is left out, and JSON is read.
 * @param {Schema} schema
 * @param {any} value
 * @returns {any}
 * @throws {SyntaxError} what is written as JSON is none
 */
export const filledIn = (schema, value) => {
  const kind = kindOf(schema);
  if (value === undefined || value === "") return undefined;
  if (kind === "object") {
    const members = Object.entries(schema.properties).map(([name, each]) => [name, filledIn(/** @type {Schema} */ (each), value[name])]);
    return Object.fromEntries(members.filter(([, each]) => each !== undefined));
  }
  if (kind === "json" && typeof value === "string") return JSON.parse(value);
  if (kind === "list" && typeof value === "string") {
    const lines = value.split("\n").map((each) => each.trim()).filter(Boolean);
    return kindOf(schema.items) === "string" ? lines : lines.map(Number);
  }
  return value;
};

/**
 * @param {{ schema: Schema, value: any, required: boolean, onChange: (value: any) => void }} props
 */
const Input = ({ schema, value, required, onChange }) => {
  const kind = kindOf(schema);
  const typed = (/** @type {any} */ event) => onChange(event.target.value);
  if (kind === "enum") {
    return html`<select required=${required} value=${JSON.stringify(value)}
      onChange=${(/** @type {any} */ event) => onChange(event.target.value ? JSON.parse(event.target.value) : undefined)}>
      <option value="">–</option>
      ${schema.enum.map((/** @type {any} */ each) => html`<option value=${JSON.stringify(each)}>${String(each)}</option>`)}
    </select>`;
  }
  if (kind === "integer" || kind === "number") {
    return html`<input type="number" required=${required} value=${value ?? ""} min=${schema.minimum} max=${schema.maximum}
      step=${kind === "integer" ? 1 : "any"}
      onInput=${(/** @type {any} */ event) => onChange(event.target.value === "" ? undefined : event.target.valueAsNumber)} />`;
  }
  if (kind === "moment") {
    return html`<input type="datetime-local" required=${required} value=${value ? local(value) : ""}
      onInput=${(/** @type {any} */ event) => onChange(event.target.value ? new Date(event.target.value).toISOString() : undefined)} />`;
  }
  if (kind === "list" || kind === "json") {
    const text = typeof value === "string" || value === undefined ? value || ""
      : kind === "list" ? value.join("\n") : JSON.stringify(value, null, 2);
    return html`<textarea rows=${kind === "list" ? 3 : 6} required=${required} class=${kind} spellcheck=${kind === "list"} value=${text} onInput=${typed}></textarea>`;
  }
  return html`<input required=${required} minlength=${schema.minLength} maxlength=${schema.maxLength} pattern=${schema.pattern}
    value=${value ?? ""} onInput=${typed} />`;
};

/**
 * The fields of an object's members.
 * @param {{ schema: Schema, value: any, onChange: (value: any) => void }} props
 * @returns {any}
 */
export const SettingsForm = ({ schema, value, onChange }) => {
  const needed = new Set(schema.required || []);
  return Object.entries(schema.properties || {}).map(([name, each]) => {
    const member = /** @type {Schema} */ (each);
    const kind = kindOf(member);
    const label = member.title || spelled(name);
    const change = (/** @type {any} */ next) => onChange({ ...value, [name]: next });
    const present = value && value[name];
    if (kind === "object") {
      return html`<fieldset><legend>${label}</legend>${member.description && html`<small>${member.description}</small>`}
        <${SettingsForm} schema=${member} value=${present || {}} onChange=${change} /></fieldset>`;
    }
    if (kind === "boolean") {
      return html`<label class="check"><input type="checkbox" checked=${Boolean(present)}
        onChange=${(/** @type {any} */ event) => change(event.target.checked)} /><span>${label}</span>
        ${member.description && html`<small>${member.description}</small>`}</label>`;
    }
    const hint = [
      member.description,
      kind === "list" && words.open.onePerLine,
      kind === "json" && words.open.asJson(JSON.stringify(member.items || member)),
    ].filter(Boolean).join(" ");
    return html`<${Field} label=${needed.has(name) ? label : words.open.optional(label)} hint=${hint}>
      <${Input} schema=${member} value=${present} required=${needed.has(name)} onChange=${change} />
    <//>`;
  });
};
