"""What a report's page looks like, and its frame."""

from keras_vit.io.webpage import HEAD

STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --ink: #1b1f24; --soft: #5d6672;
  --line: #dfe3e8; --link: #1f5fa8; --bar: #8fb3dc; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --card: #1d2126; --ink: #e7eaee;
  --soft: #9aa4b0; --line: #333a42; --link: #8abaf2; --bar: #3d6491; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; background: var(--ground);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 0 0 .5rem; }
p { margin: .35rem 0; max-width: 46rem; }
a { color: var(--link); }
img { display: block; max-width: 100%; height: auto; }
.soft { color: var(--soft); }
nav { margin: 1.25rem 0 0; padding: .75rem 1rem; border: 1px solid var(--line);
  border-radius: .6rem; background: var(--card); }
nav ul { margin: 0; padding-left: 1.1rem; }
nav > ul { columns: 2 18rem; padding-left: 1.1rem; }
.says { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: .75rem;
  margin: 0; padding: 0; list-style: none; }
.says li { display: flex; gap: .8rem; padding: .75rem; border: 1px solid var(--line);
  border-radius: .6rem; background: var(--card); }
.says li > a { flex: none; width: 6rem; }
.says img { width: 6rem; max-height: 8rem; object-fit: contain; border-radius: .3rem; }
.says li > div { flex: 1; min-width: 0; }
.path { font-weight: 600; font-size: .875rem; margin: 0; }
table { width: 100%; border-collapse: collapse; font-size: .8125rem; }
td { padding: .1rem .4rem .1rem 0; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.bar { width: 34%; }
td.bar span { display: block; height: .6rem; border-radius: .2rem; background: var(--bar); }
article, section section { margin: 1rem 0; padding: 1rem; border: 1px solid var(--line);
  border-radius: .6rem; background: var(--card); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(14rem, 45%), 1fr));
  gap: .9rem; margin: .75rem 0; }
figure { margin: 0; break-inside: avoid; }
figcaption { margin-top: .3rem; font-size: .8125rem; line-height: 1.4; }
.cards img { width: 100%; border-radius: .3rem; }
.chart { margin: .75rem 0; }
.chart img { border-radius: .4rem; background: #fff; }
dt { font-weight: 600; margin-top: .8rem; }
dd { margin: .1rem 0 0; max-width: 46rem; }
.scale { display: inline-block; width: 7rem; height: .7rem; border-radius: .2rem;
  vertical-align: baseline; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.sequential { background: linear-gradient(90deg, #440154, #3b528b, #21918c, #5ec962, #fde725); }
.signed { background: linear-gradient(90deg, #2d004b, #998ec3, #f7f7f7, #f1a340, #7f3b08); }
footer { margin-top: 3rem; font-size: .8125rem; color: var(--soft); }
@media print { :root { --ground: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; }
  body { max-width: none; font-size: 11pt; } article { break-inside: avoid; } }
"""
PAGE = (
    HEAD
    + """<title>Inside {model}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Inside {model}</h1>
<p>{summary}</p>
<nav aria-label="Contents"><ul>{contents}</ul></nav>
</header>
<main>
<section>
<h2 id="says">What the model says</h2>
{predictions}
</section>
<section>
<h2 id="reading">How to read the maps</h2>
<p>Maps lie over the image in grey. From the lowest value to the highest 3 % of the image:
<span class="scale sequential" role="img" aria-label="violet, blue, green, yellow"></span>. Where
values have two signs: <span class="scale signed" role="img"
aria-label="violet, white, orange"></span>, with zero in the middle. Colours are each image's own;
the numbers below a map say its range.</p>
<dl>{reading}</dl>
</section>
<section>
<h2 id="images">The images</h2>
{images}
</section>
<section>
<h2 id="model">The model as a whole</h2>
{views}
</section>
{missing}
</main>
<footer>Made with {made}.</footer>
</body>
</html>
"""
)
