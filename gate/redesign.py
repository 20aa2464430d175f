#!/usr/bin/env python3
"""REDESIGN B and C, mechanically, on any state of the tree. Run it in the root of a CLEAN work tree with Python 3.12 (its tokenizer sees into f-strings):

    cd TREE && /root/.pyenv/versions/3.12.1/bin/python /tmp/gate/redesign.py [--plan | --graph | --words-only]

--plan says what would move; --graph prints the imports between rooms (of the tree as it is) and every circle. Rows of the tables that are not in
the tree are skipped, so it can be run again after other branches were merged, and a second run changes nothing. What it leaves alone: data in
recipes, zoo entries, results (YAML, JSON, CSV), and every string that is not a dotted name of this package, a path of it, or a setattr target.
"""
import ast, io, re, subprocess, sys, tokenize
from collections import defaultdict
from pathlib import Path

P = "clamnet_tf"
# ---- B. Rooms: old module -> new module (both without "clamnet_tf."). Later rows may name what other branches made.
MOVES = """
data.account                      datasets.summary
data.announced_channels           datasets.announced_channels
data.classes                      datasets.classes
data.evaluated                    datasets.evaluation_subset
data.expected_images              datasets.expected_images
data.file_names                   datasets.file_names
data.hidden                       datasets.pseudonyms
data.identifiers                  datasets.deidentify
data.inputs                       datasets.unlabelled_inputs
data.layouts                      datasets.layouts.recognition
data.manifest                     datasets.manifest
data.markers                      datasets.classes
data.problems                     datasets.problems
data.result_names                 datasets.result_names
data.slice_numbers                datasets.slice_numbers
data.split                        datasets.split
data.stratify                     datasets.stratify
data.table_files                  datasets.table_files
data.table_limits                 datasets.table_limits
data.workbooks                    datasets.workbooks
data.folders.*                    datasets.layouts.*
data.cohorts                      simulation.cohorts
data.phantoms.brain_mri.*         simulation.brain_mri.*
data.phantoms.*                   simulation.*
data.archive                      preprocessing.archive
data.beam_runner                  preprocessing.beam_runner
data.contents                     preprocessing.content_hashes
data.dataset                      preprocessing.dataset
data.deviation_channel            preprocessing.atlas_channel
data.mask_orientation             preprocessing.mask_orientation
data.normal_atlas                 preprocessing.normal_atlas
data.npy_files                    preprocessing.npy_files
data.organ_region                 preprocessing.organ_region
data.prepare                      preprocessing.cache
data.prepared_volume              preprocessing.prepared_volume
data.records                      preprocessing.tfrecords
data.sealed                       preprocessing.mask_access
data.shard_folder                 preprocessing.shard_folder
data.shards                       preprocessing.shards
data.stacking                     datasets.stacking
data.survey                       preprocessing.pixel_survey
data.table                        preprocessing.slice_table
data.trainable                    preprocessing.trainable
data.volumes                      preprocessing.volumes
imaging.crop                      preprocessing.crop
imaging.resize                    preprocessing.resize
imaging.organ                     preprocessing.organs.foreground
imaging.body                      preprocessing.organs.body
imaging.bone                      preprocessing.organs.bone
imaging.brain                     preprocessing.organs.brain
imaging.brain_tissue              preprocessing.organs.brain_tissue
imaging.breast                    preprocessing.organs.breast
imaging.cranium                   preprocessing.organs.cranium
imaging.found_organ               preprocessing.organs.found_organ
imaging.lung_air                  preprocessing.organs.lung_air
imaging.lungs_ct                  preprocessing.organs.lungs_ct
imaging.region_shapes             preprocessing.organs.region_shapes
data.data_service                 input_pipeline.data_service
data.file_rows                    input_pipeline.file_rows
data.keras_cv_views               input_pipeline.keras_cv_augmentation
data.matching                     input_pipeline.matching
data.pairs                        input_pipeline.pair_sampling
data.pipeline                     input_pipeline.pipeline
data.views                        input_pipeline.augmentation
networks.inference                inference.predictor
networks.markers                  inference.build
networks.predictor                inference.build
networks.activation_maps          inference.activation_maps
networks.attribution              inference.attribution
networks.attribution_map          inference.attribution_map
evaluation.trained                inference.trained_model
evaluation.organ_network          inference.organ_network
marking.appearance                inference.postprocessing.intensity_refinement
marking.class_marking             inference.postprocessing.one_class
marking.components                inference.postprocessing.components
marking.prevalence                inference.postprocessing.prevalence
marking.refinement                inference.postprocessing.attribution_refinement
marking.several_markers           inference.postprocessing.multiclass
marking.slice_masks               inference.postprocessing.slice_masks
marking.through_plane             inference.postprocessing.axial_smoothing
marking.volume_marking            inference.postprocessing.volume
evaluation.baselines.kept         evaluation.baselines.serialization
evaluation.originals              evaluation.original_slices
evaluation.several_markers        evaluation.per_class
evaluation.charts                 reporting.charts
evaluation.pictures               reporting.overlays
evaluation.words                  reporting.wording
losses.several_markers            losses.multiclass_hybrid
machine.cluster                   runtime.cluster
machine.crew                      runtime.process_group
machine.data_servers              runtime.data_servers
machine.remote_folder             runtime.remote_folder
machine.decoders                  diagnostics.decoders
machine.devices                   diagnostics.devices
machine.finding                   diagnostics.finding
machine.hardware                  diagnostics.hardware
machine.packages                  diagnostics.packages
export.stranger                   export.verify_in_subprocess
prediction.journal                prediction.progress_log
prediction.stems                  prediction.output_paths
recipe.markers                    recipe.classes
study.words                       study.wording
zoo.markers                       zoo.classes
"""
# old module: names -> new module: a part of a module that goes elsewhere (done after MOVES; modules by their NEW names)
SYMBOLS = [
    ("evaluation.cases", ["Marking"], "inference.thresholding", "How probabilities become masks of slices: the threshold and what is done to the mask."),
]
# test files: old folder -> new folder, then file names
TEST_FOLDERS = {"tests/data": "tests/datasets", "tests/marking": "tests/inference", "tests/machine": "tests/runtime"}
TEST_FILES = {
    "test_sealed.py": "test_mask_access.py", "test_contents.py": "test_content_hashes.py", "test_inputs.py": "test_unlabelled_inputs.py",
    "test_identifiers.py": "test_deidentify.py", "test_views.py": "test_augmentation.py", "test_pairs.py": "test_pair_sampling.py",
    "test_records.py": "test_tfrecords.py", "test_refinement.py": "test_attribution_refinement.py", "test_words.py": "test_wording.py",
    "test_pictures.py": "test_overlays.py", "test_volume_marking.py": "test_volume_postprocessor.py", "test_class_marking.py": "test_one_class.py",
}
# Names of files in quotes (Path(__file__).with_name(...)) of modules that are called otherwise.
QUOTED_FILES = {"stranger.py": "verify_in_subprocess.py"}
# ---- C. Words. EVERYWHERE: whole words in code, strings and prose of .py, .md, .cfg, .toml and tools: only names that are nothing else.
EVERYWHERE = {
    "MarkerProbability": "Predictor", "build_marker": "build_predictor",
    "MarkersMarking": "MulticlassPostprocessor", "ClassMarking": "ClassPostprocessor", "VolumeMarking": "VolumePostprocessor", "VolumeSteps": "PostprocessingConfig",
    "look_at_markers": "score_checkpoint_classes", "look_at_classifier": "score_classifier", "look_at": "score_checkpoint",
    "ViewLaw": "AugmentationConfig", "AtlasView": "AtlasChannel",
    "fit_markers_markings": "fit_class_postprocessors", "fit_markings": "fit_postprocessors",
    "marker_pseudo_labels": "class_pseudo_labels", "crew_of": "process_group_of",
    "load_trained": "load_trained_model",
    "smooth_through_plane": "smooth_axially", "main_components": "keep_largest_components", "appearance_evidence": "intensity_evidence",
    "marker_account": "class_summary", "with_deviation": "with_atlas_channel", "volume_with_deviation": "volume_with_atlas_channel",
    "marker_cuts": "class_cuts", "markers_of": "classes_of", "markers_of_figures": "classes_of_metrics", "rule_of_figures": "rule_of_metrics",
    "volume_stems": "volume_output_names", "marker_rgb": "class_rgb", "MARKER_RGB": "CLASS_RGB",
}
# Whole NAME tokens anywhere in code, attributes and keywords too (not in strings and prose): parameters and variables.
TOKENS = {"crew": "process_group", "journal": "progress_log"}
# By module (its NEW name): a top-level name, in that module and wherever it is imported from there. Tokens, not attributes, not strings.
SCOPED = {
    "inference.thresholding": {"Marking": "ThresholdRule"},
    "training.selection": {"Look": "CheckpointScore"},
    "training.fit": {"Outcome": "TrainingResult"},
    "prediction.predict": {"Outcome": "PredictionSummary"},
    "prediction.progress_log": {"Journal": "ProgressLog"},
    "runtime.process_group": {"Crew": "ProcessGroup"},
    "inference.trained_model": {"Trained": "TrainedModel"},
    "recipe.classes": {"Marker": "LesionClass"},
    "preprocessing.pixel_survey": {"survey": "survey_pixels"},
    "datasets.summary": {"summary": "dataset_summary"},
    "datasets.pseudonyms": {"Hidden": "Pseudonyms"},
}
# Names of modules that are used as `module.name` after `from package import module` follow by themselves.
# In prose (comments, docstrings, .md), as regular expressions; kept short, since D rewrites prose by hand.
PROSE = [(r"MarkerProbability", "Predictor")]
# Dotted prefixes in prose and tables that are no modules but rooms ("clamnet_tf.marking").
ROOMS = {"marking": "inference.postprocessing", "data.folders": "datasets.layouts", "data.phantoms.brain_mri": "simulation.brain_mri", "data.phantoms": "simulation"}
SKIP_DIRS = {".git", ".venv", "zoo", "__pycache__", "build", "runs"}
TEXT = {".py", ".md", ".cfg", ".toml", ".yaml", ".yml", ".sbatch", ""}

