from common import *
import tempfile
import numpy as np
ALL = ("hashes", "maps", "predict", "old-runs", "runs")
code = Path(sys.argv[1]).resolve(); parts = sys.argv[2:] or ALL  # runs:binary:later = one of the killed runs alone
chosen = [part.split(":")[1:] for part in parts if part.startswith("runs:")]
assert (code / "clamnet_tf").is_dir(), code
work = Path(tempfile.mkdtemp(prefix="check-", dir=GATE)); cache = GATE / "cache_later"; cache.mkdir(exist_ok=True)
if not (cache / "cohorts").exists(): shutil.copytree(GATE / "cache" / "cohorts", cache / "cohorts")
env = {**environment(code, cache), "GATE_CODE": str(code)}
bad = []
def say(ok, what):
    print("ok  " if ok else "FAIL", what, flush=True)
    if not ok: bad.append(what)
def script(name, out):
    done = subprocess.run([PY, str(GATE / name), str(out)], env=env, cwd=work, capture_output=True, text=True)
    if done.returncode: say(False, f"{name}: {done.stdout[-500:]} {done.stderr[-2500:]}")
    return done.returncode == 0
def bare(text):
    """A message without the folder and line of the file that it is about."""
    import re
    return re.sub(r"\S*?(\w+\.yaml):\d+", r"\1", text)
def differences(one, two, path=""):
    if isinstance(one, dict) and isinstance(two, dict):
        for key in one:
            if key not in two: yield f"{path}/{key}: gone"
            else: yield from differences(one[key], two[key], f"{path}/{key}")
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for i, (a, b) in enumerate(zip(one, two)): yield from differences(a, b, f"{path}/{i}")
    elif isinstance(one, (int, float)) and isinstance(two, (int, float)) and not isinstance(one, bool):
        if not (abs(one - two) <= 1e-5 + 1e-5 * abs(one) or (one != one and two != two)): yield f"{path}: {one} is now {two}"
    elif isinstance(one, str) and isinstance(two, str) and bare(one) == bare(two): return
    elif one != two: yield f"{path}: {one!r} is now {two!r}"[:300]
def compare(name, one, two, skip=()):
    found = [line for line in differences(one, two) if not any(word in line for word in skip)]
    say(not found, f"{name}: {len(found)} differences" + "".join("\n       " + line for line in found[:15]))
def json_of(path): return json.loads(Path(path).read_text())
def weights(folder):
    import zipfile, h5py
    with zipfile.ZipFile(Path(folder) / "model.keras") as archive, archive.open("model.weights.h5") as stream:
        import io
        found = {}
        h5py.File(io.BytesIO(stream.read())).visititems(lambda name, node: found.__setitem__(name, node[()]) if hasattr(node, "shape") else None)
    return found
def compare_runs(name, one, two):
    a, b = weights(one), weights(two)
    # names inside the file may follow layer names; compare by name where they are the same, by order otherwise
    pairs = [(a[k], b[k]) for k in a] if a.keys() == b.keys() else list(zip(a.values(), b.values()))
    same = len(a) == len(b) and all(x.shape == y.shape for x, y in pairs)
    worst = max(float(np.abs(x.astype(float) - y).max(initial=0)) for x, y in pairs) if same else float("inf")
    say(worst <= 1e-5, f"{name}: weights, largest difference {worst:.2g}")
    drop = lambda row: {k: v for k, v in row.items() if k != "seconds"}
    compare(f"{name}: selection.json", drop(json_of(one / "selection.json")), drop(json_of(two / "selection.json")), ("seconds",))
    compare(f"{name}: metrics.json", json_of(one / "evaluation" / "metrics.json"), json_of(two / "evaluation" / "metrics.json"), ("seconds", "time", "folder", "/run:", "/data/root:"))
    steps = [[(r["kind"], r["stage"], r["step"]) for r in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())] for run in (one, two)]
    say(steps[0] == steps[1], f"{name}: rows of metrics.jsonl")
if "hashes" in parts and script("hashes.py", work / "hashes.json"): compare("hashes", json_of(GATE / "hashes.json"), json_of(work / "hashes.json"))
if "maps" in parts and script("maps.py", work / "maps.npz"):
    one, two = np.load(GATE / "maps.npz"), np.load(work / "maps.npz")
    for key in one.files:
        if key not in two.files or one[key].shape != two[key].shape: say(False, f"maps {key}: {one[key].shape} became {two[key].shape if key in two.files else None}"); continue
        worst = float(np.abs(one[key] - two[key]).max()); say(worst <= 1e-5, f"maps {key}: largest difference {worst:.2g}")
if "predict" in parts and (GATE / "predict.json").exists() and script("predict.py", work / "predict.json"): compare("predict", json_of(GATE / "predict.json"), json_of(work / "predict.json"))
for kind in KINDS:
    old = GATE / "finished" / kind
    if "old-runs" in parts and (GATE / f"{kind}_evaluated" / "metrics.json").exists():
        out = work / f"{kind}_evaluated"
        done = subprocess.run(cli("evaluate", old, *(["--data", KINDS[kind][2], "--split-file", GATE / "finished" / kind / "split.csv"] if KINDS[kind][2] else []), "--split", "test", "--out", out), env=env, cwd=work, capture_output=True, text=True)
        if done.returncode: say(False, f"evaluate {kind}: {done.stdout[-500:]}{done.stderr[-2500:]}")
        else: compare(f"evaluate {kind}: metrics.json", json_of(GATE / f"{kind}_evaluated" / "metrics.json"), json_of(out / "metrics.json"), ("seconds", "time", "folder", "/data/root:"))
    if "runs" in parts or chosen:
        for name in KILLS[kind]:
            if chosen and [kind, name] not in chosen: continue
            copy = work / f"{kind}_{name}"; shutil.copytree(GATE / "killed" / f"{kind}_{name}", copy)
            done = subprocess.run(fit(kind, copy, "--resume"), env=env, cwd=work, capture_output=True, text=True)
            if done.returncode: say(False, f"resume {kind} {name}: {done.stdout[-500:]}{done.stderr[-2500:]}")
            else: compare_runs(f"resume {kind} {name}", old, copy)
shutil.rmtree(work, ignore_errors=True)
print("GATE:", "passed" if not bad else f"{len(bad)} failed", "for", code, " ".join(parts)); sys.exit(bool(bad))
