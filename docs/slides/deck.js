// One slide at a time: arrows, Page Up and Down, space, Home, End; n for the notes.
const slides = [...document.querySelectorAll("section")];
const KEYS = {
  ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1, Home: -Infinity, End: Infinity,
};
const isDeck = matchMedia("(min-width: 48rem)");
let now = 0;

function show(index) {
  now = Math.min(Math.max(index, 0), slides.length - 1);
  slides.forEach((slide, i) => slide.classList.toggle("now", i === now));
  document.getElementById("place").value = `${now + 1} / ${slides.length}`;
  if (isDeck.matches) history.replaceState(null, "", `#${now + 1}`);
}

const speak = () => document.body.classList.toggle("speaking");
const follow = () => show((parseInt(location.hash.slice(1)) || 1) - 1);

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !isDeck.matches) return;
  if (event.key === " " && event.target.closest?.("button, a")) return;
  if (event.key === "n") speak();
  else if (event.key in KEYS) show(now + (event.key === " " && event.shiftKey ? -1 : KEYS[event.key]));
  else return;
  event.preventDefault();
});
addEventListener("hashchange", follow);
document.getElementById("back").addEventListener("click", () => show(now - 1));
document.getElementById("on").addEventListener("click", () => show(now + 1));
document.getElementById("speak").addEventListener("click", speak);
follow();
