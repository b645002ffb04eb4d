// Small plots: a line over time, with what it shows in words.

import { h, number, svg } from "./dom.js";

const WIDTH = 360;
const HEIGHT = 64;

/** Return a figure of points `[seconds, value]`; those whose value is null leave a gap. */
export function plot(title, points, { from, until, unit }) {
  const known = points.filter(([, value]) => value !== null);
  const values = known.map(([, value]) => value);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const last = values.at(-1);
  const said = values.length === 0 ? "nothing known yet"
    : `${[round(last), unit].join(" ").trim()} now, ${round(least)} to ${round(most)} since ${new Date(known[0][0] * 1000).toLocaleTimeString()}`;
  return h("figure", { class: "plot" },
    h("figcaption", {}, h("strong", {}, title), ` ${said}`),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${said}` },
      ...lines(points).map((line) => svg("polyline", { points: line.map(([at, value]) => {
        const x = ((at - from) / (until - from || 1)) * WIDTH;
        const y = HEIGHT - 4 - ((value - least) / (most - least || 1)) * (HEIGHT - 8);
        return `${x.toFixed(1)},${y.toFixed(1)}`;
      }).join(" ") }))));
}

/** Part points where a value is unknown. */
function lines(points) {
  const found = [[]];
  for (const point of points) {
    if (point[1] !== null) found.at(-1).push(point);
    else if (found.at(-1).length) found.push([]);
  }
  return found.filter((line) => line.length);
}

function round(value) {
  return number(Math.abs(value) < 10 ? Math.round(value * 10) / 10 : Math.round(value));
}
