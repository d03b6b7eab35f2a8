// Charts: SVG made here, read with a pointer or with the arrow keys.

import { count, el, micros, percent, step as stepName, svg, time } from "./dom.js";

const LEFT = 46;
const RIGHT = 8;
const AXIS = 20;

/** Round numbers from 0 up to at least `most`. */
function ticks(most, number = 4) {
  const rough = Math.max(most, 1) / number;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
  const step = Math.max(1, unit);
  return Array.from({ length: Math.ceil(Math.max(most, 1) / step) + 1 }, (_, at) => at * step);
}

/** Places for times on the axis, at round moments. */
function moments(from, to, width) {
  const lengths = [30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000].map((s) => s * 1000);
  const room = Math.max(2, Math.floor(width / 96));
  const length = lengths.find((one) => (to - from) / one <= room) ?? (to - from) / room;
  const first = Math.ceil(from / length) * length;
  const all = [];
  for (let at = first; at < to && all.length < 40; at += length) all.push(at);
  const text = time(from, false).slice(0, 10) !== time(to, false).slice(0, 10) && length >= 86400000
    ? (at) => time(at, false).slice(0, 10)
    : length < 60000 ? (at) => time(at, false).slice(11) : (at) => {
      const clock = time(at, false).slice(11, 16);
      return clock === "00:00" ? time(at, false).slice(5, 10) : clock;
    };
  return all.map((at) => [at, text(at)]);
}

/**
 * A chart over time that draws itself into the width it has. `draw` gives the shapes for a width, `tell` the words for a step;
 * `choose` is called with a range that was selected.
 */
export function chart({ window, height, label, draw, tell, choose }) {
  const { from, to, step } = window;
  const steps = Math.max(1, Math.round((to - from) / step));
  const readout = el("p", { class: "readout", "aria-live": "polite" });
  const picture = svg("svg", { class: "chart", role: "application", tabindex: "0", height, "aria-label": label });
  const hint = choose ? "Arrow keys read it step by step, with Shift they select; Enter shows only what is selected." : "Arrow keys read it step by step.";
  picture.append(svg("desc", {}, hint));
  let [cursor, anchor, width] = [null, null, 0];
  const overlay = svg("g", { class: "cursor" });

  const x = (t) => LEFT + ((t - from) / (to - from)) * (width - LEFT - RIGHT);
  const mark = () => {
    overlay.replaceChildren();
    if (cursor === null) {
      readout.textContent = "\u00a0";
      return;
    }
    const [first, last] = anchor === null ? [cursor, cursor] : [Math.min(anchor, cursor), Math.max(anchor, cursor)];
    const [start, end] = [from + first * step, from + (last + 1) * step];
    overlay.append(svg("rect", { x: x(start), y: 0, width: Math.max(1, x(end) - x(start)), height: height - AXIS }));
    const same = time(start, false).slice(0, 10) === time(end, false).slice(0, 10);
    readout.replaceChildren(el("b", {}, `${time(start, false)} – ${same ? time(end, false).slice(11) : time(end, false)}`), " ", tell(start, end));
  };
  const redraw = () => {
    width = Math.max(160, Math.floor(picture.parentElement?.clientWidth || 600));
    picture.setAttribute("width", width);
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const axis = moments(from, to, width - LEFT - RIGHT).map(([at, text]) => svg("g", { class: "tick" },
      svg("line", { x1: x(at), x2: x(at), y1: height - AXIS, y2: height - AXIS + 4 }),
      svg("text", { x: x(at), y: height - 4, "text-anchor": x(at) < LEFT + 16 ? "start" : x(at) > width - 24 ? "end" : "middle" }, text)));
    picture.replaceChildren(picture.querySelector("desc"), ...draw({ x, width, left: LEFT, right: width - RIGHT, top: 6, bottom: height - AXIS }),
      svg("line", { class: "base", x1: LEFT, x2: width - RIGHT, y1: height - AXIS, y2: height - AXIS }), ...axis, overlay);
    mark();
  };
  const at = (event) => {
    const box = picture.getBoundingClientRect();
    const part = ((event.clientX - box.left) * (width / box.width) - LEFT) / (width - LEFT - RIGHT);
    return Math.min(steps - 1, Math.max(0, Math.floor(part * steps)));
  };
  const take = () => {
    if (!choose || cursor === null) return;
    const [first, last] = anchor === null ? [cursor, cursor] : [Math.min(anchor, cursor), Math.max(anchor, cursor)];
    if (first === 0 && last === steps - 1) return;
    choose(from + first * step, from + (last + 1) * step);
  };
  let pressed = false;
  picture.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pressed = Boolean(choose);
    cursor = at(event);
    anchor = pressed ? cursor : null;
    mark();
  });
  picture.addEventListener("pointermove", (event) => {
    cursor = at(event);
    if (!pressed) anchor = null;
    mark();
  });
  picture.addEventListener("pointerup", (event) => {
    if (!pressed) return;
    pressed = false;
    cursor = at(event);
    // A touch reads; only a drag over several steps selects.
    if (anchor !== cursor) take();
    else anchor = null;
    mark();
  });
  picture.addEventListener("pointerleave", () => {
    [cursor, anchor, pressed] = [null, null, false];
    mark();
  });
  picture.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -steps, End: steps };
    if (event.key in moves) {
      const before = cursor ?? (moves[event.key] > 0 ? -1 : steps);
      if (event.shiftKey && choose) anchor ??= cursor ?? Math.max(0, Math.min(steps - 1, before));
      else anchor = null;
      cursor = Math.max(0, Math.min(steps - 1, before + moves[event.key]));
      mark();
    } else if (event.key === "Enter") take();
    else if (event.key === "Escape") {
      [cursor, anchor] = [null, null];
      mark();
    } else return;
    event.preventDefault();
  });
  picture.addEventListener("blur", () => {
    [cursor, anchor] = [null, null];
    mark();
  });
  const box = el("div", { class: "plot" }, picture);
  new ResizeObserver(() => {
    if (Math.floor(box.clientWidth) !== width) redraw();
  }).observe(box);
  return el("div", { class: "charted" }, box, readout);
}

