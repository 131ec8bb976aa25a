// Draws the formulas that pymdownx.arithmatex marks. Where Material loads pages without a reload, `document$` tells of each.
function drawMaths() {
  document.querySelectorAll(".arithmatex").forEach((formula) =>
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
