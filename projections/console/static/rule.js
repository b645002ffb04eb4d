// One rule: what it is, its state and who may change it, its file, its history.

import { ask, rulePath } from "./api.js";
import { diff, facts, fill, h, lazy, table, tell, time } from "./dom.js";
import { badge, rejectionsOf } from "./rules.js";
import { whoHas } from "./who_has.js";

/** Show a rule that stands, or what is left of one that was removed. */
export async function showRule(view, { allows, given, signal }) {
  const [rule, past, { rejections }] = await Promise.all([
    ask("GET", rulePath(given), { signal }).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    }),
    historyOf(given, signal),
    rejectionsOf(signal),
  ]);
  const history = past.toReversed();
  const rejected = rule && rejections.find((one) => one.source === rule.source && one.path === rule.path);
  const last = history.find((entry) => entry.kind === "defined");
  fill(view,
    h("p", {}, h("a", { href: "#/rules" }, "All rules")),
    h("h1", {}, given),
    rule === null ? h("p", { class: "card bad" }, last ? "This rule was removed." : "No rule of this id was ever defined.") : about(rule),
    rejected && h("p", { class: "card bad" }, `Its file is rejected, and this is the last good version: ${rejected.reason}`),
    rule && (await stateCard(rule, allows("state"), signal, () => showRule(view, { allows, given, signal }))),
    await whoHas(given, signal),
    last && file(given, last, signal),
    rule && blame(given, signal),
    versions(given, history.filter((entry) => entry.kind === "defined"), signal),
    history.length ? pastOf(given, history, signal) : null);
}

function about(rule) {
  return h("section", { class: "card" }, h("h2", {}, rule.name),
    rule.description ? h("p", {}, rule.description) : null,
    facts([
      ["State", stateText(rule.state)],
      ["Revision", String(rule.revision)],
      ["Version", String(rule.rule_version)],
      ["Defined", time(rule.defined_at)],
      ["Source", rule.source],
      ["Path", rule.path],
      ["Format", rule.format],
      ["Applies to", rule.applies_to.join(", ")],
      ["Techniques", rule.emits.map((one) => `${one.sub_technique_id ?? one.technique_id} (${one.tactic}, ${one.confidence})`).join("; ")],
      ["SHA-256", h("code", {}, rule.sha256)],
    ]));
}

function stateText(state) {
  const said = [badge(state.state)];
  if (state.confidence_max !== null && state.confidence_max !== undefined) said.push(` up to ${state.confidence_max}`);
  if (state.set_by) said.push(` by ${state.set_by}`);
  if (state.reason) said.push(`: ${state.reason}`);
  if (state.expires_at) said.push(", until ", time(state.expires_at));
  return h("span", {}, said);
}

async function stateCard(rule, may, signal, again) {
  if (!may) return null;
  const { state, version } = await ask("GET", rulePath(rule.rule_id, "/state"), { signal });
  const wanted = h("select", { id: "wanted" }, ["enabled", "disabled", "clipped"].map((one) => h("option", { value: one }, one)));
  wanted.value = state.state === "enabled" ? "disabled" : "enabled";
  const most = h("input", { id: "most", type: "number", min: 0, max: 1, step: "any" });
  const reason = h("input", { id: "reason", type: "text", required: true, maxlength: 500 });
  const hours = h("input", { id: "hours", type: "number", min: 0, step: "any", placeholder: "no end" });
  const limit = h("div", {}, h("label", { for: "most" }, "Confidence at most"), most);
  const update = () => { limit.hidden = wanted.value !== "clipped"; most.required = !limit.hidden; };
  wanted.addEventListener("change", update);
  update();

  async function submit(event) {
    event.preventDefault();
    const body = { state: wanted.value, reason: reason.value, expected: version === 0 ? "no-stream" : version };
    if (!limit.hidden) body.confidence_max = Number(most.value);
    if (hours.value) body.expires_at = new Date(Date.now() + Number(hours.value) * 3600000).toISOString();
    try {
      const done = await ask("PUT", rulePath(rule.rule_id, "/state"), { body });
      tell(`${rule.rule_id} is ${wanted.value} from position ${done.position} on.`);
    } catch (error) {
      tell(error.title === "ConflictError" ? "Somebody else has changed the state meanwhile; nothing was done." : error.message, "bad");
    }
    await again();
  }

  return h("form", { class: "card", submit }, h("h2", {}, "Switch"),
    h("div", { class: "filters" },
      h("div", {}, h("label", { for: "wanted" }, "State"), wanted), limit,
      h("div", {}, h("label", { for: "reason" }, "Reason"), reason),
      h("div", {}, h("label", { for: "hours" }, "Hours until it ends"), hours)),
    h("button", { type: "submit" }, "Set the state"));
}

