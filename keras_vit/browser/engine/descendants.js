"use strict";
// What the models after the paper changed: keras_vit/descendants. Everything else is in engine.js.
//
//     A    = softmax(q k^T / sqrt(d) + B)        Eq. 6 with a number for each pair    BEiT
//     q, k = rotate(q), rotate(k)                Eq. 5, then by the place of a patch  DINOv3, EVA-02, PE
//     y    = MAP(LN(z_L))                        Eq. 4 with a learned query           SigLIP, PE
//     y    = the mean of LN(z_L) without z^0     Eq. 4 without registers              DINOv2

/** Adds a number to each logit, which depends on the offset of two patches and on the head. */
class BiasedSelfAttention extends SelfAttention {
  constructor(record, tensor) {
    super(record, tensor);
    this.pairs = rowsOfPairs(record.grid);
    this.biasTable = tensor("bias_table").data; // (offsets + 3, heads)
  }

  logits(query, key, out, head, { without, positions }) {
    const a = super.logits(query, key, out), kept = keep(this.pairs.length, 1, without);
    if (positions === false) return a;
    for (let i = 0; i < a.rows; i++) {
      const row = a.row(i), pairs = this.pairs[kept[i]];
      for (let j = 0; j < a.columns; j++) row[j] += this.biasTable[pairs[kept[j]] * this.heads + head];
    }
    return a;
  }
}

/** Returns the row of the table for each pair of tokens, the class token and the patches. */
function rowsOfPairs([rows, columns]) {
  const width = 2 * columns - 1, last = (2 * rows - 1) * width; // the class token has three rows
  const tokens = [null, ...Array(rows * columns).keys()];
  const pair = (i, j) => {
    if (i === null || j === null) return last + (j !== null ? 0 : i !== null ? 1 : 2);
    const down = Math.floor(i / columns) - Math.floor(j / columns), right = (i % columns) - (j % columns);
    return (down + rows - 1) * width + right + columns - 1;
  };
  return tokens.map((i) => tokens.map((j) => pair(i, j)));
}

/**
 * Queries and keys are rotated by the place of their patch, first + row * down + column * right: two
 * numbers, times d / 4 frequencies each, are the angles of d / 2 pairs of numbers. A pair is 2 j
 * and 2 j + 1, or j and j + d / 2.
 */
class RotarySelfAttention extends SelfAttention {
  constructor(record, tensor) {
    super(record, tensor);
    const { grid: [rows, columns], prefix_tokens, first, down, right, theta, neighbors } = record;
    const d = this.queryKeyValue.kernel.columns / this.heads, { floor } = Math;
    const place = (i, axis) => first[axis] + floor(i / columns) * down[axis] + (i % columns) * right[axis];
    const angle = (i, j) => place(i, floor((4 * j) / d)) * theta ** -(((4 * j) / d) % 1);
    const fill = (f) => (_, n) => f(angle(floor((2 * n) / d), n % (d / 2)));
    const [cosine, sine] = [Math.cos, Math.sin].map((f) => {
      return new Matrix(rows * columns, d / 2, Float32Array.from({ length: (rows * columns * d) / 2 }, fill(f)));
    });
    Object.assign(this, { prefixTokens: prefix_tokens, neighbors, cosine, sine });
  }

  place(query, key, { without, positions }) {
    if (positions === false) return;
    const first = this.prefixTokens, kept = keep(first + this.cosine.rows, first, without);
    kept.slice(first).forEach((token, i) => {
      for (const x of [query, key]) this.rotate(x.row(first + i), token - first);
    });
  }

  rotate(x, patch) {
    const cosine = this.cosine.row(patch), sine = this.sine.row(patch), half = sine.length;
    for (let j = 0; j < half; j++) {
      const a = this.neighbors ? 2 * j : j, b = this.neighbors ? a + 1 : j + half, first = x[a], second = x[b];
      x[a] = first * cosine[j] - second * sine[j];
      x[b] = second * cosine[j] + first * sine[j];
    }
  }
}

/** Removes the first tokens, the registers of a model that pools the patches. */
class Skip {
  constructor({ tokens }) {
    this.tokens = tokens;
  }

  call(x) {
    return new Matrix(x.rows - this.tokens, x.columns, x.data, this.tokens * x.stride, x.stride);
  }
}

/** Attention from a learned query to all tokens, then a residual MLP (arXiv 2106.04560). */
class AttentionPooling {
  constructor(record, tensor) {
    const part = (name) => new Dense({ name }, inside(`attention/${name}`, tensor));
    [this.query, this.key, this.value] = ["query", "key", "value"].map(part);
    this.output = part("attention_output");
    this.heads = record.num_heads;
    this.probe = new Matrix(1, tensor("probe").data.length, tensor("probe").data);
    this.norm = new LayerNorm({ ...record, name: "norm" }, inside("norm", tensor));
    this.mlp = new MLP(record, inside("mlp", tensor));
  }

  call(x) {
    const query = this.query.call(this.probe), d = query.columns / this.heads;
    const key = this.key.call(x), value = this.value.call(x);
    const out = new Matrix(1, query.columns), scores = new Matrix(1, x.rows);
    for (let head = 0; head < this.heads; head++) {
      const [q, k, v] = [query, key, value].map((matrix) => matrix.view(head * d, d));
      weightedSum(softmax(logits(q, k, scores)), v, out.view(head * d, d));
    }
    const y = this.output.call(out);
    add(y, this.mlp.call(this.norm.call(y)));
    return y;
  }
}

/** Divides a vector, y of a zero-shot classifier, by its length. */
class UnitLength {
  call(y) {
    const length = Math.hypot(...y.data);
    return new Matrix(1, y.columns, y.data.map((v) => v / length));
  }
}

Object.assign(LAYERS, { BiasedSelfAttention, RotarySelfAttention, Skip, AttentionPooling, UnitLength });
