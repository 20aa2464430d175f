"""Compare the binary case of the code before (clamnet_old) with that of the worktree, in one process; then run chosen tests."""
import sys, types, json, time, importlib
import numpy as np, keras
from pathlib import Path
sys.path.insert(0, "/tmp/lab/old-classes")
new, old = "clamnet_tf", "clamnet_old"
def mod(which, name): return importlib.import_module(f"{which}.{name}")
LOSS = {"k": 1, "head_weights": None, "agreement_weight": 0.5, "agreement_distance": "squared", "agreement_ramp": 0.25, "contrast_weight": 0.5, "contrast_margin": 0.7, "pooling_power": 6.0}
rng = np.random.default_rng(0)
side, count = 16, 24
images = rng.normal(0, .3, (count, side, side, 2)).astype(np.float32)
organ = np.ones((count, side, side), np.uint8); organ[:, :2] = 0
labels = np.arange(count) % 2
for i in np.flatnonzero(labels): images[i, 5:9, 4:9, 1] += 2
etas = np.full(count, .7); etas[3] = .4
volumes = np.repeat([0, 1, 2], 8)
maps = rng.random((count, side, side)).astype(np.float32); maps[labels == 1, 5:9, 4:9] += .4; maps = np.minimum(maps, 1)
shown = labels[:, None] > 0
def numbers(which):
    out, is_old = {}, which == old
    steps_of = mod(which, "marking.volume_marking" if is_old else "marking.class_marking").VolumeSteps
    sec = mod(which, "recipe.schema").SelectionSection(prevalence=.1)
    one = () if is_old else ((mod(which, "recipe.classes").LesionClass("", .7, .1),),)
    for name, st in (("plain", steps_of()), ("steps", steps_of(1.1, .3, .5))):
        f = mod(which, "training.pseudo_labels").pseudo_labels
        out[f"taught/{name}"] = f(lambda r: maps[r], images, organ, labels, volumes, marked=.1, background=.6, steps=st) if is_old else f(lambda r: maps[r][..., None], images, organ, shown, volumes, marked=[.1], background=.6, steps=st)
        table = types.SimpleNamespace(label=labels, volume=volumes, volumes_of=lambda rows: np.unique(volumes[rows]))
        slices = types.SimpleNamespace(prepared=types.SimpleNamespace(images=images, organ=organ), table=table, rows=np.arange(count), shown=shown)
        class P:
            head_names = ["head_1"]
            def heads(self, im):
                m = np.asarray(im)[..., 1]; m = (1 / (1 + np.exp(-m)))[None].astype(np.float32)
                return m if is_old else m[..., None]
        f = mod(which, "training.thresholds").fit_markings(P(), slices, sec, st, *one)
        out[f"markings/{name}"] = json.dumps({k: v.row() for k, v in f.items()}, sort_keys=True)
        v = f["mean"](P().heads(images[:8])[0], images[:8], organ[:8])
        out[f"volume/{name}"] = v if is_old else v[..., 0]
    look = mod(which, "training.selection").look_at
    seen = look(lambda x: x, 3, (maps[labels == 1], organ[labels == 1]), (maps, organ, labels), sec) if is_old else look(lambda x: x[..., None], 3, (maps[labels == 1], organ[labels == 1], shown[labels == 1]), (maps, organ, shown), sec, *one)
    out["look"] = json.dumps(seen.row(), sort_keys=True)
    rh, lr = mod(which, "recipe.writer").recipe_hash, mod(which, "recipe.catalogue").load_recipe
    for r in sorted(Path("/work/wt-classes/recipes").glob("*.yaml")):
        if not r.stem.startswith("study"): out[f"hash/{r.stem}"] = rh(lr(str(r)))
    root = Path("/work/wt-classes/zoo")
    for name in ("mri_carcinoma", "ct_haemorrhage"):
        run = mod(which, "runs").RunFolder(root / name); recipe = lr(str(run.recipe))
        tr = mod(which, "evaluation.trained").load_trained(run, recipe)
        s, ch = recipe.data.side, int(tr.probability.network.inputs[0].shape[-1])
        g = np.random.default_rng(1)
        im = g.normal(0, .5, (1, s, s, ch)).astype(np.float32); im[:, s//3:s//2, s//3:s//2] += 1.5
        og = np.ones((1, s, s), bool); og[:, :, :s//8] = False
        tr.probability._forward = tr.probability.both_views
        p = tr.probability(im); v = tr.volume(p, im, og)
        out[f"{name}/mask"] = np.stack([tr.marking.mask(a, b) for a, b in zip(v, og)]).astype(np.uint8)
        out[f"{name}/p"] = p.reshape(1, s, s, -1); out[f"{name}/v"] = v.reshape(1, s, s, -1)
        out[f"{name}/rule"] = f"{tr.marking.threshold} {tr.marking.rule}"
    tiny = mod(which, "recipe.schema").NetworkSection(depth=2, filters=[4, 6], kernels=[3, 3], norm="none")
    pipe = mod(which, "data.pipeline")
    store = pipe.SliceStore(images, organ, labels, etas) if is_old else pipe.SliceStore(images, organ, labels, (etas * labels)[:, None])
    plan = mod(which, "data.pairs").PairPlan(labels, {n: np.zeros(count) for n in ("position", "area")} | {"site": np.full(count, "a")}, batch_size=8, seed=0, matching={"on": "none"})
    build, trainer = mod(which, "networks.build").build_network, mod(which, "training.siamese").SiameseTrainer
    for kind in ("shared", "ema"):
        keras.utils.set_random_seed(5)
        net = build(tiny, side=16, channels=2)
        twin = build(tiny, side=16, channels=2, name="twin") if kind == "ema" else None
        t = trainer(net, twin=twin, kind=kind, loss=LOSS, steps=10, momentum=.9)
        t.compile(optimizer=keras.optimizers.Adam(1e-2, global_clipnorm=1.0), jit_compile=False)
        for n, batch in enumerate(pipe.pair_dataset(store, plan, mod(which, "data.views").ViewLaw(), start=0, steps=3, seed=0, twin=True)):
            terms = t.loss_terms(batch, training=False)
            for key, value in terms.items(): out[f"{kind}/{n}/{key}"] = np.asarray(value)
            t.train_step(batch)
        out[f"{kind}/weights"] = np.concatenate([w.ravel() for w in net.get_weights()])
    return out
ours, theirs = numbers(new), numbers(old)
worst = 0
for key in theirs:
    a, b = ours[key], theirs[key]
    if isinstance(a, str): same, d = a == b, a if a == b else f"{a}\n   {b}"
    else: d = float(np.abs(a.astype(float) - b.astype(float)).max()); same = d == 0
    if not same: print("DIFFERS", key, d, flush=True)
print("compared", len(theirs), "numbers;", sum(isinstance(v, str) and ours[k] == v or not isinstance(v, str) and np.array_equal(ours[k], v) for k, v in theirs.items()), "are identical", flush=True)
