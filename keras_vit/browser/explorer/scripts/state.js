"use strict";
// The state: what is shown, and the worker's results for it. The screens are in other files.

const content = JSON.parse(get("content").textContent), { sizes, classes, code } = content;
const [ROWS, COLUMNS] = sizes.grid, FIRST = sizes.prefix_tokens, PATCHES = ROWS * COLUMNS;

const state = {
  image: null, // as the model gets it, {data, height, width, channels}
  whole: null, // ... before it was changed
  name: "", truth: null, // name of its file, and its class if known
  number: 0, // of images so far
  patch: Math.floor(0.75 * ROWS) * COLUMNS + Math.floor(COLUMNS / 4), token: 0, // chosen patch and token
  block: sizes.blocks - 1, head: 0,
  ways: null, // see engine.js
};
let parts = null; // weights
let found = null, before = null; // results for the image, and before it was changed
let isBusy = false, isStale = false; // the worker is computing; its result is out of date

function unchanged() {
  return { without: new Set(), heads: new Set(), blocks: new Set(), temperature: 1 };
}

/** Returns the changes in words. */
function listChanges() {
  const { without, heads, blocks, temperature } = state.ways;
  const count = (n, one, many = `${one}s`) => n && `${n} ${n === 1 ? one : many}`;
  return [
    state.image !== state.whole && "image edited",
    count(without.size, "patch masked", "patches masked"),
    count(heads.size, "head off", "heads off"),
    count(blocks.size, "block off", "blocks off"),
    temperature !== 1 && `temperature ${temperature.toFixed(2)}`,
  ].filter(Boolean);
}

// --- The worker ----------------------------------------------------------------------------------
const ANSWERS = {
  ready() {
    worker.postMessage({ task: "parts" });
    const first = get("examples").querySelector("button");
    if (first) first.click();
    else say("Choose an image.");
  },
  parts: (answer) => (parts = answer),
  prepared({ image, name, truth }) {
    Object.assign(state, { image, whole: image, name, truth, number: state.number + 1, ways: unchanged() });
    before = null;
    compute();
  },
  explored(answer) {
    isBusy = false;
    found = answer;
    if (answer.isWhole && answer.number === state.number) before = answer;
    say("");
    render();
    if (isStale) compute();
  },
  failed({ message }) {
    isBusy = false;
    say(`This did not work: ${message}`);
  },
};
const worker = startWorker(content, ANSWERS);

/** Computes the image as it is now; while the worker is busy, the last call counts. */
function compute() {
  isStale = isBusy;
  if (isBusy) return;
  isBusy = true;
  const { image, ways, number } = state;
  worker.postMessage({ task: "explore", image, ways, number, isWhole: !listChanges().length });
}

/** Changes the image or how it is computed. */
function change(ways, image = state.image) {
  refusal = "";
  Object.assign(state, { image, ways: { ...state.ways, ...ways } });
  compute();
}

/** Chooses a token, a block or a head: nothing is computed again. */
function select(chosen) {
  Object.assign(state, chosen);
  render();
}

const selectPatch = (patch) => select({ patch, token: FIRST + patch });

async function take(file, name, truth = null) {
  const canvas = await readChoice(file, name);
  if (canvas) worker.postMessage({ task: "prepare", canvas, name, truth });
}

// --- The screens ---------------------------------------------------------------------------------
const SCREENS = {}; // id: function that fills a figure and returns a function that draws it
const drawings = {}; // ... for screens that were opened
let isAsked = false; // whether the next frame draws

const current = () => (SCREENS[location.hash.slice(1)] ? location.hash.slice(1) : "step-1");

function openScreen() {
  const id = current();
  for (const section of document.querySelectorAll(".screen")) section.hidden = section.id !== id;
  for (const link of document.querySelectorAll("#screens a")) {
    const isHere = link.hash === `#${id}`;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (isHere) link.parentElement.parentElement.scrollLeft = link.parentElement.offsetLeft - 80;
  }
  const ids = Object.keys(SCREENS), place = ids.indexOf(id);
  get("previous").hidden = place === 0;
  get("next").hidden = place === ids.length - 1;
  get("previous").href = `#${ids[place - 1] ?? id}`;
  get("next").href = `#${ids[place + 1] ?? id}`;
  show({ value: "Point at a number, or use Tab and the arrow keys: its value, shape and line of code appear here." });
  get("numbers").classList.add("idle");
  window.scrollTo(0, 0);
  render();
}

/** Returns whether the open screen shows the chosen patch; others show the chosen token. */
const choosesPatch = () => get(current()).querySelector(".chosen")?.dataset.of === "patch";

/** Draws the image, the prediction and the open screen, once a frame. */
function render() {
  if (isAsked || !found || !parts) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    const id = current();
    drawings[id] ??= SCREENS[id](get(id).querySelector(".figure"));
    drawSubject();
    const chosen = get(id).querySelector(".chosen"), patch = `patch ${state.patch + 1}`;
    if (chosen) chosen.textContent = `Chosen: ${choosesPatch() ? patch : reader()}`;
    drawings[id]();
    document.body.dataset.drawn = id; // for tests
  });
}

function turnPage(event) {
  const target = event.target.closest("input, select, textarea, [role=application], .tiles");
  if (target || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.key === "ArrowRight" && !get("next").hidden) location.hash = get("next").hash;
  if (event.key === "ArrowLeft" && !get("previous").hidden) location.hash = get("previous").hash;
}
