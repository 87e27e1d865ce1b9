// Three things that a server cannot do: read values out of charts under the pointer, keep a live page fresh, and copy
// a link.
// Everything works without this script; it loads nothing but the page's own address.
"use strict";

const REFRESH_MS = 10000;
const RETRY_MS = 5000;

// ---- Numbers and times, written as the server writes them (unit.rs, zone.rs). ----

const SCALES = {
  percent: [[1, "%"]],
  bytes: [[2 ** 50, " PiB"], [2 ** 40, " TiB"], [2 ** 30, " GiB"], [2 ** 20, " MiB"], [1024, " KiB"], [1, " B"]],
  seconds: [[86400, " d"], [3600, " h"], [60, " min"], [1, " s"], [1e-3, " ms"], [1e-6, " µs"], [1e-9, " ns"]],
  count: [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]],
};
SCALES.bytes_per_second = SCALES.bytes.map(([divisor, suffix]) => [divisor, suffix + "/s"]);
SCALES.per_second = SCALES.count.map(([divisor, suffix]) => [divisor, suffix + "/s"]);

const isWhole = (value) => Math.abs(value - Math.round(value)) < 1e-9;

function decimalsFor(value) {
  const size = Math.abs(value);
  if (size >= 99.95) return 0;
  if (size >= 9.995) return 1;
  if (size >= 0.9995) return 2;
  if (size >= 0.09995) return 3;
  return size >= 0.009995 ? 4 : 6;
}

function formatValue(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "count" && Math.abs(value) < 10000 && isWhole(value)) {
    return Math.round(value).toLocaleString("en-US").replace("-", "−");
  }
  const scales = SCALES[unit];
  const enough = ([divisor]) => Math.abs(value) >= divisor * (unit === "seconds" && divisor >= 60 ? 1.5 : 0.9995);
  let [divisor, suffix] = scales.find(enough) || scales[scales.length - 1];
  if (value === 0 && unit === "seconds") [divisor, suffix] = [1, " s"];
  const scaled = value / divisor;
  const whole = scaled === 0 || (divisor <= 1 && (unit === "bytes" || unit === "count") && isWhole(scaled));
  return scaled.toFixed(whole ? 0 : decimalsFor(scaled)).replace("-", "−") + suffix;
}

function formatTime(millis, zone) {
  // Swedish writes dates as ISO 8601 does.
  const options = { timeZone: zone, dateStyle: "short", timeStyle: "medium" };
  try {
    return new Intl.DateTimeFormat("sv-SE", options).format(millis);
  } catch {
    return new Date(millis).toISOString();
  }
}

// ---- Reading values out of charts. ----

// Where each chart is being read: the time in milliseconds, kept while the page refreshes itself.
const reading = new WeakMap();

function chartOf(element) {
  const frame = element instanceof Element && element.closest("[data-frame]");
  return frame ? frame.closest(".chart") : null;
}

function nearest(times, seconds) {
  let low = 0;
  let high = times.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] < seconds) low = middle; else high = middle;
  }
  return seconds - times[low] <= times[high] - seconds ? low : high;
}

function plotBox(chart) {
  const plot = chart.querySelector(".plot");
  const field = plot.querySelector(".field").getBoundingClientRect();
  return { left: field.left, width: field.width, height: Number(plot.getAttribute("height")), plot };
}

function showReading(chart, index) {
  const data = JSON.parse(chart.dataset.chart);
  if (!data.times.length) return;
  index = Math.max(0, Math.min(data.times.length - 1, index));
  const millis = data.from + data.times[index] * 1000;
  reading.set(chart, millis);
  const { plot, width, left, height } = plotBox(chart);
  const part = (millis - data.from) / (data.to - data.from);
  const [low, high] = data.axis;
  drawCursor(plot, part, data.values.map((column) => column[index]), (value) => height * (1 - (value - low) / (high - low)), height);
  const frame = chart.querySelector("[data-frame]");
  const tip = tipOf(frame);
  fillTip(tip, chart, data, index, millis);
  tip.hidden = false;
  const x = left - frame.getBoundingClientRect().left + part * width;
  const room = frame.clientWidth - tip.offsetWidth - 4;
  const beside = x + 14 + tip.offsetWidth <= frame.clientWidth ? x + 14 : x - 14 - tip.offsetWidth;
  tip.style.left = Math.max(4, Math.min(room, beside)) + "px";
}