/** A number where there is room for five characters: `8,000`, `250K`, `1.5M`. */
const short = (number) => number < 10000 ? count(number) : new Intl.NumberFormat("en", { notation: "compact" }).format(number);

function grid(lines, y, { left, right }) {
  return lines.map(([at, text]) => svg("g", { class: "grid" },
    svg("line", { x1: left, x2: right, y1: y(at), y2: y(at) }),
    svg("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, text)));
}

/** What was allowed and denied, one above the other. */
export function decisions(figures, choose) {
  const { window, decisions: rows } = figures;
  const most = rows.reduce((most, [, allowed, denied]) => Math.max(most, allowed + denied), 0);
  const lines = ticks(most);
  const top = lines.at(-1);
  return chart({
    window, height: 220, choose, label: `Decisions in steps of ${stepName(window.step)}, at most ${count(most)} in one.`,
    draw: (area) => {
      const y = (number) => area.bottom - (number / top) * (area.bottom - area.top);
      const wide = Math.max(1, area.x(window.from + window.step) - area.x(window.from));
      const gap = wide > 3 ? 1 : 0;
      const bars = (name, from, to) => svg("path", { class: name, d: rows.map((row) => {
        const [start, end] = [from(row), to(row)];
        return start === end ? "" : `M${area.x(row[0]).toFixed(1)} ${y(start).toFixed(1)}h${(wide - gap).toFixed(1)}V${y(end).toFixed(1)}h-${(wide - gap).toFixed(1)}z`;
      }).join("") });
      return [...grid(lines.map((line) => [line, short(line)]), y, area),
        bars("allow", () => 0, (row) => row[1]), bars("deny", (row) => row[1], (row) => row[1] + row[2])];
    },
    tell: (start, end) => {
      const sum = rows.filter(([t]) => t >= start && t < end).reduce(([a, d], row) => [a + row[1], d + row[2]], [0, 0]);
      return `${count(sum[0])} allowed, ${count(sum[1])} denied`;
    },
  });
}

/** Times of a region on a logarithmic scale, with the SLO and the share of errors. */
export function times(figures, region, slo, scale) {
  const { window } = figures;
  const [least, most] = scale;
  const known = new Map(region.points.map((point) => [point[0], point]));
  const errors = region.points.reduce((most, [, n, errors]) => Math.max(most, errors / n), 0);
  return chart({
    window, height: 196, label: `Times of ${region.region || "no region"}: p99 ${micros(region.p99)}, against ${micros(slo)}.`,
    draw: (area) => {
      const [low, high] = [Math.log10(least), Math.log10(most)];
      const bottom = area.bottom - 34;
      const y = (time) => bottom - ((Math.log10(Math.max(time, least)) - low) / (high - low)) * (bottom - area.top);
      const half = (area.x(window.from + window.step) - area.x(window.from)) / 2;
      const decades = [];
      for (let at = least; at <= most * 1.001; at *= 10) decades.push([at, micros(at).replace(/\.0+ /, " ")]);
      const line = (at, name) => {
        let [path, last] = ["", null];
        for (const point of region.points) {
          const [px, py] = [area.x(point[0]) + half, y(point[at])];
          const joined = last !== null && point[0] - last === window.step;
          path += `${joined ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`;
          if (!joined) path += "h0.01";
          last = point[0];
        }
        return svg("path", { class: `line ${name}`, d: path });
      };
      const over = region.points.filter((point) => point[5] > slo)
        .map((point) => `M${(area.x(point[0]) + half).toFixed(1)} ${y(point[5]).toFixed(1)}h0.01`).join("");
      const scaleTo = Math.max(0.05, errors);
      const wide = Math.max(1, half * 2 - (half > 1.5 ? 1 : 0));
      const bars = region.points.filter((point) => point[2]).map((point) => {
        const tall = Math.max(1.5, (point[2] / point[1] / scaleTo) * 24);
        return `M${area.x(point[0]).toFixed(1)} ${area.bottom}h${wide.toFixed(1)}v-${tall.toFixed(1)}h-${wide.toFixed(1)}z`;
      }).join("");
      return [...grid(decades, y, area),
        svg("line", { class: "slo", x1: area.left, x2: area.right, y1: y(slo), y2: y(slo) }),
        svg("text", { class: "slo", x: area.right, y: y(slo) - 4, "text-anchor": "end" }, `SLO ${micros(slo).replace(/\.0+ /, " ")}`),
        line(3, "p50"), line(4, "p95"), line(5, "p99"), svg("path", { class: "over", d: over }),
        svg("text", { class: "side", x: area.left - 6, y: area.bottom - 8, "text-anchor": "end" }, "errors"),
        svg("path", { class: "errors", d: bars })];
    },
    tell: (start) => {
      const point = known.get(start);
      if (!point) return "nothing";
      const [, n, errors, p50, p95, p99] = point;
      return `p50 ${micros(p50)}, p95 ${micros(p95)}, p99 ${micros(p99)}${p99 > slo ? " (over the SLO)" : ""}, errors ${percent(errors, n)} of ${count(n)}`;
    },
  });
}

/** Whole decades around all times and the SLO. */
export function decades(figures, slo) {
  let [least, most] = [slo, slo];
  for (const region of figures.regions) {
    for (const point of region.points) {
      if (point[3]) least = Math.min(least, point[3]);
      most = Math.max(most, point[5] ?? 0);
    }
  }
  const low = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [low, Math.max(low * 10, 10 ** Math.ceil(Math.log10(most * 1.05)))];
}

/** When each set of policies decided. */
export function digests(figures, name) {
  const { window, digests: rows } = figures;
  const tall = 26;
  return chart({
    window, height: rows.length * tall + AXIS + 6, label: `Policy digests over time: ${rows.length}.`,
    draw: (area) => rows.flatMap((row, at) => {
      const top = 6 + at * tall;
      const wide = Math.max(1.5, area.x(window.from + window.step) - area.x(window.from) + 0.3);
      return [svg("line", { class: "lane", x1: area.left, x2: area.right, y1: top + 9, y2: top + 9 }),
        svg("path", { class: `digest d${at % 6}`, d: row.steps.map(([t]) => `M${area.x(t).toFixed(1)} ${top + 2}h${wide.toFixed(1)}v14h-${wide.toFixed(1)}z`).join("") }),
        svg("text", { class: "lane", x: area.left - 6, y: top + 13, "text-anchor": "end" }, String(at + 1))];
    }),
    tell: (start) => {
      const here = rows.flatMap((row, at) => {
        const found = row.steps.find(([t]) => t === start);
        return found ? [`${at + 1}: ${name(row.digest)} decided ${count(found[1])}`] : [];
      });
      return here.join("; ") || "nothing";
    },
  });
}