function file(id, entry, signal) {
  return lazy("The rule's file", async () => {
    const found = await ask("GET", rulePath(id, `/revisions/${entry.revision}`), { signal });
    return h("pre", { tabindex: 0 }, found.content ?? "(its bytes are no text, or another rule of the file carries them)");
  }, { class: "card" });
}

function blame(id, signal) {
  return lazy("Who wrote each line", async () => {
    const { lines } = await ask("GET", rulePath(id, "/blame"), { signal });
    return table("Lines of the file", ["Line", "Text", "Who", "Why", "When", "Position", "Commit"], lines.map((line) => [
      String(line.number), h("code", {}, line.text), line.who ?? "", line.why ?? "", time(line.at),
      String(line.position), h("code", {}, (line.commit ?? "").slice(0, 8)),
    ]));
  }, { class: "card" });
}

/** Any two versions of a rule compared. */
function versions(id, entries, signal) {
  if (entries.length < 2) return null;
  const shown = h("div", { "aria-live": "polite" });
  const choice = (name, at) => {
    const field = h("select", { id: name }, entries.map((one) => h("option", { value: one.revision }, `revision ${one.revision}`)));
    field.selectedIndex = at;
    return field;
  };
  const [old, now] = [choice("old", 1), choice("new", 0)];

  async function submit(event) {
    event.preventDefault();
    try {
      const found = await ask("GET", rulePath(id, `/revisions/${now.value}/diff`), { query: { since: old.value }, signal });
      fill(shown, diff(found.diff));
    } catch (error) {
      if (error.name !== "AbortError") tell(error.message, "bad");
    }
  }

  return h("form", { class: "card", submit }, h("h2", {}, "Compare versions"),
    h("div", { class: "filters" },
      h("div", {}, h("label", { for: "old" }, "From"), old),
      h("div", {}, h("label", { for: "new" }, "To"), now),
      h("button", { type: "submit" }, "Compare")),
    shown);
}

/** Everything that was logged of a rule, oldest first. */
async function historyOf(id, signal) {
  const found = [];
  for (let after = 0; ;) {
    const page = await ask("GET", rulePath(id, "/history"), { query: { after }, signal });
    if (!page.history.length) return found;
    found.push(...page.history);
    after = page.after;
  }
}

function pastOf(id, history, signal) {
  return h("section", { class: "card" }, h("h2", {}, "History"),
    h("ol", { class: "past" }, history.map((entry) => h("li", {},
      h("span", { class: "hint" }, `position ${entry.position} · `, time(entry.recorded_at)), h("br"), said(entry),
      entry.kind === "defined" ? lazy("What it changed", async () => {
        const found = await ask("GET", rulePath(id, `/revisions/${entry.revision}/diff`), { signal });
        return diff(found.diff);
      }) : null))));
}

function said(entry) {
  switch (entry.kind) {
    case "defined": return `defined, revision ${entry.revision}, from ${entry.path}`;
    case "state": case "expired": return h("span", {}, entry.kind === "expired" ? "the state ended: " : "state ", stateText(entry.state));
    default: return entry.kind;
  }
}
