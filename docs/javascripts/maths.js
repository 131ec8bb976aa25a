// Draws the formulas that pymdownx.arithmatex marks, and those of headings in the table of contents.
// A page without formulas loads no KaTeX.
const katex = new URL("katex/", document.currentScript.src);

function load(kind, attributes) {
  return new Promise((done) => {
    const element = Object.assign(document.createElement(kind), attributes, { onload: done });
    document.head.append(element);
  });
}

async function drawMaths() {
  const marked = [...document.querySelectorAll(".arithmatex, .md-nav .md-ellipsis")];
  const formulas = marked.filter((element) => /\\[([]/.test(element.textContent));
  if (!formulas.length) return;
  if (!window.renderMathInElement) {
    load("link", { rel: "stylesheet", href: new URL("katex.min.css", katex) });
    await load("script", { src: new URL("katex.min.js", katex) });
    await load("script", { src: new URL("auto-render.min.js", katex) });
  }
  const delimiters = [
    { left: "\\(", right: "\\)", display: false },
    { left: "\\[", right: "\\]", display: true },
  ];
  formulas.forEach((formula) => renderMathInElement(formula, { delimiters }));
}

// Where Material loads pages without a reload, `document$` tells of each.
if (typeof document$ === "undefined") document.addEventListener("DOMContentLoaded", drawMaths);
else document$.subscribe(drawMaths);
