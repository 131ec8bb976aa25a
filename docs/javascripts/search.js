// The search index is loaded when the search is opened, not with each page. From file:// the theme
// does so itself; over http it would load the index at once. `?h=` and `?q=` need it immediately.
if (location.protocol !== "file:" && !/[?&][hq]=/.test(location.search)) {
  const send = XMLHttpRequest.prototype.send;
  const open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, url, ...more) {
    this.isIndex = String(url).endsWith("search/search_index.json");
    open.call(this, method, url, ...more);
  };
  XMLHttpRequest.prototype.send = function (...body) {
    const opened = document.getElementById("__search");
    if (!this.isIndex || opened.checked) return send.apply(this, body);
    opened.addEventListener("change", () => send.apply(this, body), { once: true });
  };
}
