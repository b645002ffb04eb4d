// Two moments compared: which rules and states differ, and the way back to the earlier one.

import { ask } from "./api.js";
import { diff, fill, h, lazy, number } from "./dom.js";
import { revertCard } from "./revert.js";

const WORDS = { added: "added", removed: "removed", changed: "changed", moved: "moved", state: "with another state" };

/** Show what differs between the moments of the address, `compare/A/B`. */
export async function showCompare(view, { allows, parts, signal }) {
  const [, a = "", b = "now"] = parts;
  const from = h("input", { id: "from", type: "text", value: a, required: true, placeholder: "now-2h" });
  const to = h("input", { id: "to", type: "text", value: b, required: true });
  const found = h("div", {});

  function submit(event) {
    event.preventDefault();
    location.hash = `#/timeline/compare/${encodeURIComponent(from.value.trim())}/${encodeURIComponent(to.value.trim())}`;
  }

  fill(view, h("p", {}, h("a", { href: "#/timeline" }, "Live")), h("h1", {}, "Compare moments"),
    h("form", { class: "filters", submit },
      h("div", {}, h("label", { for: "from" }, "From"), from),
      h("div", {}, h("label", { for: "to" }, "To"), to),
      h("button", { type: "submit" }, "Compare")),
    h("p", { class: "hint" }, "A moment is a position, a time, ", h("code", {}, "now-2h"), ", ",
      h("code", {}, "git:COMMIT"), " or ", h("code", {}, "tag:NAME"), "."),
    found);
  if (a) await compare(found, a, b, allows("append"), signal);
}

async function compare(found, a, b, may, signal) {
  let answer;
  try {
    answer = await ask("GET", "/v1/diff", { query: { a, b, stat: "yes" }, signal });
  } catch (error) {
    if (error.name === "AbortError" || error.status === 401) throw error;
    fill(found, h("p", { class: "card bad", role: "alert" }, error.message));
    return;
  }
  const counts = Object.entries(answer.counts).filter(([, count]) => count);
  const said = counts.map(([kind, count]) => `${number(count)} ${WORDS[kind]}`).join(", ") || "Nothing differs";
  const between = `${said} between position ${number(answer.a.position)} and ${number(answer.b.position)}.`;
  const back = h("div", {});
  const again = () => compare(found, a, b, may, signal);
  const revert = (target) => revertCard(back, target, answer.a, signal, again);
  fill(found, h("p", { role: "status" }, between),
    may ? wayBack(answer.a, revert) : null, back,
    h("ul", { class: "differences" }, answer.differences.map((one) => h("li", {}, difference(one, answer, may && revert, signal)))),
    answer.more ? h("p", { class: "hint" }, `${number(answer.more)} more are not shown: compare nearer moments.`) : null);
}

/** One rule that differs, with its diff once it is opened. */
function difference(one, { a, b }, revert, signal) {
  const target = one.kind === "state" ? `rule-state/${one.rule_id}` : `rule/${one.rule_id}`;
  return [
    lazy([h("strong", {}, one.kind), ` ${one.rule_id}  ${detail(one)}`], async () => {
      const query = { a: a.position, b: b.position, rule: one.rule_id };
      const { differences } = await ask("GET", "/v1/diff", { query, signal });
      return differences.filter((other) => other.kind === one.kind).map((other) => diff(other.diff));
    }),
    revert ? h("button", { type: "button", "aria-label": `Revert ${target}`, click: () => revert(target) }, "Revert…") : null,
  ];
}

function detail(one) {
  if (one.kind === "state") return `${one.before.state} → ${one.after.state}`;
  const [was, now] = [one.path_before, one.path_after];
  const path = was && now && was !== now ? `${was} → ${now}` : now ?? was;
  return `${path}  +${one.lines_added} -${one.lines_removed}`;
}

/** Ask what to restore: all rules of a source, for example. */
function wayBack(to, revert) {
  const target = h("input", { id: "target", type: "text", required: true, placeholder: "rule, source or rule-state/ID" });
  return h("form", { class: "filters", submit: (event) => { event.preventDefault(); revert(target.value.trim()); } },
    h("div", {}, h("label", { for: "target" }, `Revert to position ${to.position}`), target),
    h("button", { type: "submit" }, "Show what it would do"));
}
