// A long table of which only the rows in sight are elements.

import { fill, h } from "./dom.js";

const HEIGHT = 44;
const BEYOND = 10;

/** A table of many rows; `cells(item)` returns a row's cells. `set(items)` shows others. */
export class LongTable {
  constructor(label, columns, cells) {
    this.cells = cells;
    this.items = [];
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.head = h("div", { class: "row head", role: "row" }, columns.map((column) => h("span", { role: "columnheader" }, column)));
    this.grid = h("div", { class: "long", role: "table", "aria-label": label, tabindex: 0, scroll: () => this.draw() },
      h("div", { role: "rowgroup", class: "top" }, this.head), this.body);
    this.element = this.grid;
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.grid);
  }

  /** Show these items. */
  set(items) {
    this.items = items;
    this.grid.setAttribute("aria-rowcount", items.length + 1);
    this.body.style.setProperty("--rows", items.length);
    this.first = null;
    this.draw();
  }

  draw() {
    const sight = Math.ceil((this.grid.clientHeight || 600) / HEIGHT);
    const first = Math.max(0, Math.floor(this.grid.scrollTop / HEIGHT) - BEYOND);
    const last = Math.min(this.items.length, first + sight + 2 * BEYOND);
    if (first === this.first && last === this.last) return;
    [this.first, this.last] = [first, last];
    this.body.style.setProperty("--before", first);
    fill(this.body, this.items.slice(first, last).map((item, at) =>
      h("div", { class: "row", role: "row", "aria-rowindex": first + at + 2 },
        this.cells(item).map((cell) => h("span", { role: "cell" }, cell)))));
  }
}
