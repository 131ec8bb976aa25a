"use strict";
// The page's actions and views. Texts from the model are set as text, never as HTML.

const TOP = 5; // classes shown
const content = JSON.parse(get("content").textContent);
const { sizes } = content;
let isReady = false, last = null; // the last chosen image, with its name and class
let number = 0, shown = null; // number of the image that was classified last, and its answer

// --- The worker's answers ------------------------------------------------------------------------
const ANSWERS = {
  ready() {
    isReady = true;
    report("Choose an image, or one of the examples.", null);
    if (last) classify(...last);
    else get("examples").querySelector("button")?.click();
  },

  progress({ of, share, number: its }) {
    if (of === "classify" && its !== number) return;
    get("progress").value = share;
  },

  classified(answer) {
    if (answer.number !== number) return;
    shown = { ...shown, ...answer, falls: null }; // with its name and class
    const order = [...answer.shares.keys()].sort((a, b) => answer.shares[b] - answer.shares[a]);
    shown.label = order[0];
    const name = content.classes[shown.label];
    const truth = shown.truth === null ? "" : ` It is labeled “${shown.truth}”.`;
    const sure = percent(answer.shares[shown.label]), seconds = answer.seconds.toFixed(1);
    shown.sentence = `“${name}”, ${sure}.${truth} Computed in ${seconds} s.`;
    const rows = order.slice(0, TOP).map((i) => showClass(content.classes[i], answer.shares[i]));
    get("classes").replaceChildren(...rows);
    get("result").hidden = false;
    choose();
  },

  occluded({ number: its, grid, cell, fall }) {
    if (its !== number || view() !== "occlusion") return;
    shown.falls ??= { grid, values: new Float32Array(grid[0] * grid[1]).fill(NaN) };
    shown.falls.values[cell] = fall;
    const count = shown.falls.values.length, isDone = cell + 1 === count;
    if (isDone) report(`${shown.sentence} All ${count} parts are covered.`, null);
    else report(`Covering ${count} parts of the image, one after another …`, (cell + 1) / count);
    draw();
  },

  failed: ({ message }) => fail(message),
};
const worker = startWorker(content, ANSWERS);

/** Says what is done, and the share of it that is ready, null for no bar. */
function report(text, share) {
  say(text);
  get("progress").classList.toggle("idle", share === null);
  get("progress").value = share ?? 0;
}

function fail(message) {
  report(`This did not work: ${message}`, null);
}

// --- Images --------------------------------------------------------------------------------------
/** Takes an image file, a Blob; `truth` is the name of its class, if that is known. */
async function take(file, name, truth = null) {
  const canvas = await readChoice(file, name);
  if (canvas) classify(canvas, name, truth);
}

function classify(canvas, name, truth) {
  last = [canvas, name, truth];
  if (!isReady) return;
  number += 1;
  shown = { name, truth };
  get("result").hidden = true;
  report(`Looking at “${name}” …`, 0);
  worker.postMessage({ task: "classify", number, canvas, invert: get("invert").checked });
}

// --- Views ---------------------------------------------------------------------------------------
const view = () => document.querySelector("input[name=view]:checked").value;
const [attends, pooled] = sizes.pools_patches
  ? ["the patches attend to on average", "the mean of all patches"]
  : ["the class token attends to", "the class token"];

const EXPLANATIONS = {
  image: () => "The image as the model sees it, at the size of its input.",
  attention: () =>
    `What ${attends} in this block, Eq. 6 of the paper. Much of it may not matter to the class.`,
  rollout: () =>
    `How much of each patch reaches ${pooled} through all blocks (Appendix D.8). ` +
    "It follows attention, not its effect on the class.",
  occlusion: () =>
    `How far the probability of “${content.classes[shown.label]}” falls when a part is covered: ` +
    "orange speaks for the class, violet against it.",
};

/** Shows the view that is chosen. */
function choose() {
  get("attention-part").hidden = view() !== "attention";
  get("explanation").textContent = EXPLANATIONS[view()]();
  report(shown.sentence, null);
  const isMissing = view() === "occlusion" && !shown.falls?.values.every((v) => !Number.isNaN(v));
  const { image, label } = shown;
  worker.postMessage(isMissing ? { task: "occlude", number, image, label } : { task: "stop" });
  draw();
}

/** Returns the map to draw over the image: {values, grid, signed}; null for none. */
function chosenMap() {
  if (view() === "occlusion") return shown.falls && { ...shown.falls, signed: true };
  if (view() === "rollout") return { values: shown.rolled, grid: sizes.grid };
  if (view() !== "attention") return null;
  const heads = shown.attention[get("block").value - 1], head = get("head").value;
  const mean = (_, i) => heads.reduce((sum, a) => sum + a[i] / heads.length, 0);
  const values = head ? heads[head] : heads[0].map(mean);
  return { values, grid: sizes.grid };
}

function draw() {
  const { height, width } = shown.image, map = chosenMap(), canvas = get("view");
  const scale = Math.max(1, Math.ceil(448 / Math.max(height, width)));
  Object.assign(canvas, { height: height * scale, width: width * scale });
  const small = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  small.getContext("2d").putImageData(overlay(shown.image, map), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  const title = document.querySelector("input[name=view]:checked").parentElement.textContent.trim();
  canvas.setAttribute("aria-label", `${title}: ${shown.name}${map ? `, ${describe(map)}` : ""}`);
  get("caption").textContent = map ? describe(map) : shown.name;
}

/** Describes where a map is highest. */
function describe({ values, grid, signed }) {
  const best = values.reduce((top, v, i) => (v > (values[top] ?? -Infinity) ? i : top), -1);
  if (best < 0) return "";
  const value = signed ? `${fixed(100 * values[best], 1)} points` : percent(values[best]);
  const [row, column] = [Math.floor(best / grid[1]) + 1, (best % grid[1]) + 1];
  return `highest: ${value}, row ${row}, column ${column}`;
}

// --- The page ------------------------------------------------------------------------------------
function fillPage() {
  get("facts").append(...content.facts.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  get("classes-title").textContent = `Its ${content.classes.length.toLocaleString("en")} classes`;
  get("all-classes").textContent = content.classes.join(", ");
  get("examples-part").hidden = !content.examples.length;
  get("examples").append(...content.examples.map((example) => showExample(example, take)));
  get("invert-label").hidden = sizes.channels !== 1;
  get("block").max = get("block").value = get("block-number").value = sizes.blocks;
  get("head").append(make("option", "mean of all", { value: "" }));
  for (let i = 0; i < sizes.heads; i++) get("head").append(make("option", i + 1, { value: i }));
}

function listen() {
  receiveFiles(get("file"), get("drop"), (file) => {
    press(null);
    take(file, file.name);
  });
  get("invert").onchange = () => {
    refusal = "";
    if (last) classify(...last);
  };
  get("views").onchange = () => {
    refusal = "";
    choose();
  };
  get("head").onchange = draw;
  get("block").oninput = () => {
    get("block-number").value = get("block").value;
    draw();
  };
}

fillPage();
listen();
