// The way back: what a revert would do, why, and doing it by one commit.

import { ask } from "./api.js";
import { diff, fill, h, number, tell } from "./dom.js";

/** Show in `place` what a revert of `target` would do; `again` is called once it is done. */
export async function revertCard(place, target, to, signal, again) {
  let plan;
  try {
    plan = await ask("GET", "/v1/revert", { query: { target, to: to.position }, signal });
  } catch (error) {
    if (error.name === "AbortError") return;
    fill(place, h("p", { class: "card bad", role: "alert" }, error.message));
    return;
  }
  const reason = h("input", { id: "reason", type: "text", required: true, maxlength: 500 });
  const trouble = h("p", { class: "bad", role: "alert" });

  async function submit(event) {
    event.preventDefault();
    const body = { target, to: to.position, reason: reason.value, plan: plan.plan };
    let done;
    try {
      done = await ask("POST", "/v1/revert", { body });
    } catch (error) {
      trouble.textContent = error.message;
      return;
    }
    tell(`${target} is restored by position ${number(done.position)}.`);
    if (done.note) tell(`Note: ${done.note}.`, "warn");
    await again();
  }

  const title = h("h2", { tabindex: -1 }, `Revert ${target} to position ${number(to.position)}`);
  fill(place, h("form", { class: "card revert", submit }, title,
    plan.events ? null : h("p", {}, "There is nothing to revert: it is as it was."),
    plan.differences.map((one) => [h("h3", {}, `${one.kind} ${one.rule_id}`), diff(one.diff)]),
    plan.more ? h("p", { class: "hint" }, `${number(plan.more)} more differ.`) : null,
    plan.refused ? h("p", { class: "bad", role: "alert" }, plan.refused) : null,
    plan.note && !plan.refused ? h("p", { class: "hint" }, `Note: ${plan.note}.`) : null,
    plan.events && !plan.refused ? [h("label", { for: "reason" }, "Reason"), reason, trouble] : null,
    h("div", { class: "filters" },
      plan.events && !plan.refused ? h("button", { type: "submit" }, "Revert") : null,
      h("button", { type: "button", click: () => fill(place) }, "Cancel"))));
  title.focus();
}
