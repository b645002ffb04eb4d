// Rules: all that stand, found by words, state, source and tactic.

import { ask } from "./api.js";
import { fill, h, number } from "./dom.js";
import { LongTable } from "./rows.js";

/** Show the list; the filters are part of the address, so that a link shows the same. */
export async function showRules(view, { signal }) {
  const [{ rules, held }, { rejections }] = await Promise.all([ask("GET", "/v1/rules", { signal }), rejectionsOf(signal)]);
  const rejected = new Map(rejections.map((one) => [fileOf(one), one]));
  const found = rules.map((rule) => ({
    ...rule, rejected: rejected.get(fileOf(rule)), text: `${rule.rule_id}\n${rule.name}\n${rule.path}`.toLowerCase(),
  }));
  found.forEach((rule) => rejected.delete(fileOf(rule)));
  const words = h("input", { type: "search", id: "words", placeholder: "id, name or path", input: filter });
  const state = choice("state", ["enabled", "disabled", "clipped"]);
  const source = choice("source", values(found, (rule) => [rule.source]));
  const tactic = choice("tactic", values(found, (rule) => rule.emits.map((one) => one.tactic)));
  const file = choice("file", ["rejected", "taken"]);
  const count = h("p", { class: "hint", role: "status" });
  const list = new LongTable("Rules", ["Rule", "Name", "State", "Source", "File"], (rule) => [
    h("a", { href: `#/rules/${encodeURIComponent(rule.rule_id)}` }, rule.rule_id),
    rule.name, badge(rule.state.state), rule.source,
    rule.rejected ? h("span", { class: "badge disabled", title: rule.rejected.reason }, "rejected") : "taken",
  ]);

  function choice(name, options) {
    return h("select", { id: name, change: filter }, h("option", { value: "" }, `any ${name}`),
      options.map((one) => h("option", { value: one }, one)));
  }

  function filter() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = found.filter((rule) =>
      (!state.value || rule.state.state === state.value) && (!source.value || rule.source === source.value) &&
      (!file.value || (file.value === "rejected") === (rule.rejected !== undefined)) &&
      (!tactic.value || rule.emits.some((one) => one.tactic === tactic.value)) && wanted.every((word) => rule.text.includes(word)));
    list.set(kept);
    count.textContent = kept.length === found.length ? `${number(found.length)} rules` : `${number(kept.length)} of ${number(found.length)} rules`;
  }

  const filters = [["words", "Search", words], ["state", "State", state], ["source", "Source", source], ["tactic", "Tactic", tactic], ["file", "File", file]];
  fill(view, h("h1", {}, "Rules"),
    typeof held === "number" ? h("p", { class: "card bad" }, `Rules are held: these are those of position ${number(held)}.`) : null,
    h("div", { class: "filters" }, filters.map(([id, title, field]) => h("div", {}, h("label", { for: id }, title), field))),
    count, list.element, leftOver([...rejected.values()]));
  filter();
  signal.addEventListener("abort", () => list.resize.disconnect());
}

/** Return the files that are rejected now; none for a token that may not read of sources. */
export function rejectionsOf(signal) {
  return ask("GET", "/v1/rejections", { signal }).catch((error) => {
    if (error.status === 403) return { rejections: [] };
    throw error;
  });
}

function fileOf({ source, path }) {
  return JSON.stringify([source, path]);
}

/** What is rejected and no rule's: no version of it was ever good. */
function leftOver(rejections) {
  if (!rejections.length) return null;
  return h("section", { class: "card bad" }, h("h2", {}, "Rejected files without a rule"),
    h("ul", {}, rejections.map((one) => h("li", {}, `${one.source}: ${one.path}${one.line ? `:${one.line}` : ""}: ${one.reason}`))));
}

/** Return a state as a word with a mark, so that colour is never all that tells it. */
export function badge(state) {
  return h("span", { class: `badge ${state}` }, state);
}

function values(rules, of) {
  return [...new Set(rules.flatMap(of))].sort();
}
