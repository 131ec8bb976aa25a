"use strict";
// The Vision Transformer in plain JavaScript: keras_vit/layers.py and vit.py, with the same names
// in the same order. Its relatives are in descendants.js and convolutions.js.
//
//     z_0  = [x_class; x_1 E; ...; x_N E] + E_pos                    Eq. 1    Patches, PatchEncoder
//     z'_l = MSA(LN(z_l-1)) + z_l-1                                  Eq. 2    TransformerBlock
//     z_l  = MLP(LN(z'_l)) + z'_l                                    Eq. 3    TransformerBlock
//     y    = LN(z_L)^0                                               Eq. 4    LayerNorm, Pool
//     MSA: q, k, v from z U_qkv, softmax(q k^T / sqrt(d)) v, U_msa   Eq. 5-8  SelfAttention
//
// A model is a list of layers, each a record {class, name, ...its sizes}, and tensors by name. All
// sequences of vectors are matrices with one row for each token: N patches, D numbers per token.
// One object, `ways`, holds everything that a call may change:
//
//     permutation   patch permutation[i] is at place i
//     without       Set of patches that are left out, after positions were added
//     heads         Set of heads that are switched off, "block head", for example "0 2"
//     blocks        Set of blocks that are left out
//     temperature   divides the argument of the softmax in Eq. 6
//     positions     false leaves out E_pos, biases and rotations
//     trace         lists that collect, in order, the tokens z_0 ... z_L and, for every block,
//                   attention (A of each head), qkv (of Eq. 5) and between (z'_l)

// --- Layers --------------------------------------------------------------------------------------
// Each is made from its record and a function that returns one of its tensors by name, or null.
const inside = (part, tensor) => (name) => tensor(`${part}/${name}`);

/** x W + b, or LN(x) W + b if the layer has a norm, as in EVA-02. */
class Dense {
  constructor({ name, activation = "linear" }, tensor) {
    const { shape, data } = tensor("kernel"); // W^T: a row for each output
    this.kernel = new Matrix(...shape, data);
    this.bias = tensor("bias")?.data;
    const norm = { name: `norm of ${name}`, epsilon: 1e-6 };
    if (tensor("norm/gamma")) this.norm = new LayerNorm(norm, inside("norm", tensor));
    Object.assign(this, { name, activation });
  }

  call(x) {
    x = this.norm?.call(x) ?? x;
    const out = product(x, this.kernel, scratch(this.name, x.rows, this.kernel.rows), this.bias);
    if (this.activation !== "linear") out.data.set(out.data.map(ACTIVATIONS[this.activation]));
    return out;
  }
}

class Normalize {
  constructor({ mean, deviation }) {
    Object.assign(this, { mean, deviation });
  }

  call(image) {
    const { mean, deviation } = this, c = image.channels; // a number for each channel
    const normalized = (v, i) => (v - mean[i % c]) / deviation[i % c];
    return { ...image, data: Float32Array.from(image.data, normalized) };
  }
}

/** Cuts an image into patches, row by row: x_p of Eq. 1. Order in a patch: row, column, channel. */
class Patches {
  constructor({ patch_size }) {
    this.patchSize = patch_size;
  }

  call({ data, height, width, channels }, { permutation }) {
    const [p, q] = this.patchSize, columns = width / q, line = q * channels;
    const out = scratch("patches", (height / p) * columns, p * line); // (N, PPC)
    for (let place = 0; place < out.rows; place++) {
      const patch = permutation ? permutation[place] : place;
      const start = (Math.floor(patch / columns) * p * width + (patch % columns) * q) * channels;
      for (let i = 0; i < p; i++) {
        const from = start + i * width * channels;
        out.row(place).set(data.subarray(from, from + line), i * line);
      }
    }
    return out;
  }
}

/** Returns the places of the tokens that remain if patches are left out. */
function keep(tokens, first, without) {
  return [...Array(tokens).keys()].filter((i) => !without?.has(i - first));
}