def git(*arguments): return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout
def module_path(name): return Path(P, *name.split("."))

def table():
    """old -> new module of everything that is in the tree, wildcards resolved."""
    have = {".".join(p.relative_to(P).with_suffix("").parts) for p in Path(P).rglob("*.py")}
    found = {}
    for line in MOVES.split("\n"):
        if not line.strip(): continue
        old, new = line.split()
        if old.endswith(".*"):
            for name in sorted(have):
                if name.startswith(old[:-1]) and "." not in name[len(old) - 1:] and not name.endswith("__init__") and name not in found: found[name] = new[:-1] + name[len(old) - 1:]
        elif old in have and old not in found: found[old] = new
    targets = defaultdict(list)
    for old, new in found.items(): targets[new].append(old)
    for new, olds in targets.items():
        if len(olds) > 1 or (new in have and new not in found): raise SystemExit(f"{', '.join(olds)} -> {new}: taken twice; change MOVES")
    return found

def files():
    for name in git("ls-files").splitlines():
        path = Path(name)
        if path.parts[0] in SKIP_DIRS or path.suffix not in TEXT or not path.is_file() or name.startswith("recipes/results") or path.is_symlink(): continue
        try: text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError: continue
        yield path, text
def is_python(path, text): return path.suffix == ".py" or (path.suffix == "" and text.startswith("#!") and "python" in text.splitlines()[0])

