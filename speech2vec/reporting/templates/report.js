"use strict";
// Switches between levels, readouts on line charts, and the word explorer. No library, no network.

const byId = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function showTip(text, x, y) {
  const tip = byId("tip");
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - width - 4)) + "px";
  tip.style.top = (y - height - 12 < 4 ? y + 16 : y - height - 12) + "px";
}

function hideTip() {
  byId("tip").hidden = true;
}

function press(button) {
  for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
}

for (const group of document.querySelectorAll(".levels")) {
  const choice = group.querySelector(".switch");
  if (!choice) continue;
  const show = (number) => {
    for (const level of group.querySelectorAll(".level")) level.hidden = level.dataset.level !== number;
  };
  choice.hidden = false;
  show("0");
  choice.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    press(button);
    show(button.dataset.level);
  });
}

for (const estimate of document.querySelectorAll(".estimate")) {
  // The pointer's tip in place of the browser's, which is slow and absent on touch.
  const text = estimate.title;
  estimate.removeAttribute("title");
  estimate.addEventListener("pointermove", (event) => showTip(text, event.clientX, event.clientY));
  estimate.addEventListener("pointerleave", hideTip);
}

for (const figure of document.querySelectorAll("figure.lines")) {
  const chart = JSON.parse(figure.dataset.chart);
  const plot = figure.querySelector(".plot");
  const xs = [...new Set(chart.lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
  const low = xs[0], high = Math.max(xs[xs.length - 1], low + (xs.length > 1 ? 0 : 1));
  const cursor = document.createElement("span");
  cursor.className = "cursor";
  cursor.hidden = true;
  plot.append(cursor);
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const at = low + (high - low) * (event.clientX - box.left) / box.width;
    const x = xs.reduce((best, one) => (Math.abs(one - at) < Math.abs(best - at) ? one : best));
    const values = [];
    for (const line of chart.lines) {
      const point = line.points.find((one) => one[0] === x);
      if (point) values.push(`${line.name}: ${Number(point[1].toPrecision(4))}`);
    }
    cursor.style.left = `${100 * (x - low) / (high - low)}%`;
    cursor.hidden = false;
    showTip([`${chart.x} ${x}`, ...values].join("\n"), event.clientX, event.clientY);
  });
  plot.addEventListener("pointerleave", () => {
    cursor.hidden = true;
    hideTip();
  });
}

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true));
}

function explorer(data) {
  const words = data.words.split(" ");
  const index = new Map(words.map((word, i) => [word, i]));
  const nearest = unpack(data.nearest), cosines = unpack(data.cosines);
  const cosine = (i) => (cosines[i] / 65535) * 2 - 1;
  const input = byId("word-search"), status = byId("search-status"), suggestions = byId("suggestions");
  const body = document.querySelector("#neighbours tbody");
  const map = data.map && byId("map") ? drawMap(data.map, choose) : null;

  const player = new Audio();

  function playButton(word, button = document.createElement("button")) {
    button.type = "button";
    button.className = "play";
    button.hidden = !(word in data.clips);
    button.setAttribute("aria-label", `Play “${word}”`);
    button.onclick = () => {
      player.src = `data:${data.media};base64,${data.clips[word]}`;
      player.play();
    };
    return button;
  }

  function wordButton(word) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word;
    button.addEventListener("click", () => choose(word));
    return button;
  }

  function choose(word) {
    const row = index.get(word);
    if (row === undefined) return;
    input.value = word;
    suggestions.replaceChildren();
    playButton(word, byId("play"));
    const near = [];
    for (let i = row * data.each; i < (row + 1) * data.each; i++) near.push([nearest[i], cosine(i)]);
    // As many decimals as tell the first neighbour from the last: cosines may all lie close to 1.
    const span = near[0][1] - near[near.length - 1][1];
    const digits = Math.min(5, Math.max(3, 1 - Math.floor(Math.log10(span || 1))));
    body.replaceChildren(...near.map(([other, value]) => {
      const line = document.createElement("tr");
      const heard = document.createElement("span");
      heard.className = "heard";
      heard.append(...(words[other] in data.clips ? [playButton(words[other])] : []), wordButton(words[other]));
      const count = data.counts[other].toLocaleString("en");
      for (const content of [heard, value.toFixed(digits), count]) {
        const cell = document.createElement("td");
        cell.append(content);
        line.append(cell);
      }
      return line;
    }));
    const placed = map && map.show(word, near.map(([other]) => words[other]));
    status.textContent = `“${word}” occurs ${data.counts[row].toLocaleString("en")} times` +
      (map && !placed ? "; not among the words of the map" : "");
  }

  function search() {
    const typed = input.value.trim().toLowerCase();
    suggestions.replaceChildren();
    byId("play").hidden = true;
    if (!typed) {
      status.textContent = "";
      return;
    }
    const starts = words.filter((word) => word.startsWith(typed) && word !== typed);
    const holds = starts.length < 8 ? words.filter((word) => word.indexOf(typed) > 0) : [];
    const found = [...starts, ...holds].slice(0, 8);
    if (index.has(typed)) choose(typed);
    else if (!found.length) status.textContent = `“${typed}” is not among the ${words.length.toLocaleString("en")} words`;
    else status.textContent = "";
    suggestions.replaceChildren(...found.map(wordButton));
  }

  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const first = suggestions.querySelector("button");
    if (!index.has(input.value.trim().toLowerCase()) && first) first.click();
  });
  choose(words[data.first]);
}