/** Makes z_0 = [x_class; x_1 E; x_2 E; ...; x_N E] + E_pos, Eq. 1. */
class PatchEncoder {
  constructor({ prefix_tokens }, tensor) {
    this.prefixTokens = prefix_tokens;
    this.projection = new Dense({ name: "embedded" }, inside("projection", tensor));
    this.classToken = tensor("class_token")?.data;
    this.positionEmbedding = tensor("position_embedding")?.data;
  }

  call(patches, { without, positions }) {
    const first = this.prefixTokens, embedded = this.projection.call(patches), dim = embedded.columns;
    const x = new Matrix(first + patches.rows, dim); // (N + 1, D)
    if (first) x.data.set(this.classToken);
    x.data.set(embedded.data, first * dim);
    if (this.positionEmbedding && positions !== false) add(x, { data: this.positionEmbedding });
    if (!without?.size) return x;
    const kept = keep(x.rows, first, without);
    const fewer = new Matrix(kept.length, dim);
    kept.forEach((i, j) => fewer.row(j).set(x.row(i)));
    return fewer;
  }
}

class LayerNorm {
  constructor({ name, epsilon }, tensor) {
    Object.assign(this, { name, epsilon });
    this.gamma = tensor("gamma").data;
    this.beta = tensor("beta").data;
  }

  call(x) {
    const { gamma, beta } = this, out = scratch(this.name, x.rows, x.columns), dim = x.columns;
    for (let i = 0; i < x.rows; i++) {
      const row = x.row(i), to = out.row(i);
      let mean = 0, variance = 0;
      for (let j = 0; j < dim; j++) mean += row[j] / dim;
      for (let j = 0; j < dim; j++) variance += (row[j] - mean) ** 2 / dim;
      const scale = 1 / Math.sqrt(variance + this.epsilon);
      for (let j = 0; j < dim; j++) to[j] = (row[j] - mean) * scale * gamma[j] + beta[j];
    }
    return out;
  }
}

/** Returns q k^T / sqrt(d), the argument of the softmax in Eq. 6. */
function logits(query, key, out) {
  const a = product(query, key, out), scale = 1 / Math.sqrt(query.columns);
  for (let i = 0; i < a.data.length; i++) a.data[i] *= scale;
  return a;
}

/** Writes A v to `out`. */
function weightedSum(a, value, out) {
  const transposed = scratch("transposed", value.columns, value.rows);
  for (let i = 0; i < value.rows; i++) {
    value.row(i).forEach((v, j) => (transposed.data[j * value.rows + i] = v));
  }
  return product(a, transposed, out); // Eq. 7
}

/** A subclass that overrides `logits` or `place` computes a different attention. */
class SelfAttention {
  constructor({ num_heads, number }, tensor) {
    Object.assign(this, { heads: num_heads, number });
    this.queryKeyValue = new Dense({ name: "qkv" }, inside("query_key_value", tensor));
    this.projection = new Dense({ name: "attention" }, inside("projection", tensor));
  }

  call(x, ways) {
    const { heads = new Set(), temperature = 1, trace } = ways;
    const dim = x.columns, d = dim / this.heads, maps = [];
    const qkv = this.queryKeyValue.call(x); // Eq. 5
    const out = scratch("heads", x.rows, dim);
    for (let head = 0; head < this.heads; head++) {
      const [query, key, value] = [0, dim, 2 * dim].map((start) => qkv.view(start + head * d, d));
      const scores = trace ? new Matrix(x.rows, x.rows) : scratch("scores", x.rows, x.rows);
      this.place(query, key, ways);
      const a = this.logits(query, key, scores, head, ways);
      if (temperature !== 1) a.data.forEach((v, i) => (a.data[i] = v / temperature));
      maps.push(softmax(a)); // Eq. 6
      const mine = weightedSum(a, value, out.view(head * d, d));
      if (heads.has(`${this.number} ${head}`)) for (let i = 0; i < x.rows; i++) mine.row(i).fill(0);
    }
    trace?.attention.push(maps);
    trace?.qkv?.push(qkv.data.slice());
    return this.projection.call(out); // Eq. 8
  }

