"""Run once with the code of 4062c04 (in /tmp/gate/base)."""
from common import *
sys.path.insert(0, str(GATE / "base" / "tests" / "training"))
BASE = GATE / "base"; CACHE = GATE / "cache"; ENV = environment(BASE, CACHE)
def run(command):
    done = subprocess.run(command, env=ENV, cwd=GATE, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-3000:])
    return done.stdout
def whole(kind):
    """The finished run; on its way the process is stopped at each of KILLS and its folder copied: what kill -9 would leave then."""
    out, wanted = GATE / "finished" / kind, dict(KILLS[kind])
    log = open(GATE / f"{kind}.log", "w")
    process = subprocess.Popen(fit(kind, out), env=ENV, cwd=GATE, stdout=log, stderr=log)
    while process.poll() is None:
        for name, (stage, step) in list(wanted.items()):
            if any(int(p.stem.split("-")[1]) >= step for p in out.glob(f"checkpoints/{stage}/step-*.npz")):
                os.kill(process.pid, signal.SIGSTOP)
                copy = GATE / "killed" / f"{kind}_{name}"
                shutil.copytree(out, copy)
                assert not (copy / "FINISHED").exists()
                os.kill(process.pid, signal.SIGCONT)
                print(kind, name, sorted(str(p.relative_to(copy)) for p in copy.glob("checkpoints/*/step-*.npz")), sorted(p.name for p in copy.iterdir()), flush=True)
                del wanted[name]
        time.sleep(0.02)
    assert process.returncode == 0 and not wanted, (kind, process.returncode, wanted)
data = GATE / "data"
if not data.exists():
    data.mkdir()
    import importlib.util
    spec = importlib.util.spec_from_file_location("rings", BASE / "tests/training/test_attribution_fit.py"); rings = importlib.util.module_from_spec(spec); spec.loader.exec_module(rings)
    (data / "rings.yaml").write_text(rings.RECIPE.replace("steps: 8, batch_size: 8", "steps: 12, batch_size: 8").replace("  steps: 4\n", "  steps: 8\n"))
    rings.write_patches(data / "rings")
(GATE / "killed").mkdir(exist_ok=True); (GATE / "finished").mkdir(exist_ok=True)
for kind in KINDS:
    began = time.time(); out = GATE / "finished" / kind
    if not (out / "FINISHED").exists(): whole(kind)
    print(kind, "finished", round(time.time() - began), "s", flush=True)
for script, name in (("hashes.py", "hashes.json"), ("maps.py", "maps.npz")):
    if (GATE / name).exists(): continue
    subprocess.run([PY, str(GATE / script), str(GATE / name)], env={**ENV, "GATE_CODE": str(BASE)}, cwd=GATE, check=True)
    print(name, "made", flush=True)
for kind in KINDS:
    if not (GATE / f"{kind}_evaluated").exists(): run(cli("evaluate", GATE / "finished" / kind, *(["--data", KINDS[kind][2], "--split-file", GATE / "finished" / kind / "split.csv"] if KINDS[kind][2] else []), "--split", "test", "--out", GATE / f"{kind}_evaluated"))
subprocess.run([PY, str(GATE / "predict.py"), str(GATE / "predict.json")], env={**ENV, "GATE_CODE": str(BASE)}, cwd=GATE, check=True)
print("all made", flush=True)