# ---- moving files
def move_files(moves):
    for old, new in moves.items():
        target = module_path(new).with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        git("mv", str(module_path(old).with_suffix(".py")), str(target))
    folders = {parent for new in moves.values() for parent in module_path(new).parents if parent != Path(".")}
    for folder in sorted(folders):
        init = folder / "__init__.py"
        if not init.exists(): init.write_text(""); git("add", str(init))
    for init in sorted(Path(P).rglob("__init__.py"), key=lambda p: -len(p.parts)):  # rooms that are empty now
        others = [p for p in init.parent.rglob("*") if p.is_file() and p != init and "__pycache__" not in p.parts]
        if init.parent != Path(P) and not others: git("rm", "-q", str(init))
    for old, new in TEST_FOLDERS.items():
        for name in git("ls-files", old).splitlines():
            target = Path(new, Path(name).relative_to(old)); target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists(): raise SystemExit(f"{name} -> {target}: taken")
            git("mv", name, str(target))
    for name in git("ls-files", "tests").splitlines():
        path = Path(name)
        if path.name in TEST_FILES and not (path.with_name(TEST_FILES[path.name])).exists(): git("mv", name, str(path.with_name(TEST_FILES[path.name])))

# ---- rewriting names
def dotted_rules(moves):
    """Longest first: (regex, replacement) for clamnet_tf.old -> clamnet_tf.new, paths, and short forms in prose."""
    rules = []
    for old, new in sorted({**ROOMS, **moves}.items(), key=lambda pair: -len(pair[0])):
        rules.append((re.compile(rf"(?<![\w.]){P}\.{re.escape(old)}(?![\w])"), f"{P}.{new}"))
        slash_old, slash_new = old.replace(".", "/"), new.replace(".", "/")
        if old in ROOMS:
            rules.append((re.compile(rf"(?<![\w]){P}/{slash_old}(?![\w.])"), f"{P}/{slash_new}"))
        else:
            rules.append((re.compile(rf"(?<![\w]){P}/{slash_old}\.py\b"), f"{P}/{slash_new}.py"))
            rules.append((re.compile(rf"(?<![\w/.]){slash_old}\.py\b"), f"{slash_new}.py"))
    for old, names, new, _ in SYMBOLS:
        for name in names: rules.append((re.compile(rf"(?<![\w.]){P}\.{re.escape(old)}\.{name}\b"), f"{P}.{new}.{name}"))
    for module, row in SCOPED.items():
        for old, new in row.items(): rules.append((re.compile(rf"(?<![\w.]){P}\.{re.escape(module)}\.{old}\b"), f"{P}.{module}.{new}"))
    for old, new in TEST_FOLDERS.items(): rules.append((re.compile(rf"(?<![\w/]){old}(?![\w])"), new))
    return rules
