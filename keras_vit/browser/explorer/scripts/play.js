"use strict";
// The screens "Play" and "What matters".

// --- Changed images --------------------------------------------------------------------------
/** Returns an image with reordered patches: patch order[i] is at place i. */
function rearrange(image, order) {
  const { width, height, channels } = image, data = image.data.slice();
  const [p, q] = [height / ROWS, width / COLUMNS], line = q * channels;
  const start = (i) => (Math.floor(i / COLUMNS) * p * width + (i % COLUMNS) * q) * channels;
  order.forEach((patch, place) => {
    for (let row = 0; row < p; row++) {
      const from = start(patch) + row * width * channels;
      data.set(image.data.subarray(from, from + line), start(place) + row * width * channels);
    }
  });
  return { ...image, data };
}

function swap(image, a, b) {
  const order = [...Array(PATCHES).keys()];
  [order[a], order[b]] = [b, a];
  return rearrange(image, order);
}

/** Returns an image with one color at the pixels for which isIn(row, column) is true. */
function color(image, rgb, isIn) {
  const data = image.data.slice(), { width, channels } = image;
  const gray = Math.round(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]);
  for (let i = 0; i < data.length / channels; i++) {
    if (isIn(Math.floor(i / width), i % width)) data.set(channels === 3 ? rgb : [gray], i * channels);
  }
  return { ...image, data };
}

// --- Play ----------------------------------------------------------------------------------------
/** The image to mask, draw on and swap patches of. Returns {element, draw}. */
function board() {
  const tools = ["Mask", "Draw", "Swap"];
  let tool = 0, first = null, hides = null; // first patch of Swap; whether Mask hides
  const ink = make("input", null, { type: "color", value: "#ff7a1a" });
  const label = make("label", "Color ", { className: "ink" });
  label.append(ink);
  const rgb = () => [1, 3, 5].map((i) => parseInt(ink.value.slice(i, i + 2), 16));
  const choose = choice("Tool", tools, (i) => {
    [tool, first] = [i, null];
    render();
  });
  const mask = (patch, isHidden) => {
    const without = new Set(state.ways.without);
    if (isHidden) without.add(patch);
    else without.delete(patch);
    if (without.size < PATCHES && without.size !== state.ways.without.size) change({ without });
  };
  const swapWith = (patch) => {
    if (first === null) first = patch;
    else {
      change({}, swap(state.image, first, patch));
      first = null;
    }
    render();
  };
  const whole = (patch) => (row, column) => cellOf(row * state.image.width + column, state.image.width, state.image.height, sizes.grid) === patch;
  const pick = (patch, event) => {
    if (event.detail) return; // a pointer, see below
    if (tool === 0) mask(patch, !state.ways.without.has(patch));
    if (tool === 1) change({}, color(state.image, rgb(), whole(patch)));
    if (tool === 2) swapWith(patch);
  };
  const tell = (i) => ({
    value: `${named(i)}${state.ways.without.has(i) ? ", masked" : ""}: rollout ${percent(found.rolled[i])}`, shape: `z₀: ${FIRST + PATCHES} × ${parts.dim}`, line: "Eq. 1",
  });
  const map = tiles({ ...ON_IMAGE, name: named, pick, tell, className: "board" });
  const pointer = ({ clientX, clientY, type }) => {
    const { left, top, width, height } = map.element.getBoundingClientRect(), { image } = state;
    const row = Math.floor(((clientY - top) / height) * image.height), column = Math.floor(((clientX - left) / width) * image.width);
    if (row < 0 || column < 0 || row >= image.height || column >= image.width) return;
    const patch = cellOf(row * image.width + column, image.width, image.height, sizes.grid);
    if (type === "pointerdown") hides = !state.ways.without.has(patch);
    if (tool === 0) mask(patch, hides);
    if (tool === 1) change({}, color(image, rgb(), (y, x) => Math.hypot(y - row, x - column) < 1.5));
    if (tool === 2 && type === "pointerdown") swapWith(patch);
  };
  map.element.onpointerdown = pointer;
  map.element.onpointermove = (event) => event.buttons && pointer(event);
  const shuffle = make("button", "Shuffle", { type: "button", className: "button" });
  shuffle.onclick = () => change({}, rearrange(state.image, shuffled(PATCHES)));
  const bar = make("div", null, { className: "choices" });
  bar.append(choose.element, label, shuffle);
  const text = caption();
  const draw = () => {
    choose.draw(tool);
    label.hidden = tool !== 1;
    const isWaiting = first !== null;
    text.textContent = [
      "Click or drag: masked patches are removed from the sequence. On the next screen they are covered with a color instead.", "Draw on the image.",
      isWaiting ? "Now click the patch to swap it with." : "Click two patches.",
    ][tool];
    map.draw(overlayPatches(null), { selected: first ?? -1, off: state.ways.without });
  };
  return { element: panel("The image", bar, map.element, text), draw };
}