function drawCursor(plot, part, values, toY, height) {
  const cursor = plot.querySelector(".cursor");
  const x = (100 * part).toFixed(2) + "%";
  const line = document.createElementNS(plot.namespaceURI, "line");
  for (const [name, value] of [["x1", x], ["x2", x], ["y1", 0], ["y2", height]]) line.setAttribute(name, value);
  const dots = values.flatMap((value, index) => {
    if (value === null) return [];
    const dot = document.createElementNS(plot.namespaceURI, "circle");
    dot.setAttribute("class", "s" + (index + 1));
    for (const [name, number] of [["cx", x], ["cy", toY(value)], ["r", 4]]) dot.setAttribute(name, number);
    return [dot];
  });
  cursor.replaceChildren(line, ...dots);
}

function tipOf(frame) {
  let tip = frame.querySelector(".tip");
  if (!tip) {
    tip = document.createElement("div");
    tip.className = "tip";
    tip.setAttribute("role", "status");
    tip.dataset.keep = "";
    frame.append(tip);
  }
  return tip;
}

function fillTip(tip, chart, data, index, millis) {
  const time = document.createElement("div");
  time.className = "tip-time";
  time.textContent = formatTime(millis, data.zone);
  const legend = [...chart.querySelectorAll(".legend li")];
  const rows = data.values.map((column, at) => {
    const row = document.createElement("div");
    row.className = "tip-row";
    const swatch = legend[at] && legend[at].querySelector("svg");
    const name = document.createElement("span");
    name.className = "tip-name";
    name.textContent = legend[at] ? legend[at].querySelector(".name").textContent : "";
    const value = document.createElement("b");
    value.textContent = formatValue(column[index], data.unit);
    row.append(...(swatch ? [swatch.cloneNode(true)] : []), name, value);
    return row;
  });
  tip.replaceChildren(time, ...rows);
}

function hideReading(chart) {
  reading.delete(chart);
  const tip = chart.querySelector(".tip");
  if (tip) tip.hidden = true;
  const cursor = chart.querySelector(".cursor");
  if (cursor) cursor.replaceChildren();
}

function readAtPointer(event) {
  const chart = chartOf(event.target);
  for (const other of document.querySelectorAll(".chart")) {
    if (other !== chart && reading.has(other) && !other.contains(document.activeElement)) hideReading(other);
  }
  if (!chart) return;
  const data = JSON.parse(chart.dataset.chart);
  const { left, width } = plotBox(chart);
  const part = Math.max(0, Math.min(1, (event.clientX - left) / width));
  showReading(chart, nearest(data.times, part * (data.to - data.from) / 1000));
}

function readWithKeys(event) {
  const chart = chartOf(event.target);
  if (!chart || !event.target.hasAttribute("data-frame")) return;
  const data = JSON.parse(chart.dataset.chart);
  const last = data.times.length - 1;
  const at = reading.has(chart) ? nearest(data.times, (reading.get(chart) - data.from) / 1000) : last;
  const jumps = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, PageUp: at - 10, PageDown: at + 10 };
  if (event.key === "Escape") hideReading(chart);
  if (!(event.key in jumps)) return;
  event.preventDefault();
  showReading(chart, reading.has(chart) ? jumps[event.key] : last);
}

function makeReadable(root) {
  for (const frame of root.querySelectorAll("[data-frame]")) {
    frame.classList.add("readable");
    frame.tabIndex = 0;
  }
}

function startReading() {
  makeReadable(document);
  document.addEventListener("pointermove", readAtPointer);
  document.addEventListener("pointerdown", readAtPointer);
  document.addEventListener("keydown", readWithKeys);
  document.addEventListener("focusout", (event) => {
    const chart = chartOf(event.target);
    if (chart) hideReading(chart);
  });
}

