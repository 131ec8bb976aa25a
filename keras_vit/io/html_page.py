"""HTML pages from template files: self-contained, without scripts, with all values escaped."""

import functools
import html
import importlib.resources
import re
import string

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
$body
</body>
</html>
"""


class Html(str):
    """A string that is HTML already; all other values of a template are escaped."""


def fill(template, /, **values):
    """Replaces $name in a template.

    `Html` is inserted as it is, lists of `Html` are joined, and other values are escaped.

    Example:
    >>> from keras_vit.io import html_page
    >>> html_page.fill("<b>$title</b>", title="Cats & dogs")
    '<b>Cats &amp; dogs</b>'
    """
    escaped = {name: _escape(value) for name, value in values.items()}
    return Html(string.Template(template).substitute(escaped))


def page(title, style, body):
    """Returns a page; `style` and `body` are `Html`."""
    return fill(HEAD, title=title, style=style, body=body)


@functools.cache
def fragments(package, name):
    """Returns {name: `Html`} of a template file; each fragment follows a comment with its name."""
    text = (importlib.resources.files(package) / name).read_text(encoding="utf-8")
    _, *parts = re.split(r"<!-- (\w+) -->\n", text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {name: Html(text.rstrip("\n")) for name, text in pairs}


def _escape(value):
    if isinstance(value, list):
        return "".join(map(_escape, value))
    if isinstance(value, Html):
        return value
    return html.escape(str(value).encode("utf-8", "replace").decode())