/** Switches of heads and blocks, and the temperature. Returns {element, draw}. */
function switches() {
  const table = make("div", null, { className: "switches" }), buttons = [];
  table.style.setProperty("--heads", sizes.heads);
  const toggle = (kind, item) => {
    const all = new Set(state.ways[kind]);
    if (!all.delete(item)) all.add(item);
    change({ [kind]: all });
  };
  const add = (text, kind, item, name) => {
    const button = make("button", text, { type: "button" });
    button.setAttribute("aria-label", name);
    button.onclick = () => toggle(kind, item);
    explain(button, () => ({ value: `${name}: ${state.ways[kind].has(item) ? "off" : "on"}`, shape: kind === "heads" ? `d = ${parts.dim / sizes.heads}` : "", line: kind === "heads" ? "Eq. 7" : "Eq. 2" }));
    buttons.push({ button, kind, item });
    table.append(button);
  };
  for (let i = 0; i < sizes.blocks; i++) {
    add(`block ${i + 1}`, "blocks", i, `Block ${i + 1}`);
    for (let j = 0; j < sizes.heads; j++) add(`${j + 1}`, "heads", `${i} ${j}`, `Block ${i + 1}, head ${j + 1}`);
  }
  const slider = make("input", null, { type: "range", min: -1, max: 1, step: 0.05 }), output = make("output", "");
  slider.oninput = () => change({ temperature: 10 ** slider.value });
  const label = make("label", "Attention temperature ", { className: "slider" });
  label.append(output, slider);
  explain(slider, () => ({ value: "Scores are divided by the temperature: low is sharp, high is even", shape: "", line: "scale" }));
  const draw = () => {
    for (const { button, kind, item } of buttons) button.setAttribute("aria-pressed", !state.ways[kind].has(item));
    slider.value = Math.log10(state.ways.temperature);
    output.textContent = state.ways.temperature.toFixed(2);
  };
  const text = caption("Low: the best matches get all attention. High: every patch gets the same.");
  return { element: panel("Blocks and their heads", table, label, text), draw };
}

/** Rows of classes with the probability now and before the changes. */
function compareClasses(list) {
  const chosen = [...new Set([...mainClasses(found.shares), ...mainClasses(before?.shares ?? found.shares, 2)])].slice(0, 4);
  list.replaceChildren(...chosen.map((i) => {
    const row = showClass(classes[i], found.shares[i]), old = before?.shares[i];
    if (old === undefined || !listChanges().length) return row;
    const mark = make("em", "");
    mark.style.left = `${100 * old}%`;
    row.append(mark);
    row.title = `before: ${percent(old)}`;
    return row;
  }));
}

const SVG = "http://www.w3.org/2000/svg";

/** Lines of probabilities, one point for each layer. Returns {element, draw}. */
function layerLines() {
  const [width, height] = [260, 110], drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `-4 -6 ${width + 76} ${height + 26}`);
  drawing.setAttribute("role", "img");
  drawing.classList.add("lines");
  const put = (name, attributes, text = "") => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    drawing.append(element);
  };
  const draw = () => {
    const shares = found.read.map((tokens) => tokens[0]), last = shares.length - 1;
    const chosen = mainClasses(found.shares), x = (i) => (i / last) * width, y = (v) => (1 - v) * height;
    drawing.replaceChildren();
    for (const v of [0, 0.5, 1]) put("line", { x1: 0, x2: width, y1: y(v), y2: y(v), class: "rule" });
    shares.forEach((_, i) => put("text", { x: x(i), y: height + 16, "text-anchor": i ? "middle" : "start" }, i ? `${i}` : "start"));
    let lowest = Infinity; // labels do not overlap
    const ends = [...chosen].sort((a, b) => found.shares[a] - found.shares[b]).map((i) => [i, (lowest = Math.min(lowest - 14, y(found.shares[i]) + 4))]);
    const places = new Map(ends);
    chosen.forEach((label, n) => {
      const points = shares.map((each, i) => `${x(i)},${y(each[label])}`).join(" ");
      put("polyline", { points, class: `line-${n}` });
      put("text", { x: width + 6, y: places.get(label), class: `line-${n}` }, classes[label]);
    });
    const texts = chosen.map((i) => `${classes[i]} ${shares.map((each) => percent(each[i])).join(", ")}`);
    drawing.setAttribute("aria-label", `Probability after each block: ${texts.join("; ")}`);
  };
  return { element: drawing, draw };
}

