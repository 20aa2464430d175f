"""OUT.json: recipe hashes of all shipped recipes, zoo entries and study arms of the tree GATE_CODE; plus what old keys and old resolved files give."""
import importlib, json, os, sys, warnings
from pathlib import Path
root, gate = Path(os.environ["GATE_CODE"]), Path(__file__).resolve().parent
import clamnet_tf; assert Path(clamnet_tf.__file__).is_relative_to(root), clamnet_tf.__file__
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import recipe_hash, to_yaml
def flat(value, path=()):
    if isinstance(value, dict) and value:
        for key, one in value.items(): yield from flat(one, (*path, key))
    else: yield ".".join(path), value
old = gate / "resolved"; making = not (old / "keys.json").exists()
out = {"recipes": {}, "zoo": {}, "studies": {}, "resolved_files": {}, "set_keys": {}}
for path in sorted((root / "recipes").glob("*.yaml")):
    if not path.name.startswith("study_"): out["recipes"][path.stem] = recipe_hash(load_recipe(str(path)))
for path in sorted((root / "zoo").glob("*/recipe.yaml")): out["zoo"][path.parent.name] = recipe_hash(load_recipe(str(path)))
from clamnet_tf.study.plan import Source, plan
from clamnet_tf.study.read import load_study
for path in sorted((root / "recipes").glob("study_*.yaml")):
    made = plan(load_study(path), path.parent, Source(None, None, None, None, "fixed"))
    out["studies"][path.stem] = {f"{t.arm.name} seed {t.seed}": [t.run.key if t.run else None, list(t.overrides), t.problem] for t in made.trials}
if making:
    old.mkdir(exist_ok=True); keys = {}
    for name in out["recipes"]:
        (old / f"{name}.yaml").write_text(to_yaml(load_recipe(str(root / "recipes" / f"{name}.yaml"))))
        (old / f"{name}.shipped").write_text((root / "recipes" / f"{name}.yaml").read_text())
        keys[name] = []
        for key, value in flat(load_recipe(str(old / f"{name}.yaml")).model_dump(mode="json")):
            override = f"{key}={json.dumps(value)}"
            try: load_recipe(str(old / f"{name}.yaml"), [override])
            except Exception as error: print("not settable:", name, override[:80], str(error)[:120].replace("\n", " "))
            else: keys[name].append(override)
    (old / "keys.json").write_text(json.dumps(keys, indent=0))
keys = json.loads((old / "keys.json").read_text())
for name, overrides in keys.items():
    out["resolved_files"][name] = recipe_hash(load_recipe(str(old / f"{name}.yaml")))
    shipped = old / f"{name}_shipped.yaml"; shipped.write_text((old / f"{name}.shipped").read_text())
    out["resolved_files"][f"{name} as shipped"] = recipe_hash(load_recipe(str(shipped)))
    for override in overrides if making or name in ("mri_carcinoma", "ct_haemorrhage", "ct_nodule") else []:
        try: found = recipe_hash(load_recipe(str(old / f"{name}.yaml"), [override]))
        except Exception as error: found = f"{type(error).__name__}: {error}"[:300]
        if name in ("mri_carcinoma", "ct_haemorrhage", "ct_nodule"): out["set_keys"][f"{name} {override}"] = found
Path(sys.argv[1]).write_text(json.dumps(out, indent=1, sort_keys=True))
