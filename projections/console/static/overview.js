// Overview: the log, what is not well, and what follows it.

import { ask } from "./api.js";
import { duration, facts, fill, h, number, table, time } from "./dom.js";
import { every } from "./every.js";
import { hourCard } from "./hour.js";

const SECONDS = 5;

/** Show the log's state, and keep it up to date. */
export async function showOverview(view, { signal }) {
  const body = h("div", {});
  fill(view, h("h1", {}, "Overview"), body);
  await every(SECONDS, signal, async () => {
    const [status, hour] = await Promise.all([ask("GET", "/v1/status", { signal }), ask("GET", "/v1/hour", { signal })]);
    fill(body, ...cards(status, hour));
  });
}

function cards({ faults, facts: log, sections }, hour) {
  return [
    trouble(faults), lines("Holds", sections.holds ?? []), hourCard(hour), head(log),
    lines("Sources", sections.sources ?? []), views(log.views ?? []),
  ].filter(Boolean);
}

function trouble(faults) {
  if (!faults.length) return h("p", { class: "card well" }, "Everything that is checked is well.");
  return h("section", { class: "card bad" },
    h("h2", {}, faults.length === 1 ? "One thing is not well" : `${faults.length} things are not well`),
    h("ul", {}, faults.map((fault) => h("li", {}, fault))));
}

function head(log) {
  return h("section", { class: "card" },
    h("h2", {}, "Log"),
    facts([
      ["Position", number(log.position)],
      ["First position", log.first_position > 1 ? number(log.first_position) : null],
      ["Last event", log.last_event_at ? h("span", {}, time(log.last_event_at), ` (${duration(log.last_event_seconds_ago)} ago)`) : "none"],
      ["Database", log.backend],
      ["Size", log.bytes === undefined ? null : bytes(log.bytes)],
      ["Write-ahead log", log.wal_bytes === undefined ? null : bytes(log.wal_bytes)],
      ["Notifier", log.notifier],
      ["Consumers", number(log.consumer_count)],
      ["Log id", h("code", {}, log.log_id)],
      ["Hash of the head", h("code", {}, log.hash)],
    ]));
}

function lines(title, found) {
  if (!found.length) return null;
  return h("section", { class: "card" }, h("h2", {}, title), h("ul", { class: "plain" }, found.map((one) => h("li", {}, one.line))));
}

function views(found) {
  if (!found.length) return null;
  return h("section", { class: "card" }, table("Views", ["View", "Version", "Position", "Behind"],
    found.map((view) => [view.name, String(view.version), number(view.position), number(view.lag)])));
}

function bytes(count) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; count >= 1024 && at < units.length - 1; at += 1) count /= 1024;
  return `${Math.round(count * 10) / 10} ${units[at]}`;
}