RECIPE_KEYS = {"data.split", "data.normal_atlas", "data.cohort", "data.matching"}  # `data.x` that recipes say, too
def prose_rules(moves):
    return [(re.compile(rf"(?<![\w./]){re.escape(old)}(?=\.[A-Za-z_]|`|\b)(?!\.[a-z]+:)(?!=)"), new) for old, new in sorted(moves.items(), key=lambda p: -len(p[0])) if "." in old and old not in RECIPE_KEYS]

def package_imports(text, moves):
    """`from clamnet_tf.room import module [as x]` -> one line per new room; the module's name where it is used, when its file is called otherwise."""
    tree = ast.parse(text); lines = text.splitlines(keepends=True); renames = {}
    for node in sorted((n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module and (n.module == P or n.module.startswith(P + "."))), key=lambda n: -n.lineno):
        room = n_room = node.module[len(P) + 1:]
        hits = {a.name: moves[f"{room}.{a.name}" if room else a.name] for a in node.names if (f"{room}.{a.name}" if room else a.name) in moves}
        if not hits: continue
        indent = " " * node.col_offset; grouped = defaultdict(list)
        for a in node.names:
            if a.name in hits:
                new_room, new_name = hits[a.name].rsplit(".", 1)
                alias = f" as {a.asname}" if a.asname else ""
                if not a.asname and new_name != a.name: renames[a.name] = new_name
                grouped[f"{P}.{new_room}"].append(new_name + alias)
            else: grouped[node.module].append(a.name + (f" as {a.asname}" if a.asname else ""))
        tail = lines[node.end_lineno - 1][node.end_col_offset:] if node.end_lineno == node.lineno else "\n"
        comment = tail.strip(); made = [f"{indent}from {module} import {', '.join(names)}" for module, names in sorted(grouped.items())]
        made[0] += f"  {comment}" if comment.startswith("#") else ""
        lines[node.lineno - 1: node.end_lineno] = ["\n".join(made) + "\n"]
    text = "".join(lines)
    return rename_tokens(text, renames) if renames else text

