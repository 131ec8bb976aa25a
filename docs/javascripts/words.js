// Code in a sentence or table does not break within a short word: `--epochs`, `token_attention`.
function keepWords() {
  for (const code of document.querySelectorAll("article :not(pre) > code")) {
    if (code.childElementCount) continue;
    code.innerHTML = code.innerHTML.replace(/\S+/g, (word) =>
      word.length > 24 ? word : `<span class="word">${word}</span>`,
    );
  }
}

if (typeof document$ === "undefined") document.addEventListener("DOMContentLoaded", keepWords);
else document$.subscribe(keepWords);