SCREENS.play = (figure) => {
  const image = board(), parts_ = switches(), lines = layerLines();
  const list = make("ol", null, { className: "classes" });
  const [looks, rolled] = [make("canvas", null, { className: "picture" }), make("canvas", null, { className: "picture" })];
  const maps = make("div", null, { className: "pair" }), bars = [colorBar(), colorBar()];
  const title = make("h3", "");
  maps.append(panel(null, title, looks, bars[0].element), panel("Rollout, all blocks", rolled, bars[1].element));
  parts_.element.append(maps, caption("From the class token, mean of all heads."));
  const time = caption();
  figure.append(image.element, parts_.element, panel("Prediction", list, lines.element, caption("Probability that the head gives after each block; the start is the same for every image."), time));
  return () => {
    image.draw();
    parts_.draw();
    lines.draw();
    compareClasses(list);
    const last = found.attention.findLastIndex((maps_) => maps_);
    const row = attentionRow(last, null, 0);
    title.textContent = last < 0 ? "No attention" : `Attention, block ${last + 1}`;
    [[looks, row], [rolled, found.rolled]].forEach(([canvas, values], i) => {
      paint(canvas, mapPatches(values));
      bars[i].draw(largest(values));
    });
    const marks = listChanges().length ? "The marks are from before your changes. " : "";
    time.textContent = `${marks}Computed here in ${Math.max(1, Math.round(1000 * found.seconds))} ms.`;
  };
};

// --- What matters --------------------------------------------------------------------------------
/** Returns the rank of each value, from 0 to 1: the highest is 1; equal values share theirs. */
function ranks(values) {
  const sorted = Float64Array.from(values).sort(), end = values.length - 1;
  return Array.from(values, (v) => {
    const low = sorted.findIndex((w) => w >= v), high = sorted.findLastIndex((w) => w <= v);
    return (low + high) / 2 / end;
  });
}

function correlation(a, b) {
  const mean = (x) => x.reduce((sum, v) => sum + v, 0) / x.length, [ma, mb] = [mean(a), mean(b)];
  const dot = (x, mx, y, my) => x.reduce((sum, v, i) => sum + (v - mx) * (y[i] - my), 0);
  return dot(a, ma, b, mb) / Math.sqrt(dot(a, ma, a, ma) * dot(b, mb, b, mb) || 1);
}

/** Approximate relative luminance of WCAG 2. */
const luminance = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => sum + share * (rgb[i] / 255) ** 2.2, 0);

/** Writes a drop in the lead as a change. */
function writeChange(fall) {
  const size = Math.abs(fall).toFixed(2);
  return size === "0.00" ? size : `${fall > 0 ? "−" : "+"}${size}`;
}

const SMALL = 0.1; // share of the lead; if no patch lowers it by more, their order means little

