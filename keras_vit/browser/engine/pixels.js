"use strict";
// Resizes an image to the size of the model exactly as Pillow does in Python: antialiased, with
// integers in between. An image is {data, height, width, channels}.

const clip = (v) => Math.max(0, Math.min(255, v));
const SHARE = 2 ** 22; // weights are integers, in units of 1 / SHARE

/** Weights by the distance, in pixels of the coarser grid, and the distance up to which they reach. */
const WEIGHTS = {
  bilinear: [1, (x) => Math.max(0, 1 - x)],
  bicubic: [2, (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((5 - x) * x - 8) * (x / 2) + 2 : 0)],
};

/** Returns the old pixels of each new one and their weights. */
function weigh(old, size, interpolation) {
  const [support, weight] = WEIGHTS[interpolation];
  const scale = old / size, coarser = Math.max(scale, 1), reach = support * coarser;
  return Array.from({ length: size }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const last = Math.min(old, Math.trunc(center + reach + 0.5));
    const weights = Array.from({ length: last - first }, (_, j) => {
      return weight(Math.abs((first + j - center + 0.5) * (1 / coarser)));
    });
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((w) => Math.trunc((w / sum) * SHARE + 0.5 * Math.sign(w))) };
  });
}

/** Resizes lines of pixels; number `c` of pixel i of line j is at j * line + i * pixel + c. */
function resizeLines(from, to, lines, channels, weighted) {
  weighted.forEach(({ first, weights }, i) => {
    for (let j = 0; j < lines; j++) {
      for (let c = 0; c < channels; c++) {
        let sum = SHARE / 2, place = j * from.line + first * from.pixel + c;
        for (let k = 0; k < weights.length; k++, place += from.pixel) sum += from.data[place] * weights[k];
        to.data[j * to.line + i * to.pixel + c] = clip(Math.floor(sum / SHARE));
      }
    }
  });
  return to.data;
}

/** Resizes an image regardless of its proportions, first all rows, then all columns. */
function resize(image, height, width, interpolation = "bilinear") {
  const c = image.channels, across = (data, columns) => ({ data, line: columns * c, pixel: c });
  const down = (data) => ({ data, line: c, pixel: width * c });
  const wide = new Uint8Array(image.height * width * c), data = new Uint8Array(height * width * c);
  const rows = [across(image.data, image.width), across(wide, width)];
  resizeLines(...rows, image.height, c, weigh(image.width, width, interpolation));
  resizeLines(down(wide), down(data), width, c, weigh(image.height, height, interpolation));
  return { data, height, width, channels: c };
}

/** Returns the part of an image that begins at (top, left). */
function crop({ data, width: columns, channels }, top, left, height, width) {
  const cut = new Uint8Array(height * width * channels);
  for (let i = 0; i < height; i++) {
    const start = ((top + i) * columns + left) * channels;
    cut.set(data.subarray(start, start + width * channels), i * width * channels);
  }
  return { data: cut, height, width, channels };
}

/** Rounds as Python does: halves to even numbers. */
function round(x) {
  const up = Math.round(x);
  return up - x === 0.5 && up % 2 ? up - 1 : up;
}

/** Resizes to `ratio` times the size with the same proportions, and crops the center. */
function resizeAndCrop(image, height, width, interpolation, ratio) {
  const factor = ratio * Math.max(width / image.width, height / image.height);
  const larger = (side, least) => Math.max(round(side * factor), least);
  const all = resize(image, larger(image.height, height), larger(image.width, width), interpolation);
  return crop(all, (all.height - height) >> 1, (all.width - width) >> 1, height, width);
}

/** Makes an image of a digit look like the digits of scikit-learn: cropped to its ink, 8 x 8. */
function resizeDigit(image, height, width) {
  const { data } = image, [darkest, brightest] = extremes(data);
  const rows = [], columns = [];
  data.forEach((v, i) => {
    if (v <= brightest >> 1) return;
    rows.push(Math.floor(i / image.width));
    columns.push(i % image.width);
  });
  const [[top, bottom], [left, right]] = rows.length
    ? [extremes(rows), extremes(columns)]
    : [[0, image.height - 1], [0, image.width - 1]];
  const ink = crop(image, top, left, bottom - top + 1, right - left + 1);
  const side = Math.max(ink.height, ink.width);
  const square = { data: new Uint8Array(side * side).fill(darkest), height: side, width: side, channels: 1 };
  for (let i = 0; i < ink.height; i++) {
    const start = (((side - ink.height) >> 1) + i) * side + ((side - ink.width) >> 1);
    square.data.set(ink.data.subarray(i * ink.width, (i + 1) * ink.width), start);
  }
  const small = resize(square, height, width), [low, high] = extremes(small.data);
  small.data = small.data.map((v) => round(((v - low) / Math.max(high - low, 1)) * 255));
  return small;
}

function extremes(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) [low, high] = [Math.min(low, v), Math.max(high, v)];
  return [low, high];
}

/** Returns the pixels that a model takes from those of a canvas (red, green, blue, opacity). */
function prepare({ data, height, width }, sizes, invert) {
  const { image_size: [rows, columns], channels, resize: way, interpolation, ratio } = sizes;
  const pixels = new Uint8Array(height * width * channels);
  for (let i = 0; i < height * width; i++) {
    if (channels === 1) {
      pixels[i] = (data[4 * i] * 19595 + data[4 * i + 1] * 38470 + data[4 * i + 2] * 7471 + 32768) >> 16;
    } else {
      for (let c = 0; c < 3; c++) pixels[3 * i + c] = data[4 * i + c];
    }
  }
  if (invert) pixels.forEach((v, i) => (pixels[i] = 255 - v));
  const image = { data: pixels, height, width, channels };
  return { squash: resize, crop: resizeAndCrop, digits: resizeDigit }[way](image, rows, columns, interpolation, ratio);
}
