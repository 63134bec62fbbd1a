// Charts that grow with a stage's log: the points come as JSON, new ones after a cursor; Bokeh draws them.
// A chart is made when it comes near the window, and drawn again only when it has new points.

import { every } from "./live.js";

const SPLIT_COLOURS = ["--s1", "--s2", "--s3", "--s4", "--s5"];
const SMOOTHED_FROM = 40; // points from which a noisy line is drawn pale, with its moving mean
const host = document.getElementById("charts");
const charts = new Map(); // name -> Chart
let cursor = "";

// A colour of the style sheet as the browser computes it for the theme of the moment.
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// Means over a window that grows to a fiftieth of the series, which ends at each point: nothing is taken from the future.
function smoothed(values) {
  const width = Math.max(5, Math.floor(values.length / 50));
  const means = new Array(values.length);
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i];
    if (i >= width) sum -= values[i - width];
    means[i] = sum / Math.min(i + 1, width);
  }
  return means;
}

const shown = (value) =>
  Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString();

function make(tag, attributes, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

class Chart {
  constructor(about) {
    this.about = about;
    this.splits = new Map(); // split -> {steps, values}
    this.latest = make("span", { className: "latest" });
    this.canvas = make("div", { className: "canvas" });
    this.legend = make("ul", { className: "legend" });
    this.figure = make("figure", {},
      make("figcaption", {}, make("h3", {}, about.title, " ", this.latest),
        make("p", {}, this.caption(), make("code", {}, about.name))),
      this.canvas, this.legend);
    this.figure.dataset.metric = about.name;
    this.canvas.setAttribute("role", "img");
    this.near = false;
    this.stale = true;
  }

  caption() {
    const { meaning, unit, low, high } = this.about;
    const text = meaning[0].toUpperCase() + meaning.slice(1);
    const healthy = low === null && high === null ? ""
      : low === null ? `; healthy: at most ${high}` : high === null ? `; healthy: at least ${low}` : `; healthy: ${low} to ${high}`;
    return `${text}${unit ? ` (${unit})` : ""}${healthy}. `;
  }

  add(split, steps, values) {
    const points = this.splits.get(split) ?? { steps: [], values: [] };
    for (let i = 0; i < steps.length; i++) { points.steps.push(steps[i]); points.values.push(values[i]); }
    this.splits.set(split, points);
    this.stale = true;
    this.canvas.setAttribute("aria-label", `${this.about.title} by step, last ${shown(values.at(-1))}`);
    this.latest.textContent = [...this.splits].map(([name, { values: all }]) =>
      this.splits.size > 1 ? `${name} ${shown(all.at(-1))}` : shown(all.at(-1))).join(" · ");
  }

  draw() {
    if (!this.near || !this.stale) return;
    this.stale = false;
    if (!this.plot || this.drawn !== this.splits.size) this.build();
    for (const [split, points] of this.splits) {
      const noisy = points.values.length >= SMOOTHED_FROM;
      const { source, raw, mean } = this.lines.get(split);
      raw.glyph.line_alpha = noisy ? 0.35 : 1;
      raw.glyph.line_width = noisy ? 1 : 2;
      mean.visible = noisy;
      source.data = { step: points.steps.slice(), value: points.values.slice(), mean: smoothed(points.values) };
    }
  }

  build() {
    const { Plotting, BoxAnnotation, HoverTool, BasicTickFormatter } = Bokeh;
    const ink = colour("--muted"), grid = colour("--grid"), font = getComputedStyle(document.body).fontFamily;
    const plot = Plotting.figure({
      height: this.figure.closest(".small") ? 150 : 210, sizing_mode: "stretch_width", toolbar_location: null, tools: [],
      background_fill_color: null, border_fill_color: null, outline_line_color: null, min_border_left: 46,
      output_backend: "canvas",
    });
    const [x] = plot.xaxes, [y] = plot.yaxes;
    for (const axis of [x, y]) {
      Object.assign(axis, {
        axis_line_color: null, major_tick_line_color: null, minor_tick_line_color: null,
        major_label_text_color: ink, major_label_text_font_size: "12px", major_label_text_font: font,
      });
    }
    y.ticker.desired_num_ticks = 4;
    x.ticker.desired_num_ticks = 5;
    x.ticker.min_interval = 1;
    y.formatter = new BasicTickFormatter({ power_limit_high: 6, power_limit_low: -4 });
    plot.xgrid.grid_line_color = null;
    plot.ygrid.grid_line_color = grid;
    const { low, high } = this.about;
    if (low !== null || high !== null) {
      plot.add_layout(new BoxAnnotation({
        bottom: low, top: high, fill_color: colour("--good"), fill_alpha: 0.07, line_color: null, level: "underlay",
      }));
    }
    this.lines = new Map();
    this.legend.replaceChildren();
    [...this.splits.keys()].forEach((split, place) => {
      const name = SPLIT_COLOURS[place % SPLIT_COLOURS.length], paint = colour(name);
      const source = new Bokeh.ColumnDataSource({ data: { step: [], value: [], mean: [] } });
      const raw = plot.line({ field: "step" }, { field: "value" }, { source, line_color: paint, line_width: 1 });
      const mean = plot.line({ field: "step" }, { field: "mean" }, { source, line_color: paint, line_width: 2 });
      this.lines.set(split, { source, raw, mean });
      plot.add_tools(new HoverTool({
        renderers: [raw], mode: "vline", line_policy: "nearest",
        tooltips: [["step", "@step{0,0}"], [split, "@value{0.[0000]}"]],
      }));
      if (this.splits.size > 1) {
        const dot = make("i", { className: "dot" });
        dot.style.background = paint;
        this.legend.append(make("li", {}, dot, split));
      }
    });
    // The band of what is healthy does not stretch the axes: the curve decides.
    const curves = [...this.lines.values()].map((one) => one.raw);
    plot.x_range.renderers = curves;
    plot.y_range.renderers = curves;
    this.canvas.replaceChildren();
    this.plot = plot;
    this.drawn = this.splits.size;
    Plotting.show(plot, this.canvas);
  }

  rebuild() { // in the colours of another theme
    this.drawn = 0;
    this.stale = true;
    this.draw();
  }
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const chart = charts.get(entry.target.dataset.metric);
    chart.near = entry.isIntersecting;
    chart.draw();
  }
}, { rootMargin: "300px" });

function place(about) {
  const found = charts.get(about.name);
  if (found) return found;
  const chart = new Chart(about);
  charts.set(about.name, chart);
  const group = host.querySelector(`[data-group="${about.group}"]`);
  group.append(chart.figure);
  group.closest("section").hidden = false;
  watcher.observe(chart.figure);
  return chart;
}

function clear() {
  watcher.disconnect();
  charts.clear();
  for (const group of host.querySelectorAll("[data-group]")) group.replaceChildren();
}

async function update() {
  const answer = await fetch(`${host.dataset.series}?after=${cursor}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  const log = await answer.json();
  if (log.fresh) clear(); // the first reading, or the run has gone back to a checkpoint
  cursor = log.cursor;
  const abouts = new Map(log.charts.map((about) => [about.name, about]));
  for (const about of log.charts) place(about);
  for (const { name, split, steps, values } of log.series) {
    place(abouts.get(name)).add(split, steps, values);
  }
  host.querySelector("[data-none]").hidden = charts.size > 0;
  for (const chart of charts.values()) chart.draw();
  host.dataset.ready = cursor;
}

document.addEventListener("themechange", () => { for (const chart of charts.values()) chart.rebuild(); });
every(Number(host.dataset.every), update);
