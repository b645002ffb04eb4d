// Signing in: the token goes to the server once, and into a cookie.

import { ask } from "./api.js";
import { fill, h } from "./dom.js";

/** Ask for a token; call `signedIn` once the server has taken it. */
export function showSignIn(view, signedIn) {
  const token = h("input", { id: "token", name: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const trouble = h("p", { class: "bad", role: "alert" });

  async function submit(event) {
    event.preventDefault();
    trouble.textContent = "";
    try {
      await ask("PUT", "/v1/session", { body: { token: token.value } });
    } catch (error) {
      trouble.textContent = error.message;
      token.select();
      return;
    }
    await signedIn();
  }

  fill(view, h("form", { class: "card sign-in", submit },
    h("h1", {}, "Sign in"),
    h("label", { for: "token" }, "Token"), token,
    h("p", { class: "hint" }, "Made by ", h("code", {}, "eventstore tokens create NAME --scope read"),
      ". With the scope ", h("code", {}, "state"), " it switches rules, too."),
    trouble,
    h("button", { type: "submit" }, "Sign in")));
  token.focus();
}
