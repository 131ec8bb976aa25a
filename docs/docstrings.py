"""Lets mkdocstrings show Keras's sections of docstrings, and values that have no types."""

import ast
import contextlib
import pathlib
import re
import textwrap

import griffe

# An example starts at the margin and ends at a blank line that no further example follows.
EXAMPLE = re.compile(r"^Example:\n((?:.+\n?|\n(?=>>>))+)", re.MULTILINE)
# Names that griffe does not know, or would search for types.
PROSE = re.compile(r"^(Call arguments|Returns|Yields):\n((?:    .*\n?|\n(?=    ))+)", re.MULTILINE)
ARGUMENT = re.compile(r"^(\w+): ", re.MULTILINE)
# A full name in code that has an entry of its own on a page of the API.
NAME = re.compile(r"(?<![\[`])`(keras_vit(?:\.\w+)+)`(?!\])")
ENTRIES = {
    name
    for page in (pathlib.Path(__file__).parent / "api").glob("*.md")
    for name in re.findall(r"^::: (\S+)", page.read_text(encoding="utf-8"), re.MULTILINE)
}
# The types of arguments, by the check in their annotation or by the type of their default.
TYPES = {
    "positive_integer": "int > 0",
    "natural_number": "int >= 0",
    "fraction": "float, 0 to 1",
    "positive_number": "float > 0",
    "height_width": "int or (int, int)",
    "boolean": "bool",
    "units": "tuple of ints",
    "some_units": "tuple of ints",
}


class HouseStyle(griffe.Extension):
    """Turns those sections into Markdown before griffe reads the rest as Google's style."""

    def on_package(self, *, pkg, **kwargs):
        """Griffe calls this when a package is loaded."""
        _restyle(pkg)


def _restyle(obj):
    """Rewrites the docstrings of an object and of all its members.

    It also resolves names as Python does: a function of a module's name hides the module.
    """
    if obj.docstring:
        text = EXAMPLE.sub(_example, obj.docstring.value)
        obj.docstring.value = NAME.sub(_link, PROSE.sub(_prose, text))
    for parameter in obj.parameters if obj.is_function else ():
        parameter.annotation = _type(parameter)
    for name, member in list(obj.members.items()):
        if member.is_alias:
            continue
        _restyle(member)
        if obj.imports.get(name) == f"{member.path}.{name}":
            obj.members[name] = griffe.Alias(name, member.members[name], parent=obj)


def _example(match):
    return "Examples:\n" + textwrap.indent(match[1], "    ")


def _prose(match):
    title, body = match[1], textwrap.dedent(match[2])
    if title == "Call arguments":
        body = ARGUMENT.sub(r"- **`\1`** – ", body)
    return f"**{title}:**\n\n{body}"


def _link(match):
    return f"[`{match[1]}`][{match[1]}]" if match[1] in ENTRIES else match[0]


def _type(parameter):
    """Returns what an argument may be, in words; None if only its description says so."""
    check = re.match(r"(?:check|arguments)\.(?:optional\(check\.)?(\w+)", str(parameter.annotation))
    if check and check[1] in TYPES:
        return TYPES[check[1]]
    if parameter.default in (None, "None"):
        return "optional" if parameter.default else None
    value = _literal(parameter.default)
    return "optional" if value is None else type(value).__name__


def _literal(text):
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(text)
