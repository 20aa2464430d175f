"""The package's modules and what they import, read from their source."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Import:
    """One name imported: "clamnet_tf.preprocessing.mask_access" for a module, `name` what is taken from it,
    `top` = at module level."""

    target: str
    name: str | None
    top: bool
    line: int


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    imports: tuple[Import, ...]
    deferred: tuple[str, ...]  # "package.module:name" of functions that tables name (clamnet_tf.deferred)


def _imports(tree, known):
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        top = id(node) not in inside
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, None, top, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}: write the whole name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (
                    Import(whole, None, top, node.lineno)
                    if whole in known
                    else Import(node.module, alias.name, top, node.lineno)
                )


def _deferred(tree):
    """What stands for a function of the package in a table: "clamnet_tf.a.b:name", or "b:name" in a call of a
    function that puts a package before it."""
    prefixes = {
        function.name: "".join(
            part.value
            for part in ast.walk(function)
            if isinstance(part, ast.Constant) and str(part.value).endswith(".")
        )
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and getattr(function.returns, "id", "") == "Deferred"
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"Deferred", *prefixes}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield prefixes.get(node.func.id, "") + node.args[0].value


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def modules():
    """Every module of the package by its dotted name; a folder's __init__ has the folder's name."""
    paths = {}
    for path in sorted((REPOSITORY / "clamnet_tf").rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    trees = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in paths.items()}
    return {
        name: Module(name, paths[name], tuple(_imports(tree, paths)), tuple(_deferred(tree)))
        for name, tree in trees.items()
    }
