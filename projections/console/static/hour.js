// The last hour: head, rate and lag, as the server process has kept them.

import { h, time } from "./dom.js";
import { plot } from "./plot.js";

const HOUR = 3600;

/** Return the card of what `/v1/hour` answers. */
export function hourCard({ samples, began_at: began }) {
  const until = samples.at(-1)?.at ?? Date.now() / 1000;
  const span = { from: until - HOUR, until };
  const rates = samples.slice(1).map((one, at) => {
    const seconds = one.at - samples[at].at;
    return [one.at, seconds > 0 ? (one.position - samples[at].position) / seconds : null];
  });
  const young = Date.parse(began) / 1000 > until - HOUR;
  return h("section", { class: "card" }, h("h2", {}, "The last hour"),
    young ? h("p", { class: "hint" }, "This server process was started at ", time(began), ", and knows of nothing before.") : null,
    h("div", { class: "plots" },
      plot("Head", samples.map((one) => [one.at, one.position]), { ...span, unit: "" }),
      plot("Rate", rates, { ...span, unit: "events a second" }),
      plot("Lag of the slowest consumer", samples.map((one) => [one.at, one.lag]), { ...span, unit: "events" })));
}
