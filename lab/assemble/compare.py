"""Old train against new train, same process: weights and selection.json must be equal."""
import sys, json, tempfile, time
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, "/tmp/lab/assemble/cmp")
import numpy as np, keras, tensorflow as tf
if "--graph" not in sys.argv: tf.config.run_functions_eagerly(True)
import clamnet_tf; print(clamnet_tf.__file__, flush=True)
from clamnet_tf.data.table import SliceTable
from clamnet_tf.data.manifest import Manifest, Case
from clamnet_tf.recipe.catalogue import recipe_of
from clamnet_tf.recipe.writer import resolve, to_yaml
from clamnet_tf.runs import RunFolder
from clamnet_tf.progress import Reporter
from clamnet_tf.training import fit as new, old_fit as old, assembly, old_stage_builder
SIDE, P, S = 16, 12, 4
rng = np.random.default_rng(0)
N = P * S
patient, index = np.divmod(np.arange(N), S)
label = (index % 2).astype(int)
markers = np.where(label > 0, np.where(patient % 3 == 0, "a", np.where(patient % 3 == 1, "b", "a+b")), "")
rows, cols = np.mgrid[:SIDE, :SIDE]
images = rng.normal(0, .3, (N, SIDE, SIDE, 1)).astype(np.float32); masks = np.zeros((N, SIDE, SIDE), np.uint8)
for i in np.flatnonzero(label):
    y, x = rng.uniform(4, 12, 2); masks[i] = np.hypot(rows-y, cols-x) < 3; images[i, ..., 0] += 2 * masks[i]
text = np.full(N, "")
split = np.where(patient < 8, "train", np.where(patient < 10, "val", "test"))
eta = np.full(N, np.nan); eta[1] = .4
table = SliceTable(image=text, patient=np.array([f"p{p:02d}" for p in patient]), label=label, site=np.where(patient % 2, "A", "B"), series=text,
    slice_index=index, position=index / S, area=np.full(N, .4), eta=eta, split=split, box=np.zeros((N, 5), int), case=np.arange(N), pixel_hash=text,
    volume=patient, spacing=np.full((N, 3), np.nan), markers=markers)
organ = np.ones((N, SIDE, SIDE), np.uint8)
class Atlas:
    def probability(self, images, organ): return 1 / (1 + np.exp(-np.asarray(images, np.float32)[..., 0]))
    def row(self): return {"stub": 1}
prepared = SimpleNamespace(table=table, images=images.astype(np.float16), organ=organ, key="k", atlas=None, cache=Path(tempfile.mkdtemp()))
manifest = Manifest(Path("/tmp"), tuple(Case(Path(f"/tmp/{i}"), f"p{patient[i]:02d}", int(label[i]), split=str(split[i])) for i in range(N)))
NET = "{depth: 2, filters: [4, 6], kernels: [3, 3], norm: none%s}"
BASE = """name: t
modality: mri
condition: c
data: {side: 16, cohort: null%s}
organ: {method: none}
pairs: {views: {shift: 0.1}}
network: %s
training: {steps: 3, batch_size: 4, evaluate_every: 2, checkpoint_every: 2%s}
selection: {prevalence: 0.1%s}
inference: {through_plane: 0.7}
"""
def base(data="", training="", selection="", classes=""):
    return BASE % (data, NET % classes, training, selection)
ROUND = "self_training: {rounds: 1, steps: 2, network: %s%s}\n"
CASES = {
 "ema+round": base() + "twin: {kind: ema}\n" + ROUND % (NET % "", ""),
 "classes+round": base(classes=", classes: 3") + "markers: [{name: a}, {name: b, eta: 0.5, prevalence: 0.05}]\n" + ROUND % (NET % ", classes: 3", ""),
 "attribution": base(selection=", threshold: 0.5, checkpoint: last", training=", seed: 3") + "attribution: {classifier: {networks: 1, filters: [4, 8], blocks: [1, 1], steps: 3, batch_size: 4}, copies: 1, least_score: 0.0, share: 0.06}\n" + ROUND.replace("rounds: 1", "rounds: 2") % (NET % "", ", teacher: attribution"),
 "atlas": base(data=", normal_atlas: {}") + ROUND % (NET % "", ", teacher: normal_atlas"),
 "atlas+classes": base(data=", normal_atlas: {}", classes=", classes: 3") + "markers: [{name: a}, {name: b}]\n" + ROUND % (NET % ", classes: 3", ", teacher: normal_atlas"),
 "masks": base(training=", supervision: masks") + "twin: {kind: none}\nloss: {agreement: {weight: 0.0}, contrast: {weight: 0.0}}\n",
 "instance": base() + "twin: {kind: none}\nloss: {objective: multiple_instance, agreement: {weight: 0.0}, contrast: {weight: 0.0}}\n",
}
def stub(manifest, prepared, rows, markers=1, say=None):
    return np.arange(len(rows)), masks[rows]
assembly.training_masks = old_stage_builder.training_masks = stub
names = [a for a in sys.argv[1:] if not a.startswith("--")] or CASES
for name in names:
    began = time.time()
    recipe = resolve(recipe_of(CASES[name]))
    prepared.atlas = Atlas() if "atlas" in name else None
    got = []
    for module in (old, new):
        run = RunFolder.open_for_training(Path(tempfile.mkdtemp()) / "run", to_yaml(recipe), resume=False)
        said = []
        with run.lock():
            out = module.train(recipe, manifest, prepared, run, Reporter(quiet=True, log=said.append))
        chosen = json.loads(run.selection.read_text()); chosen.pop("seconds")
        metrics = [{k: v for k, v in json.loads(l).items() if k not in ("seconds", "slices_per_second", "time")} for l in run.metrics.read_text().splitlines()]
        got.append((chosen, list(chosen), said, metrics, [np.asarray(w) for w in out.marker.network.get_weights()], sorted(str(p.relative_to(run.path)) for p in run.checkpoints.rglob("*"))))
    a, b = got
    same = [a[0] == b[0] and a[1] == b[1], a[2] == b[2], a[3] == b[3], len(a[4]) == len(b[4]) and all(np.array_equal(x, y) for x, y in zip(a[4], b[4])), a[5] == b[5]]
    print(name, "selection, lines, metrics, weights, files equal:", same, f"{time.time()-began:.0f} s", b[2][-1:], flush=True)
    if not all(same): print(a[0], b[0], a[2], b[2], a[3][:2], b[3][:2])
