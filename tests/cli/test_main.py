"""The table of commands: help that is fast and light, exit codes, errors without a traceback."""

import os
import resource
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import rich_click as click
from click.testing import CliRunner

from clamnet_tf import __version__
from clamnet_tf.cli.main import COMMANDS, load, main
from clamnet_tf.errors import ClamnetError, UserInputError

STOPPED = "Stopped. The same command goes on where it was, a training with --resume.\n"
HELP_RATIO = 4  # processor time of a help page to that of importing what prints it; 2.2 was measured
RUN_AND_LIST_MODULES = """
import sys
from clamnet_tf.cli.main import main
try:
    main(sys.argv[1:], prog_name="clamnet-tf")
finally:
    names = ("tensorflow", "keras", "numpy", "scipy", "matplotlib")
    print("loaded:", *(name for name in names if name in sys.modules), file=sys.stderr)
"""


def paths():
    """Every command and subcommand: (), ("fit",), ("recipe",), ("recipe", "list"), ..."""
    yield ()
    for name in COMMANDS:
        yield (name,)
        for child in getattr(load(name), "commands", {}):
            yield (name, child)


def run(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "clamnet_tf", *arguments], capture_output=True, text=True, **more
    )


@pytest.mark.parametrize("path", list(paths()), ids=lambda path: " ".join(path) or "(none)")
def test_help_loads_nothing_heavy(path):
    answer = subprocess.run(
        [sys.executable, "-c", RUN_AND_LIST_MODULES, *path, "--help"], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == "loaded:\n"
    assert f"Usage: {' '.join(['clamnet-tf', *path])}" in answer.stdout


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_is_fast(name):
    helping, importing = [], []
    for _ in range(3):  # side by side: a busy machine slows both
        helping.append(processor_seconds(lambda: run(*([name] if name else []), "--help")))
        importing.append(
            processor_seconds(lambda: subprocess.run([sys.executable, "-c", "import rich_click"]))
        )
    print(f"{name or '(none)'} --help: processor {min(helping):.2f} s, rich_click {min(importing):.2f} s")
    assert min(helping) < HELP_RATIO * min(importing)


def processor_seconds(start) -> float:
    """Return the processor time of the process that `start` runs to its end without an error."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert start().returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_table_rows_are_rich_commands_of_their_name():
    for name in COMMANDS:
        command = load(name)
        assert command.name == name
        for each in (command, *getattr(command, "commands", {}).values()):
            assert isinstance(each, click.RichCommand), f"{each.name}: import rich_click as click"
            assert each.help, each.name


def test_every_file_of_the_folder_is_in_the_table():
    folder = Path(sys.modules["clamnet_tf.cli.main"].__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {
        "__init__",
        "main",
        "label_options",
        "prediction_options",
        "zoo_publish",
    }
    assert (
        files
        == {module.rpartition(".")[2] for module, _ in COMMANDS.values()}
        == {name.replace("-", "_") for name in COMMANDS}
    )


def test_version():
    answer = run("--version")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"clamnet-tf {__version__}\n", "")


def test_short_help_of_the_group_is_the_table():
    text = run("--help").stdout
    for name, (_, short) in COMMANDS.items():
        assert f"{name} " in text and short in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fitt"], "Error: No such command 'fitt'."),
        (["--nope"], "Error: No such option"),
        (["recipe", "validate"], "Error: Missing argument"),
        (["recipe", "validate", "absent.yaml"], "Error: absent.yaml: expected the path of a recipe"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_user_errors_exit_2_with_one_message(arguments, message, tmp_path):
    answer = run(*arguments, cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith(message)
    assert "Traceback" not in answer.stderr


@pytest.fixture
def trial(monkeypatch):
    """Put a command "trial" into the table, then call it: trial(error, *arguments before its name) ->
    result.
    """
    monkeypatch.setenv("CLAMNET_TF_VERBOSE", "0")

    def call(error, *before, after=()):
        def callback():
            raise error

        module = types.ModuleType("module_of_trial")
        module.trial = click.RichCommand("trial", callback=callback)
        monkeypatch.setitem(sys.modules, "module_of_trial", module)
        monkeypatch.setitem(COMMANDS, "trial", ("module_of_trial", "Raise an error."))
        return CliRunner().invoke(main, [*before, "trial", *after], prog_name="clamnet-tf")

    return call


@pytest.mark.parametrize(
    ("error", "code", "stderr"),
    [
        (ClamnetError("no luck"), 1, "Error: no luck\n"),
        (UserInputError("not so"), 2, "Error: not so\n"),
        (
            FileNotFoundError(2, "No such file or directory", "a.csv"),
            1,
            "Error: a.csv: No such file or directory\n",
        ),
        (click.UsageError("wrong"), 2, "Error: wrong\nTry 'clamnet-tf trial --help'.\n"),
        (click.exceptions.Exit(7), 7, ""),
        (KeyboardInterrupt(), 130, STOPPED),
        (click.Abort(), 130, STOPPED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_exit_codes(trial, error, code, stderr):
    result = trial(error)
    assert (result.exit_code, result.stderr, result.stdout) == (code, stderr, "")


def test_a_bug_keeps_its_traceback(trial):
    assert isinstance(trial(ZeroDivisionError("a bug")).exception, ZeroDivisionError)


@pytest.mark.parametrize("where", ["before", "after", "environment"])
def test_verbose_shows_the_traceback(trial, monkeypatch, where):
    if where == "environment":
        monkeypatch.setenv("CLAMNET_TF_VERBOSE", "1")
    result = trial(
        ClamnetError("no luck"), *["-v"] * (where == "before"), after=["--verbose"] * (where == "after")
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback") and result.stderr.endswith("Error: no luck\n")


def test_verbose_reaches_subcommands():
    answer = run("recipe", "validate", "absent.yaml", "-v")
    assert answer.returncode == 2 and "Traceback" in answer.stderr


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for a child process in Linux's /proc")
def test_control_c_exits_130():
    command = subprocess.Popen(
        [sys.executable, "-m", "clamnet_tf", "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # a background shell ignores it
    )
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children")
    deadline = time.monotonic() + 60
    while not children.read_text() and time.monotonic() < deadline:  # doctor is waiting for TensorFlow then
        time.sleep(0.02)
    os.kill(command.pid, signal.SIGINT)
    stdout, stderr = command.communicate(timeout=60)
    assert (command.returncode, stdout, stderr) == (130, "", STOPPED)


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m clamnet_tf recipe schema | head -n 1"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (answer.stdout, answer.stderr) == ("{\n", "")