  /** Changes queries and keys by their places; the paper's attention does not. */
  place() {}

  logits(query, key, out) {
    return logits(query, key, out);
  }
}

/** Two dense layers with a GELU between them, or with gates: silu(z W_gate) * (z W_up). */
class MLP {
  constructor({ activation, gated }, tensor) {
    Object.assign(this, { gated, activation: ACTIVATIONS[activation] });
    this.expand = new Dense({ name: "wide" }, inside("expand", tensor));
    this.contract = new Dense({ name: "mlp" }, inside("contract", tensor));
  }

  call(x) {
    const wide = this.expand.call(x), size = this.contract.kernel.columns, f = this.activation;
    for (let i = 0; i < wide.rows; i++) {
      const row = wide.row(i);
      for (let j = 0; j < size; j++) row[j] = f(row[j]) * (this.gated ? row[size + j] : 1);
    }
    return this.contract.call(wide.view(0, size));
  }
}

class TransformerBlock {
  constructor(record, tensor) {
    this.number = record.number;
    this.norm1 = new LayerNorm({ ...record, name: "norm" }, inside("norm_1", tensor));
    this.attention = new LAYERS[record.attention](record, inside("attention", tensor));
    this.norm2 = new LayerNorm({ ...record, name: "norm" }, inside("norm_2", tensor));
    this.mlp = new MLP(record, inside("mlp", tensor));
  }

  call(x, ways) {
    if (ways.blocks?.has(this.number)) return x;
    add(x, this.attention.call(this.norm1.call(x), ways)); // Eq. 2
    ways.trace?.between?.push(x.data.slice());
    add(x, this.mlp.call(this.norm2.call(x))); // Eq. 3
    return x;
  }
}

/** Takes the first tokens (Eq. 4: one), the mean of those from `mean_from` on, or both side by side. */
class Pool {
  constructor({ tokens, mean_from }) {
    Object.assign(this, { tokens, meanFrom: mean_from });
  }

  call(x) {
    const taken = [...Array(this.tokens).keys()].map((i) => x.row(i));
    if (this.meanFrom !== null) {
      const mean = new Float64Array(x.columns), count = x.rows - this.meanFrom;
      for (let i = this.meanFrom; i < x.rows; i++) x.row(i).forEach((v, j) => (mean[j] += v / count));
      taken.push(mean);
    }
    const y = new Matrix(1, taken.length * x.columns);
    taken.forEach((row, i) => y.data.set(row, i * x.columns));
    return y;
  }
}

const LAYERS = { Normalize, Patches, PatchEncoder, SelfAttention, TransformerBlock, LayerNorm, Pool, Dense };

// --- The model -----------------------------------------------------------------------------------
class ViT {
  /** `records` in order, and `tensors`: {name: {data, shape}}. */
  constructor(records, tensors) {
    this.layers = records.map((record) => {
      return new LAYERS[record.class](record, (name) => tensors[`${record.name}/${name}`] ?? null);
    });
  }

  /** Returns the logits of an image {data, height, width, channels}, pixels 0 to 255. */
  call(image, ways = {}, progress = () => {}) {
    let x = image;
    this.layers.forEach((layer, i) => {
      const isBlock = layer instanceof TransformerBlock;
      if (isBlock && layer.number === 0) ways.trace?.tokens.push(x.data.slice()); // z_0
      x = layer.call(x, ways);
      if (isBlock) ways.trace?.tokens.push(x.data.slice());
      progress((i + 1) / this.layers.length);
    });
    // The sigmoid of a single logit is the softmax of 0 and this logit.
    return x.data.length > 1 ? x.data.slice() : Float32Array.of(0, x.data[0]);
  }
}