def quoted_imports(text, moves):
    """`from clamnet_tf.room import module, ...` inside strings: programs that tests and tools run in a process of their own."""
    def new(match):
        indent, room, names = match[1], match[2], [n.strip() for n in match[3].split(",")]
        grouped = defaultdict(list)
        for name in names:
            to = moves.get(f"{room}.{name.split(' ')[0]}")
            if to is None: grouped[room].append(name); continue
            to_room, to_name = to.rsplit(".", 1)
            grouped[to_room].append(to_name if to_name == name else f"{to_name} as {name.split(' ')[-1]}")
        if list(grouped) == [room]: return match[0]
        return "\n".join(f"{indent}from {P}.{r} import {', '.join(n)}" for r, n in grouped.items())
    return re.sub(rf"(?m)^([ \t]*)from {P}\.([a-z_.]+) import ([a-z_]+(?: as [a-z_]+)?(?:, [a-z_]+(?: as [a-z_]+)?)*)$", new, text)

# ---- tests/architecture/test_imports.py
LEVELS = {
    "": 0, "errors": 0, "files": 0, "decoding": 0, "plain_json": 0, "spreadsheet": 0, "quiet": 0, "progress": 0, "texts": 0, "deferred": 0,
    "recipe": 1,
    "runs": 2, "runtime": 2, "diagnostics": 2, "imaging": 2, "metrics": 2, "losses": 2, "networks": 2, "serving": 2, "reporting": 2,
    "inference.postprocessing": 2,
    "datasets": 3,
    "simulation": 4,
    "preprocessing": 5,
    "input_pipeline": 6, "inference": 6,
    "training": 7, "evaluation": 7, "export": 7,
    "prediction": 8, "study": 8, "zoo": 8,
    "workflows": 9,
    "cli": 9,
    "__main__": 10,
}
INDEPENDENT = ("runtime", "diagnostics", "imaging", "metrics", "losses", "networks", "serving", "reporting")

def old_lightness():
    """module -> light? of the tables that stand in test_imports.py now; None when they are the new ones already."""
    space = {}
    tree = ast.parse(Path("tests/architecture/test_imports.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id in ("LIGHT", "HEAVY"): space[node.targets[0].id] = ast.literal_eval(node.value)
    below = lambda name, prefixes: any(name == q or name.startswith(q + ".") for q in prefixes)
    mods = [".".join(p.with_suffix("").parts).removesuffix(".__init__") for p in Path(P).rglob("*.py")]
    return {name[len(P) + 1:]: below(name, space["LIGHT"]) and not below(name, space["HEAVY"]) for name in mods if name != P}

def architecture(light):
    """New LEVELS, LIGHT and HEAVY; light: NEW module name -> bool."""
    path = Path("tests/architecture/test_imports.py"); text = path.read_text()
    here = {".".join(p.with_suffix("").parts).removesuffix(".__init__")[len(P) + 1:] for p in Path(P).rglob("*.py")}
    rooms = sorted({name.split(".")[0] for name in here if name})
    lights, heavies = [], []
    for room in rooms:
        inside = {n: v for n, v in light.items() if n == room or n.startswith(room + ".")}
        real = {n: v for n, v in inside.items() if not (Path(P, *n.split(".")) / "__init__.py").exists()} or inside
        if not any(real.values()): continue
        if sum(real.values()) * 3 >= 2 * len(real):
            lights.append(room); heavies += sorted(n for n, v in real.items() if not v)
        else:
            part = sorted(n for n, v in real.items() if v)
            done = "inference.postprocessing" if all(light.get(n, True) for n in light if n.startswith("inference.postprocessing.")) else None
            lights += sorted({done if done and n.startswith(done + ".") else n for n in part})
    word = lambda n: f'"{P}.{n}"' if n else f'"{P}"'
    level = {n: v for n, v in LEVELS.items() if not n or n in here}
    made = {
        "LEVELS": "LEVELS = {\n" + "".join(f"    {word(n)}: {v},\n" for n, v in level.items()) + "}",
        "NEIGHBOURS": "# Rooms that know the recipe and level 0 alone.\nINDEPENDENT = {" + ", ".join(f'"{n}"' for n in INDEPENDENT) + "}",
        "LIGHT": "LIGHT = (\n" + "".join(f"    {word(n)},\n" for n in lights) + ")",
        "HEAVY": "HEAVY = (\n" + "".join(f"    {word(n)},\n" for n in heavies) + f'    "{P}.metrics.streaming",\n)',
    }
    lines = text.splitlines(keepends=True)
    for node in reversed(ast.parse(text).body):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in made: lines[node.lineno - 1: node.end_lineno] = [made[node.targets[0].id] + "\n"]
    text = "".join(lines)
    text = text.replace('        neighbours = here == there and (folder(module.name), folder(each.target)) in NEIGHBOURS\n        foreign = here == 3 and there == 2\n        if not neighbours and (there >= here or foreign):\n', '        foreign = folder(module.name) in INDEPENDENT and there > 1\n        if there >= here or foreign:\n')
    text = text.replace("one level in different folders do not import one another, but for NEIGHBOURS. Level 3 sees of level 2 its own folder only.", "one level in different folders do not import one another.")
    if "NEIGHBOURS" in text: print("by hand: NEIGHBOURS in tests/architecture/test_imports.py")
    path.write_text(text)

def spans(text):
    """(kind, start offset, end offset, string, previous significant string, next significant string) of every token."""
    starts = [0]
    for line in text.splitlines(keepends=True): starts.append(starts[-1] + len(line))
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline)]
    code = [t for t in tokens if t.type not in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT)]
    for i, t in enumerate(code):
        yield t.type, starts[t.start[0] - 1] + t.start[1], starts[t.end[0] - 1] + t.end[1], t.string, code[i - 1].string if i else "", code[i + 1].string if i + 1 < len(code) else "", code[max(0, i - 6): i]

