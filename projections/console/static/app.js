// The console: which page is shown, and who is signed in.

import { ask } from "./api.js";
import { showCompare } from "./compare.js";
import { fill, h, tell } from "./dom.js";
import { showFleet } from "./fleet.js";
import { showIntegrity } from "./integrity.js";
import { showOverview } from "./overview.js";
import { showRule } from "./rule.js";
import { showRules } from "./rules.js";
import { showSignIn } from "./sign_in.js";
import { showTimeline } from "./timeline.js";

const PAGES = [
  ["overview", "Overview", showOverview],
  ["rules", "Rules", showRules],
  ["timeline", "Timeline", showTimeline],
  ["fleet", "Fleet", showFleet],
  ["integrity", "Integrity", showIntegrity],
];

/** What is shown for a page with more in its address. */
const PARTS = { rules: showRule, timeline: showCompare };

const view = document.getElementById("view");
const pages = document.getElementById("pages");
const who = document.getElementById("who");
let session = null;
let shown = new AbortController();

/** Whether who is signed in may do what needs a scope. */
function allows(scope) {
  return session.scopes.includes(scope) || session.scopes.includes("admin");
}

/** Show the page that the address names. Everything that the last one began ends by its signal. */
async function show() {
  shown.abort();
  shown = new AbortController();
  if (session === null) return showSignIn(view, start);
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const page = PAGES.find(([key]) => key === name) ?? PAGES[0];
  for (const link of pages.children) {
    if (link.dataset.page === page[0]) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const parts = rest.map(decodeURIComponent);
  const given = parts.join("/");
  const open = (given && PARTS[page[0]]) || page[2];
  document.title = `${given || page[1]} · Eventstore`;
  const signal = shown.signal;
  try {
    await open(view, { allows, given, parts, signal });
    if (!signal.aborted) view.focus({ preventScroll: true });
  } catch (error) {
    fail(error, signal);
  }
}

/** Show what went wrong, unless the page was left meanwhile. */
export function fail(error, signal) {
  if (signal.aborted || error.name === "AbortError") return;
  if (error.status === 401) return start();
  fill(view, h("h1", {}, error.title ?? "Something went wrong"), h("p", { role: "alert" }, error.message),
    h("button", { click: show }, "Try again"));
}

/** Find out who is signed in, and show the page. */
async function start() {
  try {
    ({ session } = await ask("GET", "/v1/session"));
  } catch (error) {
    session = null;
    tell(error.message, "bad");
  }
  pages.hidden = who.hidden = session === null;
  fill(pages, PAGES.map(([key, title]) => h("a", { href: `#/${key}`, "data-page": key }, title)));
  if (session !== null) {
    const act = session.anonymous ? ["Sign in", () => showSignIn(view, start)] : ["Sign out", leave];
    fill(who, h("span", {}, session.name), h("button", { type: "button", click: act[1] }, act[0]));
  }
  await show();
}

async function leave() {
  await ask("DELETE", "/v1/session");
  location.hash = "";
  await start();
}

addEventListener("hashchange", show);
start();
