// What all pages are made of.
import { useEffect, useRef, useState } from "preact/hooks";

import { Fault, base } from "./api.js";
import { html } from "./html.js";
import { words } from "./words.js";

/** @typedef {import("preact").ComponentChildren} Children */

/**
 * A link to a page of ours, below PUBLIC_URL.
 * @param {{ to: string, class?: string, current?: boolean, children?: Children }} props
 */
export const Link = ({ to, current, children, ...more }) =>
  html`<a href=${base + to} aria-current=${current ? "page" : null} ...${more}>${children}</a>`;

/**
 * What went wrong and what to do, in words.
 * @param {unknown} fault
 * @returns {string}
 */
export const told = (fault) => {
  if (!(fault instanceof Fault)) return words.faults.UNKNOWN(fault instanceof Error ? fault.message : String(fault));
  const known = /** @type {Record<string, any>} */ (words.faults)[fault.code];
  if (typeof known === "function") return known(fault);
  return known || words.faults.UNKNOWN(fault.message);
};

/** Which fields are faulty, and why. @param {{ fields: Record<string, string> | undefined }} props */
export const Faulty = ({ fields }) => fields
  ? html`<ul>${Object.entries(fields).map(([name, fault]) => html`<li><b>${name.replace(/^\$\.?/, "")}</b> ${fault}</li>`)}</ul>` : null;

/** @param {{ of: unknown }} props */
export const Trouble = ({ of }) => {
  if (!of) return null;
  const fields = of instanceof Fault && of.details.fields;
  return html`<div class="trouble" role="alert">
    <p>${told(of)}</p>
    <${Faulty} fields=${fields} />
  </div>`;
};

/**
 * Work that one begins: it runs once at a time, and says how it ended.
 * @template {any[]} Given
 * @param {(...given: Given) => Promise<unknown>} work
 * @returns {{ begin: (...given: Given) => Promise<void>, busy: boolean, fault: unknown, forgive: () => void }}
 */
export const useWork = (work) => {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState(/** @type {unknown} */ (null));
  const running = useRef(false);
  const begin = async (/** @type {Given} */ ...given) => {
    if (running.current) return;
    running.current = true;
    setBusy(true);
    setFault(null);
    try {
      await work(...given);
    } catch (failure) {
      setFault(failure);
    } finally {
      running.current = false;
      setBusy(false);
    }
  };
  return { begin, busy, fault, forgive: () => setFault(null) };
};

/**
 * Something that is read when it is shown; `again` reads it anew.
 * @template T
 * @param {() => Promise<T>} read
 * @param {unknown[]} upon read anew when one of these changes
 * @returns {{ value: T | undefined, fault: unknown, again: () => Promise<void> }}
 */
export const useRead = (read, upon) => {
  const [value, setValue] = useState(/** @type {T | undefined} */ (undefined));
  const [fault, setFault] = useState(/** @type {unknown} */ (null));
  const turn = useRef(0);
  const again = async () => {
    turn.current += 1;
    const mine = turn.current;
    try {
      const found = await read();
      if (mine !== turn.current) return;
      setValue(/** @type {any} */ (() => found));
      setFault(null);
    } catch (failure) {
      if (mine === turn.current) setFault(failure);
    }
  };
  useEffect(() => { again(); }, upon);
  return { value, fault, again };
};

/**
 * A button that shows that it is at work.
 * @param {{ busy?: boolean, kind?: "main" | "plain" | "grave", onClick?: () => void, type?: "button" | "submit",
 *   disabled?: boolean, children?: Children, [more: string]: any }} props
 */
export const Button = ({ busy, kind = "plain", type = "button", disabled, children, ...more }) =>
  html`<button type=${type} class=${kind} aria-busy=${busy ? "true" : null} disabled=${busy || disabled} ...${more}>
    ${children}
  </button>`;

/**
 * A field with its label, and a sentence that explains it.
 * @param {{ label: string, hint?: string, children?: Children }} props
 */
export const Field = ({ label, hint, children }) =>
  html`<label class="field"><span>${label}</span>${hint && html`<small>${hint}</small>`}${children}</label>`;

/**
 * A form that sends what is in it.
 * @param {{ onSend: () => void, children?: Children, class?: string }} props
 */
export const Form = ({ onSend, children, ...more }) =>
  html`<form onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); onSend(); }} ...${more}>${children}</form>`;

/**
 * Something that can't be undone: it is asked once more before it is done.
 * @param {{ label: string, sure: string, busy?: boolean, onSure: () => void, kind?: "plain" | "grave" }} props
 */
export const Grave = ({ label, sure, busy, onSure, kind = "grave" }) => {
  const [asked, ask] = useState(false);
  if (!asked) return html`<${Button} kind="plain" busy=${busy} onClick=${() => ask(true)}>${label}<//>`;
  return html`<span class="sure" role="group" aria-label=${sure}>
    <span>${sure}</span>
    <${Button} kind=${kind} busy=${busy} onClick=${() => { ask(false); onSure(); }}>${label}<//>
    <${Button} onClick=${() => ask(false)}>${words.common.no}<//>
  </span>`;
};

/**
 * A list that goes on when one asks for more.
 * @template T
 * @param {(cursor?: string) => Promise<import("./api.js").Answer>} read
 * @param {unknown[]} upon
 */
export const useList = (read, upon) => {
  const first = useRead(() => read(), upon);
  const [more, setMore] = useState(/** @type {import("./api.js").Answer[]} */ ([]));
  useEffect(() => setMore([]), [first.value]);
  const pages = first.value ? [first.value, ...more] : [];
  const cursor = pages.length ? pages[pages.length - 1].meta.nextCursor : null;
  const going = useWork(async () => { setMore([...more, await read(cursor)]); });
  return {
    /** @type {T[] | undefined} */
    items: first.value && pages.flatMap((each) => each.data),
    meta: first.value && first.value.meta,
    fault: first.fault || going.fault,
    again: first.again,
    more: cursor ? html`<${Button} busy=${going.busy} onClick=${() => going.begin()}>${words.common.more}<//>` : null,
  };
};

/**
 * How a list stands: what went wrong, that it is coming, or that nothing is in it.
 * @param {{ of: { items: unknown[] | undefined, fault: unknown }, none: string }} props
 */
export const Standing = ({ of, none }) => html`<${Trouble} of=${of.fault} />
  ${!of.items && !of.fault && html`<${Waiting} />`}
  ${of.items && !of.items.length && html`<p>${none}</p>`}`;

export const Waiting = () => html`<p class="waiting" role="status">${words.common.loading}</p>`;