def rename_tokens(text, renames):
    """Whole NAME tokens that are not attributes; `name=` of a call is left alone, unless it is an assignment at the start of a line."""
    edits = []
    for kind, a, b, string, before, after, _ in spans(text):
        if kind == tokenize.NAME and string in renames and before != ".":
            if after == "=" and before in ("(", ","): continue
            edits.append((a, b, renames[string]))
    for a, b, new in reversed(edits): text = text[:a] + new + text[b:]
    return text

def rename_every_token(text, renames):
    edits = [(a, b, renames[string]) for kind, a, b, string, *_ in spans(text) if kind == tokenize.NAME and string in renames]
    for a, b, new in reversed(edits): text = text[:a] + new + text[b:]
    return text

def scoped(path, text):
    """SCOPED of the modules that this file is, or imports from."""
    here = ".".join(path.with_suffix("").parts)[len(P) + 1:] if path.parts[0] == P else None
    renames = dict(SCOPED.get(here, {}))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(P + "."):
            rows = SCOPED.get(node.module[len(P) + 1:], {})
            renames |= {a.name: rows[a.name] for a in node.names if a.name in rows and not a.asname}
            if any(a.name in rows and a.asname for a in node.names): print("by hand (imported as):", path, node.lineno)
    if not renames: return text
    names = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)} | {n.name for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.ClassDef, ast.FunctionDef))}
    bound = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} | {a.arg for a in ast.walk(ast.parse(text)) if isinstance(a, ast.arg)}
    there = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)} | {n.name for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.ClassDef, ast.FunctionDef))} | {a.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom) for a in n.names}
    renames = {old: new for old, new in renames.items() if old in there}
    if not renames: return text
    for old in [old for old in renames if old in bound]: print("by hand (also a variable there):", path, old)
    for new in renames.values():
        if new in names: print("name is taken already:", path, new)
    text = rename_tokens(text, renames)
    for old, new in renames.items():  # annotations in quotes, docstrings and comments: CapWords only
        text = re.sub(rf'(["\'])({old})\1', rf"\g<1>{new}\g<1>", text) if old[0].isupper() else text
    return text

