"""Lets mkdocstrings show Keras's sections of docstrings, and values that have no types."""

import re
import textwrap

import griffe

# An example stands at the margin, up to a blank line after which none goes on.
EXAMPLE = re.compile(r"^Example:\n((?:.+\n?|\n(?=>>>))+)", re.MULTILINE)
# What griffe knows not, or would search for a type.
PROSE = re.compile(r"^(Call arguments|Returns|Yields):\n((?:    .*\n?|\n(?=    ))+)", re.MULTILINE)
ARGUMENT = re.compile(r"^(\w+): ", re.MULTILINE)


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
        obj.docstring.value = PROSE.sub(_prose, text)
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
