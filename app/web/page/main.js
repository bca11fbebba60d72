// The first module: shows the page that belongs to the address.
import { render } from "preact";
import { useEffect } from "preact/hooks";

import { underWay } from "./api.js";
import { Link } from "./components.js";
import { html } from "./html.js";
import { OpenRoom } from "./open_room.js";
import { Room } from "./room.js";
import { Rooms } from "./rooms.js";
import { place } from "./router.js";
import { begin, leave, person } from "./session.js";
import { SignIn } from "./sign_in.js";
import { LANGUAGES, language, speak, words } from "./words.js";

const Header = () => {
  const who = person.value;
  return html`<header>
    <${Link} to="/" class="home">Event Platform<//>
    ${who && html`<span class="who">${who.name || who.email}</span>
      <button type="button" class="plain" onClick=${leave}>${words.session.leave}</button>`}
    ${who === null && place.value.page !== "sign-in" && html`<${Link} to="/login" class="button">${words.session.signIn}<//>`}
    <div class="progress" hidden=${!underWay.value} role="progressbar" aria-label=${words.common.working}></div>
  </header>`;
};

const Page = () => {
  const { page, room, tab } = place.value;
  if (person.value === undefined && page !== "sign-in") return html`<p class="waiting" role="status">${words.common.loading}</p>`;
  if (page === "sign-in") return html`<${SignIn} />`;
  if (page === "open") return html`<${OpenRoom} />`;
  if (page === "room" && room && tab) return html`<${Room} key=${room} id=${room} tab=${tab} />`;
  if (page === "rooms") return html`<${Rooms} />`;
  return html`<h1>${words.common.nothing}</h1>`;
};

const App = () => {
  const { page } = place.value;
  useEffect(() => { document.title = "Event Platform"; }, [page]);
  return html`<${Header} /><main><${Page} /></main>`;
};

/** What stands below every page, without JavaScript too. */
const translateFooter = () => {
  const nav = /** @type {HTMLElement} */ (document.querySelector("footer nav"));
  for (const link of nav.querySelectorAll("a")) {
    const name = new URL(link.href).pathname.split("/").filter(Boolean).find((each) => each in words.footer);
    if (name) link.textContent = /** @type {Record<string, string>} */ (words.footer)[name];
  }
  for (const [code, name] of Object.entries(LANGUAGES)) {
    if (code === language) continue;
    const other = document.createElement("button");
    other.type = "button";
    other.lang = code;
    other.textContent = name;
    other.addEventListener("click", () => speak(code));
    nav.append(other);
  }
};

const root = /** @type {HTMLElement} */ (document.getElementById("page"));
document.documentElement.lang = language;
translateFooter();
root.replaceChildren();
render(html`<${App} />`, root);
if (place.value.page !== "sign-in" || !location.hash) begin();