def move_symbols():
    for old, names, new, doc in SYMBOLS:
        source, target = module_path(old).with_suffix(".py"), module_path(new).with_suffix(".py")
        if not source.exists(): continue
        text = source.read_text(); tree = ast.parse(text); lines = text.splitlines(keepends=True)
        def named(node): return node.name if isinstance(node, (ast.ClassDef, ast.FunctionDef)) else node.targets[0].id if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) else None
        wanted = [node for node in tree.body if named(node) in names]
        if not wanted: continue
        if target.exists(): raise SystemExit(f"{target} is there already: SYMBOLS")
        pieces, cut = [], []
        for node in wanted:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            while lines[first - 2].lstrip().startswith("#"): first -= 1
            pieces.append("".join(lines[first - 1: node.end_lineno])); cut.append((first - 1, node.end_lineno))
        imports = "".join("".join(lines[n.lineno - 1: n.end_lineno]) for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f'"""{doc}"""\n\n{imports}\n\n' + "\n\n".join(pieces)); git("add", str(target))
        for a, b in reversed(cut): del lines[a:b]
        rest = "".join(lines); moved = [named(n) for n in wanted]
        used = [n for n in moved if re.search(rf"\b{n}\b", rest)]
        if used:
            last = max(n.end_lineno for n in ast.parse(rest).body if isinstance(n, (ast.Import, ast.ImportFrom)))
            parts = rest.splitlines(keepends=True); parts.insert(last, f"from {P}.{new} import {', '.join(used)}\n"); rest = "".join(parts)
        source.write_text(re.sub(r"\n{4,}", "\n\n\n", rest))
        for path, text in list(files()):  # importers
            if path in (source, target) or not is_python(path, text): continue
            lines2, changed = text.splitlines(keepends=True), False
            for node in sorted((n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom) and n.module == f"{P}.{old}"), key=lambda n: -n.lineno):
                mine, others = [a for a in node.names if a.name in moved], [a for a in node.names if a.name not in moved]
                if not mine: continue
                indent = " " * node.col_offset; word = lambda a: a.name + (f" as {a.asname}" if a.asname else "")
                made = ([f"{indent}from {P}.{old} import {', '.join(map(word, others))}\n"] if others else []) + [f"{indent}from {P}.{new} import {', '.join(map(word, mine))}\n"]
                lines2[node.lineno - 1: node.end_lineno] = made; changed = True
            if changed: path.write_text("".join(lines2))
        subprocess.run([RUFF, "check", "-q", "--fix", "--select", "F401", str(source), str(target)])

def rewrite(moves, words=True):
    rules, prose = dotted_rules(moves), prose_rules(moves)
    everywhere = [(re.compile(rf"\b{re.escape(old)}\b"), new) for old, new in sorted(EVERYWHERE.items(), key=lambda p: -len(p[0]))]
    for path, text in list(files()):
        before = text
        python = is_python(path, text)
        if path.parts[0] == "recipes" and path.suffix == ".yaml":
            comment = [line for line in text.splitlines(keepends=True)]
            text = "".join(apply(rules, line) if line.lstrip().startswith("#") else line for line in comment)
        else:
            if python and moves: text = package_imports(text, moves)
            if python: text = quoted_imports(text, moves)
            if python:
                for old, new in QUOTED_FILES.items(): text = text.replace(f'"{old}"', f'"{new}"')
            text = apply(rules, text)
            if python: text = in_prose(text, prose)
            elif path.suffix == ".md": text = apply(prose, text)
            if words and (python or path.suffix in (".md", ".cfg", ".toml")): text = apply(everywhere, text)
        if text != before: path.write_text(text, encoding="utf-8")
def apply(rules, text):
    for pattern, new in rules: text = pattern.sub(new, text)
    return text
def in_prose(text, rules):
    """Rules on comments and docstrings alone (strings that are statements)."""
    docs = {(n.body[0].value.lineno, n.body[0].value.col_offset) for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef)) and n.body and isinstance(n.body[0], ast.Expr) and isinstance(n.body[0].value, ast.Constant) and isinstance(n.body[0].value.value, str)}
    starts = [0]
    for line in text.splitlines(keepends=True): starts.append(starts[-1] + len(line))
    edits = [(starts[t.start[0] - 1] + t.start[1], starts[t.end[0] - 1] + t.end[1], t.string) for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT or (t.type == tokenize.STRING and t.start in docs)]
    for a, b, string in reversed(edits): text = text[:a] + apply(rules, string) + text[b:]
    return text

