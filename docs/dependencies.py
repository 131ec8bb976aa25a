"""Finds the files of keras_vit that code depends on: those that it names, and their imports."""

import ast
import importlib
import pathlib
import threading
import types

PACKAGE = "keras_vit"
_parsing = threading.Lock()  # Python 3.11 cannot parse in two threads at once


def files(code):
    """Returns the files of the package that determine the behavior of `code`.

    A name such as `keras_vit.explain.attention_rollout` stands for the module that defines it, a
    package used as a value (`tools = keras_vit.explain`) for all of its files.

    Args:
        code: source text that imports keras_vit.

    Returns:
        Set of absolute paths. The `__init__` files along the way are included but are not followed:
        they import everything.
    """
    found, waiting = set(), _names(code)
    while waiting:
        for path in _files_of(waiting.pop()) - found:
            found.add(path)
            if path.name != "__init__.py" and path.suffix == ".py":
                waiting |= _names(path.read_text(encoding="utf-8"))
                found |= _data_beside(path)
    return found


def _data_beside(module):
    """Returns the files in data folders beside a module, such as weights."""
    folders = [
        f for f in module.parent.iterdir() if f.is_dir() and not (f / "__init__.py").exists()
    ]
    return {file for folder in folders for file in folder.rglob("*") if _is_source(file)}


class _Names(ast.NodeVisitor):
    """Collects the dotted names of the package that a file uses, through its imports' aliases."""

    def __init__(self, tree):
        self.aliases, self.names = {}, set()
        imports = [
            node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        for node in imports:
            self._read_import(node)
        self.visit(tree)

    def _read_import(self, node):
        for alias in node.names:
            name = alias.name
            if isinstance(node, ast.ImportFrom):
                name = f"{node.module}.{name}"
            if name.split(".")[0] == PACKAGE:
                direct = isinstance(node, ast.Import) and not alias.asname
                self.aliases[alias.asname or alias.name.split(".")[0]] = PACKAGE if direct else name

    def visit_Attribute(self, node):  # noqa: N802
        root, _, rest = ast.unparse(node).partition(".")
        if root in self.aliases and rest.replace(".", "").isidentifier():
            self.names.add(f"{self.aliases[root]}.{rest}")
        else:
            self.generic_visit(node)

    def visit_Name(self, node):  # noqa: N802
        if node.id in self.aliases:
            self.names.add(self.aliases[node.id])


def _names(code):
    with _parsing:
        tree = ast.parse(code)
    return _Names(tree).names


def _files_of(name):
    """Returns the files that a dotted name refers to."""
    module, package_files, rest = importlib.import_module(PACKAGE), set(), name.split(".")[1:]
    while rest and isinstance(below := _attribute(module, rest[0]), types.ModuleType):
        package_files.add(pathlib.Path(module.__file__))
        module, rest = below, rest[1:]
    home = getattr(_attribute(module, rest[0]), "__module__", None) if rest else None
    if home and home.startswith(PACKAGE) and home != module.__name__:
        return package_files | {pathlib.Path(module.__file__)} | _files_of(home)
    path = pathlib.Path(module.__file__)
    if path.name != "__init__.py" or module.__name__ == PACKAGE and rest:
        return package_files | {path}
    return package_files | {file for file in path.parent.rglob("*") if _is_source(file)}


def _attribute(module, name):
    try:
        return importlib.import_module(f"{module.__name__}.{name}")
    except ImportError:
        return getattr(module, name, None)


def _is_source(file):
    return file.is_file() and "__pycache__" not in file.parts
