"use strict";
// Runs beside the page, so that the page stays responsive. Receives and sends {task, ...}.

let model, vit; // the page's data about the model, and the model
let turn = 0; // number of tasks that stop an occlusion
const STOPPING = ["classify", "explore", "occlude", "stop"];

const TASKS = {
  async load({ content, weights }) {
    model = content;
    vit = new ViT(model.layers, await readTensors(model.tensors, weights, progressOf("load")));
    self.postMessage({ task: "ready" });
  },

  /** Classifies an image and answers with the result and its maps. */
  classify({ number, canvas, invert }) {
    const { sizes } = model, started = performance.now();
    const image = prepare(canvas, sizes, invert), trace = { tokens: [], attention: [] };
    const logits = vit.call(image, { trace }, progressOf("classify", { number }));
    const attention = trace.attention.map((maps) => tokenAttention(maps, sizes));
    const rolled = attention.length ? rollout(trace.attention, sizes) : null;
    const seconds = (performance.now() - started) / 1000;
    const shares = probabilities(logits);
    self.postMessage({ task: "classified", number, image, shares, attention, rolled, seconds });
  },

  /** Covers one cell after the other, and answers after each; tasks of `STOPPING` stop it. */
  async occlude({ number, image, label, ways, measure }) {
    const grid = coarsen(model.sizes.grid), mine = turn;
    const show = (cell, fall) => {
      self.postMessage({ task: "occluded", number, grid, cell, fall });
      return new Promise((resume) => setTimeout(() => resume(mine === turn))); // lets messages in
    };
    await occlude(vit, image, label, grid, show, ways, measure);
  },

  stop() {},
};

function progressOf(task, more = {}) {
  return (share) => self.postMessage({ task: "progress", of: task, share, ...more });
}

self.onmessage = async ({ data }) => {
  if (STOPPING.includes(data.task)) turn += 1;
  try {
    await TASKS[data.task](data);
  } catch (error) {
    self.postMessage({ task: "failed", message: String(error.message ?? error) });
  }
};
