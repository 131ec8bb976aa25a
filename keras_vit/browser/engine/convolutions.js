"use strict";
// The ResNet before the patches of a hybrid, section 3.1: keras_vit/convolutions/. A map is like an
// image, {data, height, width, channels}, with more channels.
//
//     root    pool(relu(norm(conv(x))))                 the pool takes the largest of 3 x 3
//     unit    relu(x + norm(conv(relu(norm(...)))))     x has a projection if the sizes differ
//     conv    (w - mean) / sqrt(variance)               for each filter; with two epsilons
//     norm    32 groups of channels

const GROUPS = 32;

/**
 * Copies each window to a row, in the order row, column, channel, with `beyond` outside the map.
 * The padding is "same": ceil(side / stride) windows, and an odd line of padding at the end.
 */
function windows({ data, height, width, channels }, size, stride, beyond = 0) {
  const [rows, columns] = [height, width].map((side) => Math.ceil(side / stride));
  const rim = (side, count) => Math.max((count - 1) * stride + size - side, 0) >> 1;
  const top = rim(height, rows), left = rim(width, columns);
  const out = scratch("windows", rows * columns, size * size * channels);
  out.data.fill(beyond);
  for (let place = 0; place < out.rows; place++) {
    const row = out.row(place);
    for (let i = 0; i < size * size; i++) {
      const y = Math.floor(place / columns) * stride - top + Math.floor(i / size);
      const x = (place % columns) * stride - left + (i % size), from = (y * width + x) * channels;
      const isInside = y >= 0 && y < height && x >= 0 && x < width;
      if (isInside) row.set(data.subarray(from, from + channels), i * channels);
    }
  }
  return { out, height: rows, width: columns };
}

class HybridConv {
  constructor({ size, strides = 1, epsilons: [inside, outside] }, tensor) {
    const { shape, data } = tensor("kernel"), kernel = new Matrix(...shape, data.slice());
    for (let i = 0; i < kernel.rows; i++) {
      const w = kernel.row(i), mean = w.reduce((sum, v) => sum + v / w.length, 0);
      const variance = w.reduce((sum, v) => sum + (v - mean) ** 2 / w.length, 0);
      w.set(w.map((v) => (v - mean) / (Math.sqrt(variance + inside) + outside)));
    }
    Object.assign(this, { size, strides, kernel });
  }

  call(map) {
    const { out, height, width } = windows(map, this.size, this.strides), channels = this.kernel.rows;
    const { data } = product(out, this.kernel, new Matrix(out.rows, channels));
    return { data, height, width, channels };
  }
}

/** Normalizes a map in place. */
class GroupNorm {
  constructor({ epsilon }, tensor) {
    Object.assign(this, { epsilon, gamma: tensor("gamma").data, beta: tensor("beta").data });
  }

  call(map) {
    const { data, channels } = map, size = channels / GROUPS, count = data.length / GROUPS;
    const groupOf = (i) => Math.floor((i % channels) / size);
    const mean = new Float64Array(GROUPS), variance = new Float64Array(GROUPS);
    data.forEach((v, i) => (mean[groupOf(i)] += v / count));
    data.forEach((v, i) => (variance[groupOf(i)] += (v - mean[groupOf(i)]) ** 2 / count));
    const scale = variance.map((v) => 1 / Math.sqrt(v + this.epsilon));
    data.forEach((v, i) => {
      const group = groupOf(i), channel = i % channels;
      data[i] = (v - mean[group]) * scale[group] * this.gamma[channel] + this.beta[channel];
    });
    return map;
  }
}

function relu(map) {
  map.data.forEach((v, i) => (map.data[i] = Math.max(v, 0)));
  return map;
}

function maxPool(map) {
  const { channels } = map, { out, height, width } = windows(map, 3, 2, -Infinity);
  const data = new Float32Array(out.rows * channels).fill(-Infinity);
  for (let place = 0; place < out.rows; place++) {
    out.row(place).forEach((v, i) => {
      const to = place * channels + (i % channels);
      data[to] = Math.max(data[to], v);
    });
  }
  return { data, height, width, channels };
}

class HybridRoot {
  constructor(record, tensor) {
    this.conv = new HybridConv(record, inside("conv", tensor));
    this.norm = new GroupNorm(record, inside("norm", tensor));
  }

  call(image) {
    return maxPool(relu(this.norm.call(this.conv.call(image))));
  }
}

class HybridUnit {
  constructor({ strides, ...record }, tensor) {
    const conv = (name, more) => new HybridConv({ ...record, ...more }, inside(name, tensor));
    const norm = (name) => new GroupNorm(record, inside(name, tensor));
    this.conv1 = conv("conv_1", { size: 1 });
    this.norm1 = norm("norm_1");
    this.conv2 = conv("conv_2", { size: 3, strides });
    this.norm2 = norm("norm_2");
    this.conv3 = conv("conv_3", { size: 1 });
    this.norm3 = norm("norm_3");
    if (!tensor("projection/kernel")) return;
    this.projection = conv("projection", { size: 1, strides });
    this.normProjection = norm("norm_projection");
  }

  call(x) {
    let y = relu(this.norm1.call(this.conv1.call(x)));
    y = relu(this.norm2.call(this.conv2.call(y)));
    y = this.norm3.call(this.conv3.call(y));
    add(y, this.projection ? this.normProjection.call(this.projection.call(x)) : x);
    return relu(y);
  }
}

Object.assign(LAYERS, { HybridRoot, HybridUnit });
