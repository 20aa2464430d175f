"""README's size, links between pages, the site's table of contents, and the parts that the code says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))

import docs_pages  # noqa: E402

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/*.md", "zoo/**/*.md", "tools/*/*.md")
    for path in ROOT.glob(pattern)
)
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]


def prose(path):
    """A page without its code blocks and code in lines."""
    text = re.sub(r"^(```+).*?^\1$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path):
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower()) for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_links_lead_to_files_and_headings(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        found = path.parent / name if name else path
        assert found.exists(), f"{target}: there is no such file"
        assert not anchor or anchor in anchors(found), f"{target}: there is no such heading"


def test_readme_is_short_and_names_no_registry():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= 9000
    assert text.count("![") == 1
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "zoo" / "README.md"]:
        for installed in re.findall(r"pip install (?:--editable )?(\S+)", path.read_text(encoding="utf-8")):
            assert installed.strip("'`)").startswith((".", "dist/")), f"{path}: pip install {installed}"


def test_every_page_of_docs_is_in_the_table_of_contents():
    def leaves(part):
        if isinstance(part, str):
            yield part
        else:
            for child in part.values() if isinstance(part, dict) else part:
                yield from leaves(child)

    class Loader(yaml.SafeLoader):
        """mkdocs.yml may name Python objects; none is needed here."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
    listed = list(leaves(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]))
    assert len(set(listed)) == len(listed)
    written = {f"docs/notebooks/{path.stem}.md" for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    assert [name for name in listed if name not in written and not (ROOT / name).is_file()] == []
    assert written <= set(listed)
    assert {name for name in NAMES if name.startswith("docs/")} - set(listed) == set()


def test_recipe_keys_are_complete():
    from clamnet_tf.recipe.json_schema import all_paths, json_schema, keys

    schema, page = json_schema(), docs_pages.recipe_keys()
    sections = {path for path in all_paths(schema) if keys(schema, path)}
    for section in sections:
        part = page.split(f"## `{'.'.join(section)}`\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", part, flags=re.MULTILINE) == keys(schema, section)
        assert f"](#{''.join(section)})" in page
    assert "| `steps` | a whole number of at least 1 | `300` | Optimizer steps. |" in page
    assert "## An entry of `classes`" in page


def test_commands_are_complete():
    from clamnet_tf.cli.main import COMMANDS, load

    page = docs_pages.commands()
    for name in COMMANDS:
        command = load(name)
        part = page.split(f"## clamnet-tf {name}\n")[1].split("\n## ")[0]
        for child in getattr(command, "commands", {}):
            assert f"### clamnet-tf {name} {child}\n" in part
        for option in (one for one in command.params if one.param_type_name == "option"):
            assert f"`{option.opts[0]}`" in part
    assert "clamnet-tf fit [OPTIONS] RECIPE" in page


def test_the_python_page_has_every_public_name():
    import clamnet_tf

    named = [name for names in docs_pages.INTERFACE.values() for name in names]
    assert sorted(["__version__", *named]) == sorted(clamnet_tf.__all__)
    assert "::: clamnet_tf.zoo.models.load\n    options:\n      heading: clamnet_tf.load\n" in (
        docs_pages.interface()
    )


def test_gathered_pages_are_filled(tmp_path):
    pytest.importorskip("nbconvert", reason="nbconvert is not installed, see the extra [test]")
    docs_pages.gather(tmp_path / "docs")
    filled = (tmp_path / "docs" / "docs" / "reference" / "recipe.md").read_text(encoding="utf-8")
    assert "## `training`" in filled
    assert "## `training`" not in (ROOT / "docs" / "reference" / "recipe.md").read_text(encoding="utf-8")
    assert (tmp_path / "docs" / "recipes" / "pictures" / "result.png").is_file()
    folder = tmp_path / "docs" / "docs" / "notebooks"
    page = (folder / "zoo-weights.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[\w+\]\((\S+)\)", page)
    assert shown and all((folder / name).stat().st_size > 5000 for name in shown)
    assert "(network-variants.md)" in (folder / "README.md").read_text(encoding="utf-8")
    assert not list(folder.glob("*.ipynb"))


def test_requirements_name_versions():
    wanted = docs_pages.requirements()
    assert {re.match(r"[\w-]+", one)[0].lower() for one in wanted} >= {"mkdocs-material", *docs_pages.LIGHT}
    assert all(re.search(r"[=<>]", one) for one in wanted)


def test_commands_and_recipes_are_light():
    """tools/docs installs LIGHT alone: what it imports must need nothing else."""
    script = (
        "import sys\nsys.path.insert(0, 'tools')\nimport docs_pages\n"
        "docs_pages.commands(), docs_pages.recipe_keys(), docs_pages.interface()\n"
        "heavy = {'numpy', 'scipy', 'tensorflow', 'keras', 'PIL', 'pydicom', 'nibabel', 'requests'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stdout.strip() == "[]", done.stderr + done.stdout


@pytest.mark.skipif(
    not (ROOT / ".venv-docs" / "bin" / "mkdocs").exists() or os.name != "posix",
    reason="tools/docs has not made .venv-docs",
)
@pytest.mark.slow
def test_a_broken_link_stops_the_build(tmp_path):
    gathered = tmp_path / "build" / "docs"
    docs_pages.gather(gathered)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "clamnet_tf").symlink_to(ROOT / "clamnet_tf")
    with open(gathered / "docs" / "glossary.md", "a", encoding="utf-8") as page:
        page.write("\n[nowhere](nowhere.md)\n")
    command = [ROOT / ".venv-docs" / "bin" / "mkdocs", "build", "--strict"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0 and "nowhere.md" in done.stderr
