"""Windows, simulated: names that only POSIX has, locks, links, code pages, line ends.

None of this has run on Windows.
"""

import ast
import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.files import hold, open_regular

POSIX_MODULES = set("fcntl grp posix pty pwd readline resource syslog termios tty".split())
POSIX_NAMES = {
    "os": set(
        "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK WNOHANG chown fchown fork forkpty getegid geteuid "
        "getgid "
        "getloadavg getpgid getuid killpg lchown mkfifo mknod nice posix_fadvise pread pwrite "
        "sched_getaffinity setpgid setsid statvfs sync sysconf uname wait wait3".split()
    ),
    "signal": set("SIGALRM SIGCHLD SIGHUP SIGKILL SIGUSR1 SIGUSR2 alarm pause setitimer".split()),
}


def attribute(node):
    """(module, name) of an attribute of a name, else (None, None)."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id, node.attr
    return None, None


def posix_only(tree):
    """(line, name) of what Windows lacks, except in functions that ask for the platform."""
    found, careful = [], set()
    for node in ast.walk(tree):
        module, name = attribute(node)
        if isinstance(node, ast.Import):
            found += [(node, each.name) for each in node.names if each.name in POSIX_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in POSIX_MODULES:
            found.append((node, node.module))
        elif name in POSIX_NAMES.get(module, ()):
            found.append((node, f"{module}.{name}"))
    if found:
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                inside = list(ast.walk(function))
                if any(attribute(each) in (("sys", "platform"), ("os", "name")) for each in inside):
                    careful |= {id(each) for each in inside}
    return [(node.lineno, name) for node, name in found if id(node) not in careful]


def test_nothing_needs_what_only_posix_has(modules):
    found = [
        f"{name}:{line} {what}"
        for name, module in modules.items()
        for line, what in posix_only(ast.parse(module.path.read_text(encoding="utf-8")))
    ]
    assert not found, f"use getattr, or ask for sys.platform: {found}"


def test_the_check_sees_what_it_should():
    seen = "import fcntl\nos.setpgid(0, 0)\ndef f():\n    if sys.platform != 'win32':\n        os.fork()\n"
    assert [name for _, name in posix_only(ast.parse(seen))] == ["fcntl", "os.setpgid"]


WITHOUT_POSIX = f"""
import builtins, os, signal, subprocess, sys, tempfile, threading, pathlib, shutil
original = builtins.__import__
def limited(name, globals=None, *rest, **more):
    asking = (globals or {{}}).get("__name__", "")
    if name.split(".")[0] in {POSIX_MODULES!r} and asking.startswith("clamnet_tf"):
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return original(name, globals, *rest, **more)
builtins.__import__ = limited
for module, names in {POSIX_NAMES!r}.items():
    # The standard library and NumPy use three of them on Linux.
    for name in names - {{"O_NONBLOCK", "O_CLOEXEC", "uname"}}:
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)
from clamnet_tf.cli.main import main
main(sys.argv[1:])
"""


def clamnet(*arguments, code=None, **environment):
    """The command under code page 1252, as a console of Windows has it."""
    return subprocess.run(
        [sys.executable, *(["-c", code] if code else ["-m", "clamnet_tf"]), *map(str, arguments)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", **environment},
    )


@pytest.mark.parametrize("arguments", [("recipe", "list"), ("zoo", "list"), ("--help",)])
def test_light_commands_run_without_posix_and_in_a_code_page(arguments):
    answer = clamnet(*arguments, code=WITHOUT_POSIX)
    assert answer.returncode == 0, answer.stderr.decode("cp1252")
    assert len(answer.stdout.decode("cp1252")) > 200


def test_a_recipe_of_windows_is_the_same_recipe(repository, tmp_path):
    """Byte order mark, \\r\\n, a folder with letters that the code page lacks."""
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.writer import recipe_hash

    folder = tmp_path / "Prüfung ∑"
    folder.mkdir()
    source = repository / "recipes" / "ct_nodule.yaml"
    text = source.read_text(encoding="utf-8") + "# größer ≥ 3 mm\n"
    (folder / "own.yaml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert recipe_hash(load_recipe(folder / "own.yaml")) == recipe_hash(load_recipe(source))
    answer = clamnet("recipe", "validate", folder / "own.yaml")
    assert answer.returncode == 0, answer.stderr.decode("cp1252")
    assert "Prüfung" in answer.stdout.decode("cp1252")


HOLDER = """
import sys, time
from clamnet_tf.files import hold
with hold(sys.argv[1]) as held:
    print(held, flush=True)
    time.sleep(60)
"""
FLOCK = """
import fcntl, sys, time
stream = open(sys.argv[1], "w")
fcntl.flock(stream, fcntl.LOCK_EX)
print(True, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("code", [HOLDER, FLOCK], ids=["this version", "flock, as versions before"])
def test_a_lock_keeps_others_out_until_its_process_is_killed(tmp_path, code):
    path = tmp_path / ".lock"
    command = [sys.executable, "-c", code, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "True\n"
            with hold(path) as held:
                assert not held
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    with hold(path) as held:
        assert held and path.exists()
        with hold(path, remove=True) as second:
            assert not second
        assert path.exists(), "only the holder removes it"
    with hold(path, remove=True) as held:
        assert held
    assert not path.exists()


def test_a_lock_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFailure, match="cannot be written"):
        with hold(tmp_path / "file" / ".lock"):
            pass
    with hold(tmp_path / "file" / ".lock", needed=False) as held:
        assert held


def test_a_folder_that_windows_refuses_to_open_is_called_a_folder(tmp_path, monkeypatch):
    def refuse(path, *rest):
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))

    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(PermissionError):
        open_regular(tmp_path / "file")


def test_volumes_are_read_where_links_are_not_allowed(tmp_path, monkeypatch):
    itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    from clamnet_tf.imaging.readers import read_volume

    values = np.arange(2 * 9 * 10, dtype=np.int16).reshape(2, 9, 10)
    itk.WriteImage(itk.GetImageFromArray(values), str(tmp_path / "scan.mhd"))  # scan.raw beside it
    with_links = np.asarray(read_volume(tmp_path / "scan.mhd").array)

    def refuse(*rest):
        raise OSError(errno.EPERM, "A required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refuse)
    without = np.asarray(read_volume(tmp_path / "scan.mhd").array)
    assert np.array_equal(with_links, without) and sorted(without.ravel()) == list(range(180))


def test_a_training_of_a_study_has_its_own_group_on_windows(monkeypatch):
    from clamnet_tf.study import child

    monkeypatch.setattr(child.sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    assert child._own_group() == {"creationflags": 0x200}  # preexec_fn is an error there