// ---- Keeping a live page fresh. ----

// Makes one element like another without replacing what is the same, so that focus, opened tables, scroll positions
// and the pointer's place survive. What the script itself added carries data-keep and is left alone.
function morph(from, to) {
  if (from.hasAttribute("data-keep") || from.isEqualNode(to)) return;
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value && !(name === "open")) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !["open", "tabindex", "class"].includes(name)) from.removeAttribute(name);
  }
  morphChildren(from, to);
}

function morphChildren(from, to) {
  let current = firstFresh(from.firstChild);
  for (const wanted of [...to.childNodes]) {
    const match = matching(from, current, wanted);
    if (!match) {
      from.insertBefore(wanted.cloneNode(true), current);
      continue;
    }
    if (match !== current) from.insertBefore(match, current);
    if (match.nodeType === Node.ELEMENT_NODE) morph(match, wanted);
    else if (match.nodeValue !== wanted.nodeValue) match.nodeValue = wanted.nodeValue;
    current = firstFresh(match.nextSibling);
  }
  while (current) {
    const next = firstFresh(current.nextSibling);
    current.remove();
    current = next;
  }
}

// The next node that the server knows of: the tip of a chart is ours.
function firstFresh(node) {
  while (node && node.nodeType === Node.ELEMENT_NODE && node.classList.contains("tip")) node = node.nextSibling;
  return node;
}

function matching(parent, current, wanted) {
  if (wanted.id) {
    for (let node = current; node; node = node.nextSibling) if (node.id === wanted.id) return node;
    return null;
  }
  const fits = current && current.nodeName === wanted.nodeName && !current.id;
  return fits ? current : null;
}

function startRefreshing() {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  let isPaused = false;
  let timer = 0;
  const show = (state) => {
    const element = main.querySelector(".live-state");
    if (!element) return;
    const text = element.dataset[state];
    if (element.textContent !== text) element.textContent = text;
    element.className = "live-state " + state;
    element.hidden = false;
  };
  const again = (delay) => {
    clearTimeout(timer);
    if (!isPaused && !document.hidden) timer = setTimeout(refresh, delay);
  };
  async function refresh() {
    const address = new URL(location.href);
    address.searchParams.set("fragment", "1");
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" }, redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect" || answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error("status " + answer.status);
      update(main, await answer.text());
      show("on");
      again(REFRESH_MS);
    } catch {
      show("lost");
      again(RETRY_MS);
    }
  }
  const button = main.querySelector(".live-switch");
  button.hidden = false;
  button.addEventListener("click", () => {
    isPaused = !isPaused;
    button.textContent = isPaused ? button.dataset.resume : button.dataset.pause;
    show(isPaused ? "paused" : "on");
    if (isPaused) clearTimeout(timer); else refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer); else if (!isPaused) refresh();
  });
  show("on");
  again(REFRESH_MS);
}

function update(main, markup) {
  const fresh = document.createElement("main");
  fresh.innerHTML = markup;
  makeReadable(fresh);
  morphChildren(main, fresh);
  for (const chart of main.querySelectorAll(".chart")) {
    if (!reading.has(chart)) continue;
    const data = JSON.parse(chart.dataset.chart);
    showReading(chart, nearest(data.times, (reading.get(chart) - data.from) / 1000));
  }
}

// ---- Links that are for others: a click copies them where the browser allows that. ----

function startCopying() {
  document.addEventListener("click", async (event) => {
    const link = event.target instanceof Element && event.target.closest("a[data-copy]");
    if (!link || !navigator.clipboard) return;
    event.preventDefault();
    const label = [...link.childNodes];
    try {
      await navigator.clipboard.writeText(link.href);
      link.textContent = link.dataset.copy;
      setTimeout(() => link.replaceChildren(...label), 2000);
    } catch {
      location.assign(link.href);
    }
  });
}

startReading();
startRefreshing();
startCopying();
