// Elements from values. Texts are only ever set as text, so that nothing of the log becomes markup.

/** Return an element; `set` has its attributes, and functions for the events of those names. */
export function h(name, set = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(set)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(key, value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

/** Return children of any depth without those that are not there. */
function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Return an element of a drawing. */
export function svg(name, set = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(set)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** Put children in the place of what an element has. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Return a list of terms and what they are; pairs without a value are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
}

/** Return a table with a caption; `rows` are lists of texts or elements. */
export function table(caption, columns, rows) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell)))))));
}

/** Return a fold whose body is what `load` gives once it is opened; one that failed is loaded again. */
export function lazy(summary, load, set = {}) {
  const body = h("div", { "aria-live": "polite" });
  let read = false;
  const shown = h("details", {
    ...set,
    toggle: async () => {
      if (!shown.open || read) return;
      read = true;
      try {
        fill(body, await load());
      } catch (error) {
        read = false;
        if (error.name !== "AbortError") fill(body, h("p", { class: "bad" }, error.message));
      }
    },
  }, h("summary", {}, summary), body);
  return shown;
}

/** Return a unified diff, or another text, by lines; its marks tell what its colours do. */
export function diff(lines) {
  if (!lines.length) return h("p", { class: "hint" }, "No line of the file differs.");
  const kinds = { "+": "added", "-": "removed", "@": "place" };
  return h("pre", { class: "diff", tabindex: 0 }, lines.map((line, at) =>
    h("span", { class: at < 2 ? "place" : kinds[line[0]] }, `${line}\n`)));
}

/** Return a moment as the reader's own time, with the exact one as its title. */
export function time(iso) {
  if (!iso) return "";
  const at = new Date(iso);
  return h("time", { datetime: iso, title: iso }, at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }));
}

/** Return a number with the separators of the reader. */
export function number(value) {
  return Number(value).toLocaleString();
}

/** Return a duration in seconds as a short text. */
export function duration(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.round(seconds * 10) / 10} s`;
}

/** Say something at the edge of the page, for screen readers too. */
export function tell(text, kind = "well") {
  const line = h("p", { class: `note ${kind}` }, text);
  document.getElementById("news").append(line);
  setTimeout(() => line.remove(), 8000);
}
