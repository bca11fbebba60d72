// What Piccolo Admin's page lacks: columns that can't be changed are not offered, a form's manifest
// has room and its choices are listed, the first page is the dashboard, times and ids are short, and a
// refused deletion from a list says why.
"use strict";

const editable = new Map();
const documents = new Map();
const fields = new Map();

// An old shim asks for the global object with `new Function("return this")`, which the page's policy
// forbids and the browser reports. It gets what it asks for without an evaluation.
const evaluating = window.Function;
const answer = (target, code, otherwise) =>
  code.length === 1 && code[0] === "return this" ? () => window : otherwise();
window.Function = new Proxy(evaluating, {
  construct: (target, code) => answer(target, code, () => Reflect.construct(target, code)),
  apply: (target, self, code) => answer(target, code, () => Reflect.apply(target, self, code)),
});
document.addEventListener("DOMContentLoaded", () => { window.Function = evaluating; });

const original = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url, ...rest) {
  this.addEventListener("load", () => {
    const schema = /(tables|forms)\/([\w-]+)\/schema\/$/.exec(url);
    if (schema && this.status === 200) {
      const described = JSON.parse(this.responseText);
      if (schema[1] === "forms") fields.set(schema[2], described.properties);
      else {
        const isDocument = (name) => described.properties[name].extra?.widget === "json";
        documents.set(schema[2], Object.keys(described.properties).filter(isDocument));
        editable.set(schema[2], described.extra.editable);
      }
    }
    if (method.toUpperCase() === "DELETE" && this.status === 422 && isList()) {
      window.alert(JSON.parse(this.responseText).custom_form_error);
    }
    if (this.status === 403 && this.getResponseHeader("x-second-factor")) {
      location.assign("./api/mfa-setup/");
    }
  });
  return original.call(this, method, url, ...rest);
};

function isList() {
  return /^#\/\w+\/?(\?|$)/.test(location.hash);
}

function disableFixed() {
  const table = /^#\/(?!forms\/)(\w+)\/[^/?]+/.exec(location.hash);
  const columns = table && editable.get(table[1]);
  if (!columns) return;
  for (const input of document.querySelectorAll("form [name]")) {
    // What is seen of a date or of a row's picker is beside the input that has the name.
    const seen = input.type === "hidden" ? input.parentElement.querySelectorAll("input, select") : [];
    for (const each of [input, ...seen]) each.disabled = !columns.includes(input.name);
    if (documents.get(table[1]).includes(input.name)) input.classList.add("document");
  }
  document.body.classList.toggle("fixed", columns.length === 0);
}

function improveForm() {
  const form = /^#\/forms\/([\w-]+)/.exec(location.hash);
  for (const [name, field] of Object.entries((form && fields.get(form[1])) || {})) {
    const input = document.querySelector(`form input[name="${name}"]`);
    if (!input || !(field.choices || field.multiline)) continue;
    input.hidden = true;
    input.removeAttribute("name");
    input.before(field.choices ? selectOf(name, field.choices) : textOf(name));
  }
}

function selectOf(name, choices) {
  const select = Object.assign(document.createElement("select"), { name, className: "plain" });
  select.append(...choices.map((choice) => new Option(choice)));
  return select;
}

function textOf(name) {
  return Object.assign(document.createElement("textarea"), { name, rows: 20, spellcheck: false });
}

// A fault that names its line leads to it.
document.addEventListener("click", (event) => {
  const line = /^line (\d+)/.exec(event.target.closest(".errors li")?.textContent ?? "");
  const text = document.querySelector("form textarea");
  if (!line || !text) return;
  const lines = text.value.split("\n");
  const start = lines.slice(0, line[1] - 1).join("\n").length + (line[1] > 1 ? 1 : 0);
  text.focus();
  text.setSelectionRange(start, start + lines[line[1] - 1].length);
  text.scrollTop = (text.scrollHeight / lines.length) * (line[1] - 5);
});

// The first page says what is going on.
async function showDashboard() {
  const place = document.querySelector(".welcome");
  if (!place || place.dataset.asked) return;
  place.dataset.asked = "yes";
  const answer = await fetch("./api/dashboard/", { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const dashboard = page.querySelector(".dashboard");
  for (const link of dashboard.querySelectorAll("a")) {
    link.setAttribute("href", link.getAttribute("href").replace("../../", "./"));
  }
  place.append(dashboard);
}

const MOMENT = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/;
const CUID = /^c[a-z0-9]{24}$/;

function shorten() {
  for (const body of document.querySelectorAll("tbody")) {
    const texts = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { data, parentElement } = texts.currentNode;
      const short = CUID.test(data) ? `…${data.slice(-6)}` : data.replace(MOMENT, "$1 $2Z");
      if (short === data) continue;
      parentElement.title = data;
      texts.currentNode.data = short;
    }
  }
}

new MutationObserver(() => {
  disableFixed();
  improveForm();
  shorten();
  showDashboard();
}).observe(document, { childList: true, subtree: true });
