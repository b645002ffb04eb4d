// Fleet: who follows the log, and how far each has come; those that are behind first.

import { ask } from "./api.js";
import { duration, fill, h, number } from "./dom.js";
import { every } from "./every.js";
import { LongTable } from "./rows.js";

const SECONDS = 3;

/** Show every consumer, the slowest first. */
export async function showFleet(view, { signal }) {
  const words = h("input", { id: "words", type: "search", placeholder: "name or process", input: draw });
  const summary = h("p", { class: "hint", role: "status" });
  const squares = h("div", { class: "squares", role: "img" });
  let found = [];
  const list = new LongTable("Consumers", ["Consumer", "Position", "Behind", "Seen", "Process"], (one) => [
    one.name, number(one.position), one.lag ? `${number(one.lag)} events` : "up to date",
    `${duration(one.seen_seconds_ago)} ago`, one.owner,
  ]);

  function draw() {
    const wanted = words.value.toLowerCase();
    list.set(found.filter((one) => `${one.name} ${one.owner}`.toLowerCase().includes(wanted)));
  }

  fill(view, h("h1", {}, "Fleet"), summary, squares,
    h("div", { class: "filters" }, h("div", {}, h("label", { for: "words" }, "Search"), words)), list.element);
  signal.addEventListener("abort", () => list.resize.disconnect());
  await every(SECONDS, signal, async () => {
    const { consumers } = await ask("GET", "/v1/consumers", { signal });
    found = consumers;
    const late = found.filter((one) => one.lag > 0).length;
    summary.textContent = `${number(found.length)} consumers, ${late ? `${number(late)} behind` : "none behind"}`;
    squares.setAttribute("aria-label", summary.textContent);
    fill(squares, found.slice(0, 3000).map((one) => h("span", { class: one.lag ? "behind" : "current", title: `${one.name}: ${one.lag} behind` })));
    draw();
  });
}
