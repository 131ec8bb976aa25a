"use strict";
// The image, the prediction, and the actions of the reader.

const ON_IMAGE = { label: "Patches of the image", rows: ROWS, columns: COLUMNS };
const subject = tiles({ ...ON_IMAGE, ...PATCH_TILES, className: "subject" });

function drawSubject() {
  const { without } = state.ways, isPatch = state.token >= FIRST || choosesPatch();
  subject.draw(overlayPatches(null), { selected: isPatch ? state.patch : -1, off: without });
  get("class-token").hidden = choosesPatch();
  get("class-token").setAttribute("aria-pressed", !isPatch);
  const rows = mainClasses(found.shares).map((i) => showClass(classes[i], found.shares[i]));
  get("classes").replaceChildren(...rows);
  get("name").textContent = state.truth === null ? state.name : `${state.name}, labeled “${state.truth}”`;
  const changes = listChanges();
  get("changes").hidden = !changes.length;
  get("changed").textContent = changes.join(", ");
}

function undo() {
  refusal = "";
  Object.assign(state, { image: state.whole, ways: unchanged() });
  compute();
}

/** Shows the camera; a click on the button takes the image. */
async function photograph() {
  const video = get("video"), box = get("camera-box");
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    box.showModal();
    await video.play();
  } catch {
    refuse("The camera cannot be used: it is missing, or not allowed for this page.");
  }
}

function closeCamera() {
  const video = get("video");
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

function shoot() {
  const video = get("video"), { videoWidth: width, videoHeight: height } = video;
  const canvas = takePixels(video, width, height);
  press(null);
  refusal = "";
  newest = ++asked;
  worker.postMessage({ task: "prepare", canvas, name: "Photograph", truth: null });
  get("camera-box").close();
}

function switchTheme() {
  const root = document.documentElement, isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.style.colorScheme || (isDark ? "dark" : "light");
  root.style.colorScheme = now === "dark" ? "light" : "dark";
}

get("image").append(subject.element);
get("examples").append(...content.examples.map((example) => showExample(example, take)));
get("class-token").onclick = () => select({ token: 0 });
get("undo").onclick = undo;
get("theme").onclick = switchTheme;
get("camera").hidden = !navigator.mediaDevices?.getUserMedia;
get("camera").onclick = photograph;
get("shoot").onclick = shoot;
get("camera-box").onclose = closeCamera;
receiveFiles(get("file"), get("drop"), (file) => {
  press(null);
  take(file, file.name);
});
document.addEventListener("keydown", turnPage);
window.addEventListener("hashchange", openScreen);
openScreen();
