"""Gather the pages of the documentation for MkDocs, and write those parts that the code itself says.

    python tools/docs_pages.py build/docs        what tools/docs calls before `mkdocs build`
    python tools/docs_pages.py --requirements    the packages that tools/docs installs, one a line

The target repeats the layout of the repository, so that a link which works in a clone works on the site too:
README.md is the first page, docs/ the manual, and the pages beside recipes, zoo and tools are those that
others link to. Notebooks become pages with the outputs that they hold, and links to them lead there. In the
target, the markers of docs/reference/*.md enclose the keys of recipes (from the schema), the commands (from
click) and the public Python interface (for mkdocstrings); in the repository they enclose nothing.
"""

import configparser
import inspect
import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
from readme_sections import rewrite

#: What the site holds, as patterns below the repository.
PAGES = (
    "*.md",
    "LICENSE",
    "CITATION.cff",
    "docs/**/*",
    "recipes/*.md",
    "recipes/*.yaml",
    "recipes/pictures/*",
    "recipes/results/*.csv",
    "zoo/README.md",
    "zoo/*/README.md",
    "tools/serving/*",
    "tools/cluster/*",
    "tools/benchmarks/*",
)
#: Distributions that `clamnet_tf.cli` and `clamnet_tf.recipe` import; none of them is large.
LIGHT = ("click", "rich-click", "pydantic", "pyyaml")
#: Title -> names of clamnet_tf.__all__; a test checks that every name stands here.
INTERFACE = {
    "Masks": ("Segmenter",),
    "Networks": ("load", "build", "load_recipe", "build_network"),
    "Loss": ("HybridLoss", "hybrid_per_pixel"),
    "Pairs": ("PairPlan", "SliceStore", "pair_dataset"),
    "Views": ("AugmentationConfig", "draw_view", "warp_between"),
    "Metrics": (
        "count_overlap",
        "dice",
        "iou",
        "hd95",
        "pointing_game",
        "auroc",
        "average_precision",
    ),
}


def requirements() -> list[str]:
    """Return the extra [docs] of setup.cfg and the requirements of LIGHT, as pip takes them."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    light = [
        line
        for line in config["options"]["install_requires"].split()
        if re.match(r"[A-Za-z0-9_-]+", line)[0].lower() in LIGHT
    ]
    return [*config["options.extras_require"]["docs"].split(), *light]


def recipe_keys() -> str:
    """Return every key of a recipe in tables, a heading per section, from the schema."""
    from clamnet_tf.recipe.expected import expected_text
    from clamnet_tf.recipe.json_schema import all_paths, alternatives, field_schema, json_schema, keys

    schema = json_schema()

    def section_of(path):
        parts = alternatives(schema, field_schema(schema, path)) if path else [schema]
        return next((part for part in parts if "properties" in part), None)

    def lines(path) -> list[str]:
        part = section_of(path)
        title = f"## `{'.'.join(path)}`" if path else "## Top level"
        found = [title, "", part.get("description", "") if path else "", ""]
        found += ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
        inner = []
        for key in keys(schema, path):
            field = field_schema(schema, (*path, key))
            meaning = field.get("description", "")
            if section := section_of((*path, key)):
                inner.append((*path, key))
                meaning = meaning or section.get("description", "").split("\n\n")[0]
                anchor = "".join((*path, key)).lower()
                value = f"[section](#{anchor})"
            else:
                value = _escaped(expected_text(schema, field))
            default = "" if isinstance(field.get("default"), dict) else _default(field)
            found.append(f"| `{key}` | {value} | {default} | {_escaped(meaning)} |")
        return [*found, "", *(line for path in inner for line in lines(path))]

    entries = []  # sections that stand in a list, such as those of `classes`
    for path in all_paths(schema):
        for part in alternatives(schema, field_schema(schema, path)):
            if part.get("type") == "array" and "$ref" in part.get("items", ()):
                entry = alternatives(schema, part["items"])[0]
                entries += [f"## An entry of `{'.'.join(path)}`", "", entry.get("description", ""), ""]
                entries += ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
                entries += [
                    f"| `{name}` | {_escaped(expected_text(schema, field))} | {_default(field)} | "
                    f"{_escaped(field.get('description', ''))} |"
                    for name, field in entry["properties"].items()
                ]
                entries.append("")
    return "\n".join([*lines(()), *entries])


def _default(field: dict) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field else ""


def _escaped(text: str) -> str:
    """Return a text as one line of Markdown that shows it as it is; code in backquotes stays code."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    parts[::2] = [re.sub(r"([\[\]*_|])", r"\\\1", part.replace("<", "&lt;")) for part in parts[::2]]
    return "".join(parts)


