// Fleet: who has which rules, as squares and as a table; those that run others than they should first.

import { ask } from "./api.js";
import { duration, facts, fill, h, number } from "./dom.js";
import { every } from "./every.js";
import { LongTable } from "./rows.js";

const SECONDS = 3;
const WORDS = {
  drift: "runs other rules", silent: "silent", behind: "taking changes in", unknown: "has not said", current: "as intended",
};

/** Show every worker, those in trouble first. */
export async function showFleet(view, { signal }) {
  const words = h("input", { id: "words", type: "search", placeholder: "worker, engine or rule", input: draw });
  const state = h("select", { id: "verdict", change: draw }, h("option", { value: "" }, "all"),
    Object.entries(WORDS).map(([value, text]) => h("option", { value }, text)));
  const summary = h("p", { class: "hint", role: "status" });
  const intended = h("div", {});
  const squares = h("div", { class: "squares", role: "img" });
  let found = [];
  let shown = "";
  const list = new LongTable("Workers", ["Worker", "Is", "Delivered", "Loaded", "Told", "Engine", "Differs in"], cells);

  function cells(one) {
    return [
      one.worker, WORDS[one.verdict], place(one.delivered), place(one.loaded),
      one.told_at ? `${duration(Math.max(0, (Date.now() - new Date(one.told_at)) / 1000))} ago` : "never",
      `${one.engine ?? ""} ${one.version ?? ""}`.trim(), differing(one),
    ];
  }

  function draw() {
    const wanted = words.value.toLowerCase();
    list.set(found.filter((one) => (!state.value || one.verdict === state.value) && one.text.includes(wanted)));
  }

  fill(view, h("h1", {}, "Fleet"), summary, intended, squares,
    h("div", { class: "filters" }, h("div", {}, h("label", { for: "words" }, "Search"), words),
      h("div", {}, h("label", { for: "verdict" }, "Worker is"), state)), list.element);
  signal.addEventListener("abort", () => list.resize.disconnect());
  await every(SECONDS, signal, async () => {
    const answer = await ask("GET", "/v1/fleet", { signal });
    found = answer.workers.map((one) => ({ ...one, text: `${one.worker} ${one.process} ${one.engine ?? ""} ${differing(one)}`.toLowerCase() }));
    const parts = Object.entries(answer.count).filter(([, count]) => count).map(([verdict, count]) => `${number(count)} ${WORDS[verdict]}`);
    summary.textContent = `${number(found.length)} workers${parts.length ? `: ${parts.join(", ")}` : ""}`;
    squares.setAttribute("aria-label", summary.textContent);
    const now = JSON.stringify([answer.intended, found.map((one) => [one.worker, one.verdict])]);
    if (now !== shown) {
      shown = now;
      const { rules, since, held, hash } = answer.intended;
      fill(intended, facts([["Rules", number(rules)], ["Unchanged since", `position ${since}`],
        ["Held at", held === null ? null : `position ${held}`], ["Hash", h("code", {}, hash.slice(0, 12))]]));
      fill(squares, found.slice(0, 3000).map((one) => h("span", { class: one.verdict, title: `${one.worker}: ${WORDS[one.verdict]}` })));
    }
    draw();
  });
}

function place(position) {
  return position === null || position === undefined ? "" : number(position);
}

function differing(one) {
  const reasons = Object.fromEntries(one.rejected ?? []);
  const named = one.differs.slice(0, 5).map(([id, word]) => (id in reasons ? `${id} rejected: ${reasons[id]}` : `${id} ${word}`));
  const more = (one.differing ?? 0) - named.length;
  return [...named, ...(more > 0 ? [`${number(more)} more`] : [])].join(", ");
}
