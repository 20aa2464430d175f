"""OUT.npz: of every zoo entry, probability maps of two fixed inputs: heads, combined, after the steps of a volume. Names of later code are tried in turn."""
import importlib, os, sys
from pathlib import Path
import numpy as np
root = Path(os.environ["GATE_CODE"])
import clamnet_tf; assert Path(clamnet_tf.__file__).is_relative_to(root), clamnet_tf.__file__
from scipy.ndimage import gaussian_filter
LOAD = [("clamnet_tf.evaluation.trained", "load_trained"), ("clamnet_tf.inference.predictor", "load_trained"), ("clamnet_tf.inference.trained_model", "load_trained_model"), ("clamnet_tf.inference.trained", "load_trained"), ("clamnet_tf.inference.trained", "load_trained_model"), ("clamnet_tf.inference.predictor", "load_predictor")]
OPEN = [("clamnet_tf.zoo.resolve", "open_model")]
def named(table):
    for module, name in table:
        try: return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError): continue
    raise SystemExit(f"none of {table}: add the new name to /tmp/gate/maps.py")
def attribute(one, *names): return next(getattr(one, name) for name in names if hasattr(one, name))
def golden(side, channels):
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    radius = np.hypot(rows, columns); bump = 2 * np.exp(-80 * ((rows - 0.1) ** 2 + (columns + 0.15) ** 2))
    return (np.stack([np.cos(20 * radius + c) + bump for c in range(channels)], -1) * (radius < 0.45)[..., None])[None].astype(np.float32)
def noise(side, channels):
    rng = np.random.default_rng(17)
    value = np.stack([gaussian_filter(rng.normal(size=(side, side)), side / 24) for _ in range(channels)], -1)
    return (2 * value / value.std())[None].astype(np.float32)
def thin(a): return a[..., 0] if a.shape[-1] == 1 else a  # (.., 1) of one class is (..)
out = {}
from clamnet_tf.recipe.catalogue import load_recipe
for folder in sorted(p.parent for p in (root / "zoo").glob("*/entry.yaml")):
    from clamnet_tf.progress import Reporter
    run = named(OPEN)(str(folder), Reporter(quiet=True)); recipe = load_recipe(str(run.recipe))
    trained = named(LOAD)(run, recipe)
    predictor, volume = attribute(trained, "probability", "predictor"), attribute(trained, "volume", "postprocessor")
    _, side, _, channels = predictor.network.inputs[0].shape
    images = np.concatenate([golden(side, channels), noise(side, channels)])
    organ = np.repeat((np.hypot(*(np.mgrid[:side, :side] / side - 0.5)) < 0.45)[None], 2, 0).astype(np.uint8)
    heads = predictor.heads(images); maps = predictor.combine(heads)
    done = np.stack(list(volume(maps, images, organ)))
    for name, value in (("heads", heads), ("maps", maps), ("volume", done)): out[f"{folder.name}/{name}"] = thin(np.asarray(value, np.float32))
    print(folder.name, {k: v.shape for k, v in out.items() if k.startswith(folder.name + "/")}, flush=True)
np.savez_compressed(sys.argv[1], **out)
