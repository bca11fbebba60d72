// Signing in: at a provider, with a code by mail, or in development as a demo person.
// Providers come back to /auth/callback with tokens behind the `#`, or to /login with what failed.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

import { API, base, send } from "./api.js";
import { Button, Field, Form, Trouble, useRead, useWork, Waiting } from "./components.js";
import { html } from "./html.js";
import { go, place } from "./router.js";
import { arrive, enter, expectTokens, offered, person } from "./session.js";
import { language, words } from "./words.js";

const DEMO = ["alice", "bob", "charlie", "diana", "admin"].map((name) => `${name}@example.com`);

/** Where one was before signing in. */
const next = signal("/");

/** @param {string | null} path */
const sound = (path) => (path && /^\/(?![/\\])/.test(path) ? path : "/");

const goOn = () => go(next.value, true);

/** @param {{ providers: { name: string, title: string }[] }} props */
const Providers = ({ providers }) => {
  const query = new URLSearchParams({ redirect_url: next.value });
  return providers.map(({ name, title }) =>
    html`<a class="button main" href=${`${API}/auth/${name}?${query}`} onClick=${expectTokens}>${words.session.with(title)}</a>`);
};

const ByMail = () => {
  const [email, setEmail] = useState("");
  const [code, setCode] = useState("");
  const [challenge, setChallenge] = useState("");
  const asking = useWork(async () => {
    const { data } = await send("POST", "/auth/email/code", { body: { email: email.trim(), language } });
    setChallenge(data.challenge);
  });
  const entering = useWork(async () => {
    const body = { challenge, code: code.replace(/\s/g, "") };
    const { data } = await send("POST", "/auth/email/login", { body });
    await enter(data);
    goOn();
  });
  if (!challenge) {
    return html`<${Form} onSend=${asking.begin}>
      <${Field} label=${words.session.address}>
        <input type="email" required autocomplete="email" value=${email} onInput=${(/** @type {any} */ event) => setEmail(event.target.value)} />
      <//>
      <${Button} type="submit" kind="main" busy=${asking.busy}>${words.session.sendCode}<//>
      <${Trouble} of=${asking.fault} />
    <//>`;
  }
  return html`<${Form} onSend=${entering.begin}>
    <p>${words.session.codeSent(email)}</p>
    <${Field} label=${words.session.code}>
      <input class="code" inputmode="numeric" autocomplete="one-time-code" required maxlength="10" value=${code}
        onInput=${(/** @type {any} */ event) => setCode(event.target.value)} />
    <//>
    <${Button} type="submit" kind="main" busy=${entering.busy}>${words.session.signIn}<//>
    <${Button} onClick=${() => { setChallenge(""); setCode(""); }}>${words.session.another}<//>
    <${Trouble} of=${entering.fault} />
  <//>`;
};

const AsDemo = () => {
  const [email, setEmail] = useState(DEMO[0]);
  const [password, setPassword] = useState("password123");
  const entering = useWork(async () => {
    const { data } = await send("POST", "/auth/login", { body: { email, password } });
    await enter(data);
    goOn();
  });
  return html`<details><summary>${words.session.demo}</summary>
    <${Form} onSend=${entering.begin}>
      <${Field} label=${words.session.demoPerson}>
        <select value=${email} onChange=${(/** @type {any} */ event) => setEmail(event.target.value)}>
          ${DEMO.map((each) => html`<option value=${each}>${each}</option>`)}
        </select>
      <//>
      <${Field} label=${words.session.password}>
        <input value=${password} onInput=${(/** @type {any} */ event) => setPassword(event.target.value)} />
      <//>
      <${Button} type="submit" busy=${entering.busy}>${words.session.signIn}<//>
      <${Trouble} of=${entering.fault} />
    <//>
  </details>`;
};

const Ways = () => {
  const { value: ways, fault } = useRead(async () => (await send("GET", "/auth/ways")).data, []);
  if (fault) return html`<${Trouble} of=${fault} />`;
  if (!ways) return html`<${Waiting} />`;
  const none = !ways.providers.length && !ways.email && !ways.demo;
  return html`
    ${none && html`<p>${words.session.noWay}</p>`}
    <${Providers} providers=${ways.providers} />
    ${ways.email && html`<${ByMail} />`}
    ${ways.demo && html`${ways.email && html`<p><small>${words.session.mailsShown} <a href=${`${base}/dev/mails`} target="_blank">/dev/mails</a></small></p>`}<${AsDemo} />`}`;
};

const Offer = () => {
  const who = /** @type {NonNullable<typeof offered.value>} */ (offered.value);
  const entering = useWork(async () => {
    await enter(who.tokens);
    offered.value = null;
    goOn();
  });
  return html`<div class="card">
    <p>${words.session.offered(who.person.name || who.person.email)}</p>
    <${Button} kind="main" busy=${entering.busy} onClick=${entering.begin}>${words.session.goOnAs(who.person.name || who.person.email)}<//>
    <${Button} onClick=${() => { offered.value = null; go("/login", true); }}>${words.session.notMe}<//>
    <${Trouble} of=${entering.fault} />
  </div>`;
};

export const SignIn = () => {
  const { query } = place.value;
  const arriving = useWork(async (/** @type {URLSearchParams} */ fragment) => {
    await arrive(fragment);
    if (person.value) goOn();
  });
  useEffect(() => {
    const fragment = new URLSearchParams(location.hash.slice(1));
    next.value = sound(fragment.get("redirect_url") || query.get("next") || sessionStorage.getItem("event-platform next"));
    if (!fragment.has("access_token")) return;
    // Tokens don't stay in the address.
    history.replaceState(null, "", location.pathname);
    arriving.begin(fragment);
  }, []);
  if (arriving.busy) return html`<${Waiting} />`;
  if (offered.value) return html`<${Offer} />`;
  if (person.value && !person.value.guestOf) return html`<p>${words.session.signedInAs(person.value.name || person.value.email)}</p>
    <${Button} kind="main" onClick=${goOn}>${words.common.goOn}<//>`;
  const reason = query.get("reason") || "";
  const failed = query.get("error") && (/** @type {Record<string, string>} */ (words.refused)[reason] || words.refused.OTHER);
  return html`<div class="narrow"><h1>${words.session.signIn}</h1>
    ${failed && html`<div class="trouble" role="alert"><p>${failed}</p></div>`}
    <${Trouble} of=${arriving.fault} />
    <${Ways} />
  </div>`;
};
