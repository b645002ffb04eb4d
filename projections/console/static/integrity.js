// Integrity: verifying the log, its anchor, redactions and trims.

import { ask } from "./api.js";
import { fill, h, number, table, tell, time } from "./dom.js";
import { every } from "./every.js";

const SECONDS = 1;
const PATH = "/v1/verification";

/** Show what the last verification has found, or how far it is, and what was taken out of the log. */
export async function showIntegrity(view, { allows, signal }) {
  const job = h("section", { class: "card" });
  const may = allows("admin");
  const form = may ? startForm() : null;
  const [{ redactions }, { trims }] = await Promise.all([
    ask("GET", "/v1/redactions", { signal }), ask("GET", "/v1/trims", { signal }),
  ]);
  fill(view, h("h1", {}, "Integrity"), job, form,
    h("section", { class: "card" }, redacted(redactions)), h("section", { class: "card" }, trimmed(trims)));
  let shown;

  async function update() {
    const { verification } = await ask("GET", PATH, { signal });
    if (form) form.hidden = verification.state === "running";
    const text = JSON.stringify(verification);
    if (text === shown) return;
    shown = text;
    fill(job, h("h2", {}, "Verification"), state(verification, may && act("DELETE")));
  }

  function act(method, body) {
    return async () => {
      try {
        await ask(method, PATH, { body: body?.() });
        await update();
      } catch (error) {
        tell(error.message, "bad");
      }
    };
  }

  function startForm() {
    const anchor = h("input", { id: "anchor", type: "text", placeholder: "ID:POSITION:HASH", autocomplete: "off" });
    const start = act("POST", () => ({ anchor: anchor.value }));
    return h("form", { class: "card filters", hidden: true, submit: (event) => { event.preventDefault(); start(); } },
      h("div", {}, h("label", { for: "anchor" }, "Anchor that the log must contain, if one was kept"), anchor),
      h("button", { type: "submit" }, "Verify"));
  }

  await every(SECONDS, signal, update);
}

function state(one, cancel) {
  if (one.state === "none") return h("p", {}, "This server process has verified nothing yet.");
  const who = h("p", { class: "hint" }, `by ${one.by}, `, time(one.began_at), one.ended_at ? [" to ", time(one.ended_at)] : null);
  if (one.state === "running") {
    return [h("progress", { "aria-label": "verified", max: Math.max(1, one.head), value: one.position }),
      h("p", { role: "status" }, `Position ${number(one.position)} of ${number(one.head)}`), who,
      cancel ? h("button", { type: "button", click: cancel }, "Cancel") : null];
  }
  if (one.state !== "done") return [h("p", { class: "bad" }, one.state === "failed" ? `It has failed: ${one.reason}` : "It was cancelled."), who];
  if (!one.total) {
    return [h("p", { role: "status" }, `${number(one.events)} events up to position ${number(one.position)}: all as written`), who,
      h("p", {}, "Anchor, to be kept elsewhere: ", h("code", { class: "anchor" }, one.anchor))];
  }
  return [h("p", { class: "bad", role: "alert" }, `${number(one.total)} findings`), who,
    h("ul", { class: "findings" }, one.findings.map((found) => h("li", {}, `${found.where}: ${found.what}`)))];
}

function redacted(found) {
  if (!found.length) return [h("h2", {}, "Redactions"), h("p", {}, "No event was redacted.")];
  return table("Redactions", ["Position", "Stream", "Type", "Reason", "By", "When"], found.map((one) => [
    number(one.position), one.stream, one.type, one.reason, one.by ?? "", time(one.recorded_at)]));
}

function trimmed(found) {
  if (!found.length) return [h("h2", {}, "Trims"), h("p", {}, "Nothing was trimmed.")];
  return table("Trims", ["First position", "Events", "Kept", "Archive", "Reason", "By", "When"], found.map((one) => [
    number(one.first_position), number(one.events), number(one.kept), one.archive, one.reason, one.by, time(one.recorded_at)]));
}