def packages():
    """The list in setup.cfg, and templates' package data stay with their rooms."""
    path = Path("setup.cfg"); text = path.read_text()
    listed = sorted({str(p.parent).replace("/", ".") for p in Path(P).rglob("*.py")})
    start = text.index("packages =\n") + len("packages =\n"); end = text.index("#", start)
    path.write_text(text[:start] + "".join(f"    {name}\n" for name in [*listed, f"{P}._recipes", f"{P}._zoo"]) + text[end:])

def graph():
    """Imports between rooms, and circles of rooms and of modules, by Tarjan."""
    mods = {".".join(p.with_suffix("").parts).removesuffix(".__init__"): p for p in Path(P).rglob("*.py")}
    edges, rooms, why = defaultdict(set), defaultdict(set), {}
    room = lambda m: ".".join(m.split(".")[1:2]) if m.count(".") > 0 else P
    for name, path in mods.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(P):
                for a in node.names:
                    target = f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in mods else node.module
                    edges[name].add(target)
                    if room(name) != room(target): rooms[room(name)].add(room(target)); why.setdefault((room(name), room(target)), []).append(f"{name[len(P)+1:]} -> {target[len(P)+1:]}")
    def circles(edges):
        index, low, stack, out, n = {}, {}, [], [], [0]
        sys.setrecursionlimit(10000)
        def visit(v):
            index[v] = low[v] = n[0]; n[0] += 1; stack.append(v)
            for w in edges.get(v, ()):
                if w not in index: visit(w); low[v] = min(low[v], low[w])
                elif w in stack: low[v] = min(low[v], index[w])
            if low[v] == index[v]:
                part = []
                while True:
                    w = stack.pop(); part.append(w)
                    if w == v: break
                if len(part) > 1: out.append(sorted(part))
        for v in list(edges):
            if v not in index: visit(v)
        return out
    depth = {}
    for name in sorted(rooms):
        rooms[name] -= {"errors", "files", "decoding", "plain_json", "spreadsheet", "quiet", "progress", "texts", P}
        if not Path(P, name).is_dir(): continue
        print(f"{name:16} -> {', '.join(sorted(rooms[name]))}")
    for part in circles(rooms):
        print("CIRCLE of rooms:", ", ".join(part))
        for a in part:
            for b in part:
                if (a, b) in why: print(f"    {a} -> {b}: {'; '.join(sorted(set(why[a, b]))[:6])}{' ...' if len(set(why[a, b])) > 6 else ''} ({len(set(why[a, b]))})")
    for part in circles(edges): print("CIRCLE of modules:", ", ".join(part))

RUFF = "/tmp/gate/lint/bin/ruff"
if __name__ == "__main__":
    if sys.version_info < (3, 12): raise SystemExit("needs Python 3.12: /root/.pyenv/versions/3.12.1/bin/python")
    if "--graph" in sys.argv: graph(); raise SystemExit
    moves = table()
    if "--plan" in sys.argv:
        for old, new in sorted(moves.items()): print(f"{old:32} {new}")
        left = [".".join(p.relative_to(P).with_suffix("").parts) for p in sorted(Path(P).rglob("*.py"))]
        print("STAY:", " ".join(name for name in left if name not in moves and not name.endswith("__init__"))); raise SystemExit
    if git("status", "--porcelain", "--untracked-files=no").strip() and "--dirty" not in sys.argv: raise SystemExit("commit or stash first")
    light = {moves.get(name, name): value for name, value in old_lightness().items()} if moves else None
    move_files(moves); rewrite(moves); move_symbols()
    for path, text in list(files()):
        if is_python(path, text):
            new = scoped(path, text)
            if new != text: path.write_text(new)
    for path, text in list(files()):
        if is_python(path, text) and re.search(r"\b(" + "|".join(TOKENS) + r")\b", text):
            new = rename_every_token(text, TOKENS)
            if new != text: path.write_text(new)
    packages()
    if light: architecture(light | {name: light.get(old, False) for old, _, name, _ in SYMBOLS if module_path(name).with_suffix(".py").exists()})
    subprocess.run([RUFF, "check", "-q", "--fix", "--select", "I001,F401", P, "tests", "tools"])
    print(len(moves), "modules moved")
