// Doing something again and again while a page is shown.

import { tell } from "./dom.js";

/** Run `act` now, and again after each pause while the page is visible, until `signal` is aborted. */
export async function every(seconds, signal, act) {
  await act();
  let failing = false;
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      await act();
      failing = false;
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      if (!failing) tell(error.message, "bad");
      failing = true;
    }
  }, seconds * 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
}
