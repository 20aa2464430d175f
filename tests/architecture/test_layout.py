"""The shape of the package: empty __init__ files, short modules, everything installed that is needed at run
time.
"""

import ast
import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

LONGEST = 350  # lines
# (folder, which files, where the wheel has them)
RUN_TIME_FILES = (
    ("recipes", "*.yaml", "clamnet_tf/_recipes"),
    ("zoo", "**/*", "clamnet_tf/_zoo"),
    ("clamnet_tf/evaluation/templates", "*", "clamnet_tf/evaluation/templates"),
    ("clamnet_tf/prediction/templates", "*", "clamnet_tf/prediction/templates"),
    ("clamnet_tf/study/templates", "*", "clamnet_tf/study/templates"),
    ("clamnet_tf/study/folds/templates", "*", "clamnet_tf/study/folds/templates"),
)
# Import names whose distribution is called otherwise; all others are called alike.
DISTRIBUTIONS = {
    "apache_beam": "apache-beam",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "keras_cv": "keras-cv",
    "rich_click": "rich-click",
    "tensorflow_io": "tensorflow-io",
    "ai_edge_litert": "ai-edge-litert",
    "tensorflow_serving": "tensorflow-serving-api",
    "grpc": "grpcio",
    "dicomweb_client": "dicomweb-client",
    "prometheus_client": "prometheus-client",
}


@pytest.fixture(scope="module")
def setup(repository):
    parser = configparser.ConfigParser()
    parser.read(repository / "setup.cfg", encoding="utf-8")
    return parser


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_init_files_are_empty(modules):
    full = [
        str(module.path)
        for name, module in modules.items()
        if module.path.name == "__init__.py" and name != "clamnet_tf" and module.path.read_text()
    ]
    assert not full, f"they stay empty: {full}"


def test_modules_fit_one_sitting(modules):
    long = {
        name: count
        for name, module in modules.items()
        if (count := len(module.path.read_text(encoding="utf-8").splitlines())) >= LONGEST
    }
    assert not long, f"split them: {long}"


def annotations(tree):
    """(line, annotation) of every variable, field, argument and result."""
    for node in ast.walk(tree):
        found = getattr(node, "annotation", None), getattr(node, "returns", None)
        yield from ((part.lineno, part) for part in found if part is not None)


def test_no_annotation_says_object(modules):
    """A Protocol or the real type says what may be asked of a value; `object` says nothing."""
    vague = [
        f"{name}:{line}"
        for name, module in modules.items()
        if name != "clamnet_tf.training.fit"  # under reconstruction
        for line, annotation in annotations(ast.parse(module.path.read_text(encoding="utf-8")))
        for part in ast.walk(annotation)
        if isinstance(part, ast.Name) and part.id == "object"
    ]
    assert not vague, vague


def test_every_folder_with_modules_is_installed(repository, setup):
    folders = {
        path.parent.relative_to(repository).as_posix().replace("/", ".")
        for path in (repository / "clamnet_tf").rglob("*.py")
    }
    listed = set(lines(setup["options"]["packages"]))
    assert listed == folders | {"clamnet_tf._recipes", "clamnet_tf._zoo"}


def test_folders_have_an_init(repository):
    bare = {
        str(path.parent)
        for path in (repository / "clamnet_tf").rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert not bare


def test_every_import_is_declared(modules, setup):
    declared = {re.split(r"[\[<>=!~ ;]", line)[0] for line in lines(setup["options"]["install_requires"])}
    for extra, text in setup["options.extras_require"].items():
        if extra != "test":
            declared |= {re.split(r"[\[<>=!~ ;]", line)[0] for line in lines(text)}
    undeclared = {
        f"{name}:{each.line} {top}"
        for name, module in modules.items()
        for each in module.imports
        if (top := each.target.split(".")[0]) not in sys.stdlib_module_names | {"clamnet_tf"}
        and DISTRIBUTIONS.get(top, top) not in declared
    }
    assert not undeclared, f"add them to install_requires or an extra of setup.cfg: {sorted(undeclared)}"


def test_version_is_said_once(repository, setup):
    import clamnet_tf

    assert setup["metadata"]["version"] == "attr: clamnet_tf.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+", clamnet_tf.__version__)


def test_public_surface_exists_and_nothing_else():
    import clamnet_tf

    for name in clamnet_tf.__all__:
        assert getattr(clamnet_tf, name)
        assert name in dir(clamnet_tf)
    with pytest.raises(
        AttributeError, match="has no attribute 'train'; it has __version__, Segmenter, load, build"
    ):
        clamnet_tf.train  # noqa: B018


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    """A wheel built by setup.cfg alone, without asking a registry."""
    pytest.importorskip(
        "setuptools",
        minversion="70.1",
        reason="a wheel without a download needs setuptools 70.1, see the extra [test]",
    )
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("clamnet_tf", "recipes", "zoo"):
        shutil.copytree(repository / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(repository / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(folder),
        str(source),
    ]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return next(folder.glob("*.whl"))


def test_wheel_holds_recipes_zoo_and_templates(repository, wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    for source, pattern, target in RUN_TIME_FILES:
        files = [path for path in (repository / source).glob(pattern) if path.is_file()]
        assert files, source
        for path in files:
            assert (Path(target) / path.relative_to(repository / source)).as_posix() in inside


def test_wheel_finds_its_recipes_from_any_folder(wheel, tmp_path):
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    command = [sys.executable, "-m", "clamnet_tf", "recipe", "show", "mri_carcinoma"]
    # The wheel's own package comes first on the path, the environment's third-party packages behind it.
    answer = subprocess.run(command, cwd=unpacked, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "name: mri_carcinoma\n" in answer.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import clamnet_tf; print(clamnet_tf.__file__)"],
        cwd=unpacked,
        capture_output=True,
        text=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(unpacked)