SCREENS.matters = (figure) => {
  let of = null, number = 0, label = 0, falls = null, heads = null;
  const fallAt = (i) => `lead of “${classes[label]}” ${writeChange(falls[i])}`;
  const map = (name, tell) => tiles({ ...ON_IMAGE, label: name, name: named, pick: selectPatch, tell });
  const covered = map("Falls when a patch is covered", (i) => ({ value: `${named(i)} covered: ${fallAt(i)}`, shape: `${PATCHES} runs of the model`, line: "Eq. 1" }));
  const rolled = map("Rollout", (i) => ({ value: `${named(i)}: rollout ${percent(found.rolled[i])}`, shape: `${PATCHES} shares`, line: "Eq. 6" }));
  const differ = map("Where they disagree", (i) => ({ value: `${named(i)}: ${fallAt(i)}, rollout ${percent(found.rolled[i])}`, shape: `${PATCHES} ranks`, line: "Eq. 6" }));
  const table = make("table", null, { className: "ablation" }), text = make("p", "", { className: "verdict" });
  const bars = [colorBar({ signed: true, write: short }), colorBar(), colorBar({ signed: true, write: plain })];
  bars[2].draw(1);
  figure.append(
    panel("1. Cover each patch", covered.element, bars[0].element, caption("Orange: the lead falls.")),
    panel("2. Attention rollout", rolled.element, bars[1].element, caption("Share in the class token.")),
    panel("Where the two disagree", differ.element, bars[2].element, caption("Orange: 1 ranks it higher.")),
    text, panel("Change of the lead without one head, or one block", table, caption("Effects do not add up: one head can matter more than its block.")),
  );
  figure.lastChild.classList.add("grow");
  ANSWERS.occluded = (answer) => {
    if (answer.number !== number) return;
    falls[answer.cell] = answer.fall;
    if (answer.cell % 8 === 7 || answer.cell === falls.length - 1) render();
  };
  ANSWERS.ablated = (answer) => {
    if (answer.number !== number) return;
    heads = answer;
    render();
  };
  const test = () => {
    [of, number, label, heads] = [found, number + 1, argmax(found.shares), null];
    falls = new Float32Array(PATCHES).fill(NaN);
    const { image, ways } = state;
    for (const task of ["ablate", "occlude"]) worker.postMessage({ task, number, image, label, ways, measure: "lead" });
  };
  return () => {
    if (of !== found) test();
    const isDone = !falls.some(Number.isNaN), difference = isDone && ranks(falls).map((v, i) => v - ranks(found.rolled)[i]);
    differ.element.parentElement.hidden = isDone && isEven();
    const far = largest(falls.filter((v) => !Number.isNaN(v)));
    covered.draw(mapPatches(falls, { signed: true, far }));
    bars[0].draw(far);
    rolled.draw(mapPatches(found.rolled));
    bars[1].draw(largest(found.rolled));
    differ.draw(mapPatches(isDone ? difference : new Float32Array(PATCHES).fill(NaN), { signed: true, far: 1 }));
    table.replaceChildren(...(heads ? ablationRows(heads) : []));
    text.textContent = isDone ? verdict(falls) : `Covering ${PATCHES} patches, one after another …`;
  };
  /** Whether no patch matters much. */
  function isEven() {
    return Math.max(...falls) < SMALL * heads.lead;
  }
  function verdict(values) {
    const top = argmax(values), place = 1 + found.rolled.filter((v) => v > found.rolled[top]).length;
    const size = `The lead of “${classes[label]}” is ${fixed(heads.lead, 2)}. `;
    if (isEven()) return `${size}No single patch matters much: the largest drop is ${Math.max(0, values[top]).toFixed(2)}. Try an image with a less certain prediction.`;
    const agreement = fixed(correlation(ranks(values), ranks(found.rolled)), 2);
    return `${size}Covering patch ${top + 1} lowers it most: ${writeChange(values[top])}. In rollout it ranks ${place} of ${PATCHES}. ` +
      `Rank correlation of the two maps: ${agreement} (1: the same order, 0: unrelated, −1: reversed).`;
  }
  function ablationRows({ byHead, byBlock }) {
    const head = make("tr", null), far = largest(byHead.flat(), byBlock);
    head.append(make("th", "lead", { scope: "col" }), ...count(sizes.heads).map((i) => make("th", `head ${i}`, { scope: "col" })), make("th", "whole block", { scope: "col" }));
    return [head, ...byHead.map((row, i) => {
      const line = make("tr", null);
      line.append(make("th", `block ${i + 1}`, { scope: "row" }));
      for (const v of [...row, byBlock[i]]) {
        const cell = make("td", writeChange(v)), [rgb] = colorsOf({ values: [v], signed: true, far });
        cell.style.background = `rgb(${rgb.map(Math.round)})`;
        cell.style.color = luminance(rgb) < 0.179 ? "#fff" : "#000"; // the color with the higher contrast
        line.append(cell);
      }
      return line;
    })];
  }
};
