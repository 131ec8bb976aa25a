// A figure is a link to its file: on a phone its letters are small, and the file can be enlarged.
function linkFigures() {
  for (const image of document.querySelectorAll("article p > img:only-of-type")) {
    const link = document.createElement("a");
    link.href = image.src;
    link.className = "figure";
    image.replaceWith(link);
    link.append(image);
  }
}

if (typeof document$ === "undefined") document.addEventListener("DOMContentLoaded", linkFigures);
else document$.subscribe(linkFigures);
