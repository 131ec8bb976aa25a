// Draws the formulas that pymdownx.arithmatex marks, and those of headings in the table of contents.
// Where Material loads pages without a reload, `document$` tells of each.
function drawMaths() {
  document.querySelectorAll(".arithmatex, .md-nav .md-ellipsis").forEach((formula) =>
    renderMathInElement(formula, {
      delimiters: [
        { left: "\\(", right: "\\)", display: false },
        { left: "\\[", right: "\\]", display: true },
      ],
    }),
  );
}

if (typeof document$ === "undefined") document.addEventListener("DOMContentLoaded", drawMaths);
else document$.subscribe(drawMaths);
