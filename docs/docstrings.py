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
    """Turns those sections into Markdown before griffe reads the rest as Google's style.

    It also resolves names as Python does: a function that hides the module it comes from, such as
    `keras_vit.variants`, is the function.
    """

    def on_package(self, *, pkg, **kwargs):
        """Griffe calls this once the whole package is loaded."""
        _prefer_functions(pkg)

    def on_object(self, *, obj, **kwargs):
        """Griffe calls this for each module, class, function and attribute that it finds."""
        if obj.docstring:
            text = EXAMPLE.sub(_example, obj.docstring.value)
            obj.docstring.value = PROSE.sub(_prose, text)


def _prefer_functions(package):
    """Replaces each module that a function of the same name hides by that function."""
    for name, module in list(package.modules.items()):
        imported = package.imports.get(name) == f"{module.path}.{name}"
        if imported and name in module.functions:
            package.members[name] = griffe.Alias(name, module.functions[name], parent=package)
        elif module.is_subpackage:
            _prefer_functions(module)


def _example(match):
    return "Examples:\n" + textwrap.indent(match[1], "    ")


def _prose(match):
    title, body = match[1], textwrap.dedent(match[2])
    if title == "Call arguments":
        body = ARGUMENT.sub(r"- **`\1`** – ", body)
    return f"**{title}:**\n\n{body}"
