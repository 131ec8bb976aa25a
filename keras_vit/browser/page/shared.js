"use strict";
// Shared by all pages: elements, the worker, image files. Texts are set as text, never as HTML.

const get = (id) => document.getElementById(id);
/** Writes a number with some digits after the point, with a minus sign, and 0 without one. */
const fixed = (v, digits) => v.toFixed(digits).replace(/^-(?=[0.]+$)/, "").replace("-", "−");
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function make(tag, text, attributes = {}) {
  const element = Object.assign(document.createElement(tag), attributes);
  if (text !== null) element.textContent = text;
  return element;
}

/** Starts the worker, sends it the model and calls answers[task] with each of its answers. */
function startWorker(content, answers) {
  const code = new Blob([get("worker").textContent], { type: "text/javascript" });
  const started = new Worker(URL.createObjectURL(code));
  started.onmessage = ({ data }) => answers[data.task]?.(data);
  started.onerror = (event) => answers.failed(event);
  started.postMessage({ task: "load", content, weights: get("weights").textContent });
  get("weights").remove(); // the worker has its own
  return started;
}

/** Returns {data, height, width} of an image file: its own pixels, upright, on white. */
async function readPixels(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  return takePixels(bitmap, bitmap.width, bitmap.height);
}

function takePixels(source, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0);
  return { data: context.getImageData(0, 0, width, height).data, height, width };
}

/** Returns the file of a data: address. */
function readAddress(address) {
  const bytes = Uint8Array.from(atob(address.split(",")[1]), (letter) => letter.charCodeAt(0));
  return new Blob([bytes]);
}

let refusal = ""; // why the last image was refused; stays on the page until the user chooses again

/** Shows a message, unless a refusal is to be read. The same message is read aloud once. */
function say(text) {
  const message = refusal || text;
  if (get("status").textContent !== message) get("status").textContent = message;
}

/** Says why an image was refused. Results of an earlier image, which may be on their way, leave it there. */
function refuse(message) {
  refusal = message;
  say(message);
}

let asked = 0, newest = 0; // number of the last chosen image, and of the last one that was read

/** Returns the pixels of a chosen image; null if it cannot be read, or a later choice was read before it. */
async function readChoice(file, name) {
  const mine = ++asked;
  refusal = "";
  try {
    const pixels = await readPixels(file);
    newest = Math.max(newest, mine);
    return mine === newest ? pixels : null;
  } catch {
    if (mine === asked) refuse(`“${name}” cannot be read as an image. Choose a JPEG, PNG, WebP or GIF file.`);
    return null;
  }
}

/** Calls take(file) with a file that is chosen in `input`, pasted, or dropped; `drop` shows where. */
function receiveFiles(input, drop, take) {
  const first = ([file]) => file && take(file);
  input.onchange = () => first(input.files);
  document.addEventListener("paste", (event) => first(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    first(event.dataTransfer.files);
  });
}

/** Returns the row of a class and its probability. */
function showClass(name, share) {
  const row = make("li", null), bar = make("i", "");
  bar.style.width = `${100 * share}%`;
  row.append(bar, make("span", name), make("span", percent(share), { className: "share" }));
  return row;
}

/** Marks one of the examples as chosen, or none for null. */
function press(button) {
  for (const other of get("examples").querySelectorAll("button")) {
    other.setAttribute("aria-pressed", other === button);
  }
}

/** Returns the button of an example, which calls take(file, name, label). */
function showExample({ name, label, address }, take) {
  const button = make("button", null, { type: "button", title: label ?? name });
  button.append(make("img", null, { src: address, alt: label ? name : "" }), make("span", label ?? name));
  button.setAttribute("aria-pressed", false);
  button.onclick = () => {
    press(button);
    take(readAddress(address), name, label);
  };
  const row = make("li", null);
  row.append(button);
  return row;
}