function drawMap(data, onChoose) {
  const canvas = byId("map"), pen = canvas.getContext("2d"), note = byId("plane-note");
  const words = data.words.split(" ");
  const place = new Map(words.map((word, i) => [word, i]));
  const planes = Object.fromEntries(Object.entries(data.planes).map(([name, text]) => [name, unpack(text)]));
  let plane = Object.keys(planes)[0], groups = null;
  const palette = ["--s0", "--s1", "--s3", "--s4", "--s7", "--s8", "--s9"];
  let view = { x: 0.5, y: 0.5, zoom: 1 };
  const [shortest, longest] = data.scale;
  let chosen = -1, near = [], pointed = -1, size = { width: 0, height: 0 };

  // The cloud's extent on each plane, so that it fills whatever shape the canvas has.
  const extent = Object.fromEntries(Object.entries(planes).map(([name, points]) => {
    const span = (start) => {
      const values = points.filter((_, i) => i % 2 === start);
      return Math.max(1, values.reduce((a, b) => Math.max(a, b)) - values.reduce((a, b) => Math.min(a, b))) / 65535;
    };
    return [name, [span(0), span(1)]];
  }));
  const scale = () =>
    view.zoom * Math.min((size.width - 60) / extent[plane][0], (size.height - 30) / extent[plane][1]);
  const screen = (i) => [
    size.width / 2 + (planes[plane][2 * i] / 65535 - view.x) * scale(),
    size.height / 2 - (planes[plane][2 * i + 1] / 65535 - view.y) * scale(),
  ];

  function mix(share) {
    const ends = [colour("--low-dot"), colour("--mid-dot"), colour("--high")].map((hex) =>
      [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    const [from, to, part] = share < 0.5 ? [ends[0], ends[1], 2 * share] : [ends[1], ends[2], 2 * share - 1];
    return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * part)).join(",")})`;
  }

  function label(i, strong, taken, always = false) {
    const [x, y] = screen(i);
    pen.font = `${strong ? "600 13px" : "11.5px"} system-ui, sans-serif`;
    const width = pen.measureText(words[i]).width;
    const box = [x + 5, y - 8, x + 9 + width, y + 8];
    if (box[0] < 0 || box[2] > size.width || box[1] < 0 || box[3] > size.height) {
      if (!strong) return;
      if (box[2] > size.width) { box[0] = x - 9 - width; box[2] = x - 5; }
    }
    if (!always && taken.some((b) => box[0] < b[2] && box[2] > b[0] && box[1] < b[3] && box[3] > b[1])) return;
    taken.push(box);
    if (strong) {
      pen.fillStyle = colour("--paper");
      pen.globalAlpha = 0.85;
      pen.fillRect(box[0] - 1, box[1], box[2] - box[0] + 1, 16);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = colour(strong ? "--ink" : "--soft");
    pen.textBaseline = "middle";
    pen.fillText(words[i], box[0] + 2, y);
  }

  function draw() {
    const ratio = devicePixelRatio || 1;
    size = { width: canvas.clientWidth, height: canvas.clientHeight };
    canvas.width = size.width * ratio;
    canvas.height = size.height * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, size.width, size.height);
    const marked = new Set([chosen, pointed, ...near]);
    for (let i = words.length - 1; i >= 0; i--) {
      const [x, y] = screen(i);
      pen.globalAlpha = chosen < 0 || marked.has(i) ? 1 : 0.6;
      pen.fillStyle = groups
        ? colour(groups.of[i] < 0 ? "--line" : palette[groups.of[i] % palette.length])
        : mix(Math.min(1, Math.max(0, (data.seconds[i] - shortest) / (longest - shortest || 1))));
      pen.beginPath();
      pen.arc(x, y, marked.has(i) ? 5 : 3, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
    const ringed = chosen >= 0 ? [chosen, ...near] : [];
    for (const i of ringed) {
      const [x, y] = screen(i);
      pen.strokeStyle = colour("--ink");
      pen.lineWidth = i === chosen ? 2.5 : 1;
      pen.beginPath();
      pen.arc(x, y, i === chosen ? 8 : 6, 0, 7);
      pen.stroke();
    }
    const taken = [];
    if (pointed >= 0) label(pointed, true, taken, true);
    if (chosen >= 0) label(chosen, true, taken, true);
    for (const i of near) label(i, true, taken);
    for (let i = 0; i < words.length; i++) if (!marked.has(i)) label(i, false, taken);
    note.textContent = plane === "PCA" ? `two components hold ${Math.round(100 * data.explained)} % of the variance` : "";
  }

  function closest(event) {
    const box = canvas.getBoundingClientRect();
    let best = -1, distance = 18 ** 2;
    for (let i = 0; i < words.length; i++) {
      const [x, y] = screen(i);
      const d = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
      if (d < distance) [best, distance] = [i, d];
    }
    return best;
  }

  let dragged = null, moved = false;
  canvas.addEventListener("pointerdown", (event) => {
    dragged = { x: event.clientX, y: event.clientY };
    moved = false;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged && event.buttons && event.pointerType === "mouse") {
      const [dx, dy] = [event.clientX - dragged.x, event.clientY - dragged.y];
      if (moved || Math.hypot(dx, dy) > 4) {
        moved = true;
        view = { ...view, x: view.x - dx / scale(), y: view.y + dy / scale() };
        dragged = { x: event.clientX, y: event.clientY };
        draw();
        return;
      }
    }
    const at = closest(event);
    const group = groups && at >= 0 && groups.of[at] >= 0 ? `\n${groups.names[groups.of[at]]}` : "";
    if (at >= 0) showTip(`${words[at]}\nmean ${data.seconds[at].toFixed(2)} s${group}`, event.clientX, event.clientY);
    else hideTip();
    if (at !== pointed) {
      pointed = at;
      draw();
    }
  });
  canvas.addEventListener("pointerleave", () => {
    pointed = -1;
    dragged = null;
    hideTip();
    draw();
  });
  canvas.addEventListener("click", (event) => {
    dragged = null;
    const at = closest(event);
    if (!moved && at >= 0) onChoose(words[at]);
  });
  for (const button of document.querySelectorAll("[data-plane]")) {
    button.addEventListener("click", () => {
      press(button);
      plane = button.dataset.plane;
      draw();
    });
  }
  for (const button of document.querySelectorAll("[data-colour]")) {
    button.addEventListener("click", () => {
      press(button);
      groups = data.groups[button.dataset.colour] || null;
      const legend = byId("groups");
      legend.hidden = !groups;
      document.querySelector(".scale .range").hidden = Boolean(groups);
      legend.replaceChildren(...(groups ? groups.names : []).map((name, i) => {
        const item = document.createElement("li"), key = document.createElement("span");
        key.className = "key";
        item.style.setProperty("--c", `var(${palette[i % palette.length]})`);
        item.append(key, name);
        return item;
      }));
      byId("agreement").textContent = groups
        ? `Of a word's nearest ten, ${groups.shared} % are of its own group; by chance ${groups.chance} % would be.` : "";
      draw();
    });
  }
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      const factor = { in: 1.6, out: 1 / 1.6, all: 0 }[button.dataset.zoom];
      if (!factor) view = { x: 0.5, y: 0.5, zoom: 1 };
      else {
        if (factor > 1 && view.zoom === 1 && chosen >= 0) {
          view.x = planes[plane][2 * chosen] / 65535;
          view.y = planes[plane][2 * chosen + 1] / 65535;
        }
        view = { ...view, zoom: Math.min(40, Math.max(1, view.zoom * factor)) };
        if (view.zoom === 1) view = { x: 0.5, y: 0.5, zoom: 1 };
      }
      draw();
    });
  }
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    /** Mark a word and its neighbours; false if the map does not hold the word. */
    show(word, neighbours) {
      chosen = place.has(word) ? place.get(word) : -1;
      near = chosen < 0 ? [] : neighbours.map((one) => place.get(one)).filter((i) => i !== undefined);
      draw();
      return chosen >= 0;
    },
  };
}

if (byId("vectors-data")) explorer(JSON.parse(byId("vectors-data").textContent));