def commands() -> str:
    """Return every command with its help, arguments and options, from click."""
    import click

    from clamnet_tf.cli.main import COMMANDS, load

    def lines(command, words) -> list[str]:
        context = click.Context(command, info_name=" ".join(words))
        usage = " ".join([*words, *command.collect_usage_pieces(context)])
        found = [f"##{'#' * (len(words) > 2)} {' '.join(words)}", "", "```", usage, "```", ""]
        found += [_help(command.help), "", _help(command.epilog), ""]
        options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        if options:
            found += ["| Option | Value | Meaning |", "|---|---|---|", *map(_option(context), options), ""]
        for name, child in getattr(command, "commands", {}).items():
            found += lines(child, [*words, name])
        return found

    return "\n".join(line for name in COMMANDS for line in lines(load(name), ["clamnet-tf", name])) + "\n"


def _option(context):
    def line(option) -> str:
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        value = "" if option.is_flag else f"`{option.make_metavar(context)}`"
        required = " Required." if option.required and "[required]" not in (option.help or "") else ""
        return f"| {names} | {_escaped(value)} | {_escaped(option.help or '')}{required} |"

    return line


def _help(text: str | None) -> str:
    """Return the paragraphs of a help text as Markdown."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text or "").replace("\b", ""))
    return "\n\n".join(_escaped(each) for each in paragraphs)


def interface() -> str:
    """Return the directives from which mkdocstrings renders the public names."""
    from clamnet_tf import _PUBLIC

    lines = []
    for title, names in INTERFACE.items():
        lines += [f"## {title}", ""]
        for name in names:
            heading = f"clamnet_tf.{name}"
            lines += [f"::: {_PUBLIC[name]}.{name}", "    options:", f"      heading: {heading}"]
            lines += [f"      toc_label: {name}", ""]
    return "\n".join(lines)


#: Page below docs/reference -> the name of its markers and what stands between them.
GENERATED = {
    "recipe.md": ("recipe-keys", recipe_keys),
    "commands.md": ("commands", commands),
    "python.md": ("interface", interface),
}


def gather(target: Path) -> None:
    """Copy the pages into a new folder `target` and fill the generated ones."""
    if target.exists():
        shutil.rmtree(target)
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                copy = target / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
    for page, (name, content) in GENERATED.items():
        path = target / "docs" / "reference" / page
        rewrite(path, **{name: f"\n{content()}\n"})
    notebooks(target)


def notebooks(target: Path) -> None:
    """Turn each notebook below `target` into a page beside it, and let all links lead to these pages."""
    import nbformat
    from nbconvert import MarkdownExporter

    for path in sorted(target.rglob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        text, resources = MarkdownExporter().from_notebook_node(
            notebook, resources={"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
        )
        for name, content in resources["outputs"].items():
            (path.parent / name).parent.mkdir(exist_ok=True)
            (path.parent / name).write_bytes(content)
        path.with_suffix(".md").write_text(text, encoding="utf-8")
        path.unlink()
    for page in target.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        changed = re.sub(r"(\]\((?![a-z]+:)[^)\s]*)\.ipynb(?=[)#])", r"\1.md", text)
        if changed != text:
            page.write_text(changed, encoding="utf-8")


def main(arguments: list[str]) -> None:
    if arguments == ["--requirements"]:
        print("\n".join(requirements()))
    elif len(arguments) == 1 and not arguments[0].startswith("-"):
        gather(Path(arguments[0]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
