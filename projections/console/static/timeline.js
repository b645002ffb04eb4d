// Timeline: events as they are appended, the newest first.

import { ask, follow } from "./api.js";
import { fill, h, lazy, number, time } from "./dom.js";

const MOST = 500;

/** Show the last events, and those to come. */
export async function showTimeline(view, { signal }) {
  const streams = h("input", { id: "streams", type: "search", placeholder: "rule/ or rule/ID", value: "" });
  const types = h("input", { id: "types", type: "search", placeholder: "RuleDefined", value: "" });
  const hold = h("button", { type: "button", "aria-pressed": "false", click: toggle }, "Hold");
  const state = h("span", { class: "hint", role: "status" }, "connecting");
  const list = h("ol", { class: "events" });
  let held = false;
  let waiting = [];
  let following = new AbortController();
  signal.addEventListener("abort", () => following.abort());

  function toggle() {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
    if (!held) waiting.splice(0).forEach(add);
  }

  function take(event) {
    if (!held) return add(event);
    waiting.push(event);
    waiting = waiting.slice(-MOST);
  }

  function add(event) {
    list.prepend(line(event));
    while (list.childElementCount > MOST) list.lastElementChild.remove();
  }

  async function begin() {
    following.abort();
    following = new AbortController();
    const mine = following.signal;
    fill(list);
    const query = { streams: streams.value.trim(), types: types.value.trim() };
    try {
      const last = await ask("GET", "/v1/events/last", { query: { ...query, limit: 50 }, signal: mine });
      last.events.forEach(add);
      follow({ ...query, after: last.cursor }, take, (now, detail) => { state.textContent = detail ?? now; }, mine);
    } catch (error) {
      if (error.name !== "AbortError") state.textContent = error.message;
    }
  }

  fill(view, h("h1", {}, "Timeline"),
    h("form", { class: "filters", submit: (event) => { event.preventDefault(); begin(); } },
      h("div", {}, h("label", { for: "streams" }, "Stream or category"), streams),
      h("div", {}, h("label", { for: "types" }, "Type"), types),
      h("button", { type: "submit" }, "Follow"), hold, state),
    h("p", {}, h("a", { href: "#/timeline/compare" }, "Compare two moments")),
    list);
  await begin();
}

function line(event) {
  const said = [h("span", { class: "position" }, number(event.position)), " ", h("strong", {}, event.type), " ",
    h("span", {}, event.stream), " ", time(event.recorded_at)];
  return h("li", {}, lazy(said, () => {
    const what = event.redacted ? "(redacted)" : event.data === undefined ? "(bytes)" : JSON.stringify(event.data, null, 2);
    return [h("pre", { tabindex: 0 }, `${what}\n\n${JSON.stringify(event.metadata ?? {}, null, 2)}`),
      h("a", { href: `#/timeline/compare/${event.position}/now` }, "What has changed since")];
  }));
}
