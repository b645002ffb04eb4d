// Who has one rule: how many of the fleet have confirmed it as it is now, and what the others have.

import { ask, rulePath } from "./api.js";
import { fill, h, number, table } from "./dom.js";
import { every } from "./every.js";

const SECONDS = 1;
const NAMED = 200;
const WORDS = { rejected: "rejects it", differs: "differs", unknown: "not known", has: "has it" };

/** Return a card that follows who has a rule; nothing for a token that may not see the fleet. */
export async function whoHas(id, signal) {
  const said = h("p", { role: "status" });
  const done = h("progress", { "aria-label": "Workers that have this rule", max: 1, value: 0 });
  const others = h("div", {});
  let shown = "";

  async function look() {
    const { workers } = await ask("GET", rulePath(id, "/fleet"), { signal });
    const lacking = workers.filter((one) => one.has !== "has");
    const text = workers.length
      ? `${number(workers.length - lacking.length)} of ${number(workers.length)} workers have confirmed this rule as it is now.`
      : "No worker has told which rules it runs.";
    if (said.textContent !== text) said.textContent = text;
    done.max = Math.max(1, workers.length);
    done.value = workers.length - lacking.length;
    done.hidden = workers.length === 0;
    const now = JSON.stringify(lacking);
    if (now === shown) return;
    shown = now;
    fill(others, lacking.length > NAMED ? h("p", { class: "hint" }, `The first ${NAMED} of ${number(lacking.length)}:`) : null,
      lacking.length ? table("Workers that have not confirmed it", ["Worker", "This rule", "Why", "Position"],
        lacking.slice(0, NAMED).map((one) => [one.worker, WORDS[one.has], one.why, one.loaded === null ? "" : String(one.loaded)])) : null);
  }

  try {
    await every(SECONDS, signal, look);
  } catch (error) {
    if (error.status === 403) return null;
    throw error;
  }
  return h("section", { class: "card", id: "who-has" }, h("h2", {}, "Who has it"), said, done, others);
}
