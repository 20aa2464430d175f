"""Who may import whom: levels, light modules, the mask firewall, who sees the whole recipe."""

import subprocess
import sys

# The longest prefix counts. A module imports lower levels and its own folder (level 0 counts as one folder);
# modules of
# one level in different folders do not import one another.
LEVELS = {
    "clamnet_tf": 0,
    "clamnet_tf.errors": 0,
    "clamnet_tf.files": 0,
    "clamnet_tf.decoding": 0,
    "clamnet_tf.plain_json": 0,
    "clamnet_tf.spreadsheet": 0,
    "clamnet_tf.quiet": 0,
    "clamnet_tf.progress": 0,
    "clamnet_tf.texts": 0,
    "clamnet_tf.threads": 0,
    "clamnet_tf.deferred": 0,
    "clamnet_tf.environment": 0,
    "clamnet_tf.recipe": 1,
    "clamnet_tf.runs": 2,
    "clamnet_tf.runtime": 2,
    "clamnet_tf.diagnostics": 2,
    "clamnet_tf.imaging": 2,
    "clamnet_tf.metrics": 2,
    "clamnet_tf.losses": 2,
    "clamnet_tf.networks": 2,
    "clamnet_tf.serving": 2,
    "clamnet_tf.reporting": 2,
    "clamnet_tf.inference.postprocessing": 2,
    "clamnet_tf.datasets": 3,
    "clamnet_tf.pacs": 3,
    "clamnet_tf.simulation": 4,
    "clamnet_tf.preprocessing": 5,
    "clamnet_tf.input_pipeline": 6,
    "clamnet_tf.inference": 6,
    "clamnet_tf.training": 7,
    "clamnet_tf.evaluation": 7,
    "clamnet_tf.export": 7,
    "clamnet_tf.prediction": 8,
    "clamnet_tf.recipe_suggestion": 8,
    "clamnet_tf.study": 8,
    "clamnet_tf.zoo": 8,
    "clamnet_tf.workflows": 9,
    "clamnet_tf.cli": 9,
    "clamnet_tf.__main__": 10,
}
# Rooms that know the recipe and level 0 alone.
INDEPENDENT = {"runtime", "diagnostics", "imaging", "metrics", "losses", "networks", "serving", "reporting"}
COMMAND_TOPS = (
    "clamnet_tf",
    "clamnet_tf.errors",
    "clamnet_tf.quiet",
    "clamnet_tf.texts",
    "clamnet_tf.threads",
    "clamnet_tf.recipe",
    "clamnet_tf.cli",
)

FRAMEWORKS = {"tensorflow", "keras", "keras_cv", "tensorboard", "onnxruntime"}
LIGHT = (
    "clamnet_tf.cli",
    "clamnet_tf.datasets",
    "clamnet_tf.decoding",
    "clamnet_tf.deferred",
    "clamnet_tf.diagnostics",
    "clamnet_tf.environment",
    "clamnet_tf.errors",
    "clamnet_tf.files",
    "clamnet_tf.imaging",
    "clamnet_tf.inference",
    "clamnet_tf.input_pipeline.matching",
    "clamnet_tf.input_pipeline.pair_sampling",
    "clamnet_tf.metrics",
    "clamnet_tf.networks.declared",
    "clamnet_tf.networks.grid",
    "clamnet_tf.networks.member_names",
    "clamnet_tf.networks.onnx_file",
    "clamnet_tf.pacs",
    "clamnet_tf.plain_json",
    "clamnet_tf.prediction",
    "clamnet_tf.preprocessing",
    "clamnet_tf.progress",
    "clamnet_tf.quiet",
    "clamnet_tf.recipe",
    "clamnet_tf.recipe_suggestion",
    "clamnet_tf.runs",
    "clamnet_tf.runtime",
    "clamnet_tf.serving",
    "clamnet_tf.simulation",
    "clamnet_tf.spreadsheet",
    "clamnet_tf.study",
    "clamnet_tf.texts",
    "clamnet_tf.threads",
    "clamnet_tf.workflows",
    "clamnet_tf.zoo",
)
HEAVY = (
    "clamnet_tf.inference.activation_maps",
    "clamnet_tf.inference.attribution",
    "clamnet_tf.inference.attribution_map",
    "clamnet_tf.inference.attribution_result",
    "clamnet_tf.inference.build",
    "clamnet_tf.inference.predictor",
    "clamnet_tf.workflows.listening",
    "clamnet_tf.workflows.study_marking",
    "clamnet_tf.preprocessing.beam_runner",
    "clamnet_tf.preprocessing.tfrecords",
    "clamnet_tf.zoo.hub_publish",
    "clamnet_tf.zoo.hub_upload",
    "clamnet_tf.zoo.models",
    "clamnet_tf.zoo.onnx_copy",
    "clamnet_tf.zoo.publish",
    "clamnet_tf.zoo.run_entry",
    "clamnet_tf.zoo.verify",
    "clamnet_tf.metrics.streaming",
)

LOAD_EACH = """
import importlib, sys
for name in {names}:
    importlib.import_module(name)
    loaded = [framework for framework in {frameworks} if framework in sys.modules]
    assert not loaded, f"{{name}} loads {{loaded}}"
"""

SEALED = "clamnet_tf.preprocessing.mask_access"
CLOSES_MASKS = "mask_firewall"  # anyone may close the door
MAY_OPEN_MASKS = (
    "clamnet_tf.evaluation",
    "clamnet_tf.training.teaching_masks",
    "clamnet_tf.workflows.inspection",
    SEALED,
)
BEHIND_THE_FIREWALL = (
    "clamnet_tf.training.siamese",
    "clamnet_tf.training.objectives",
    "clamnet_tf.training.selection",
    "clamnet_tf.training.pseudo_labels",
    "clamnet_tf.training.thresholds",
    "clamnet_tf.inference.postprocessing",
    "clamnet_tf.training.slices",
    "clamnet_tf.input_pipeline.pair_sampling",
    "clamnet_tf.datasets.classes",
    "clamnet_tf.input_pipeline.matching",
    "clamnet_tf.input_pipeline.pipeline",
    "clamnet_tf.input_pipeline.data_service",
    "clamnet_tf.input_pipeline.file_rows",
    "clamnet_tf.losses",
    "clamnet_tf.evaluation.learning_check",
    "clamnet_tf.evaluation.half_agreement",
    "clamnet_tf.evaluation.validation_scores",
)
SEES_WHOLE_RECIPE = (
    "clamnet_tf.recipe",
    "clamnet_tf.cli",
    "clamnet_tf.runs",
    "clamnet_tf.training.fit",
    "clamnet_tf.training.assembly",
    "clamnet_tf.training.trial_runs",
    "clamnet_tf.training.eta_search",
    "clamnet_tf.training.teacher_search",
    "clamnet_tf.training.half_trainings",
    "clamnet_tf.zoo",
    "clamnet_tf.workflows",
)


def below(name, prefixes):
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def level(name):
    return LEVELS[max((prefix for prefix in LEVELS if below(name, [prefix])), key=len)]


def folder(name):
    return name.split(".")[1] if level(name) else ""


def inner(modules):
    """(importing module, import) for every import of the package's own modules."""
    return [
        (module, each)
        for module in modules.values()
        for each in module.imports
        if below(each.target, ["clamnet_tf"])
    ]


def is_light(name):
    return below(name, LIGHT) and not below(name, HEAVY)


def test_every_table_row_names_something(modules):
    for prefix in {*LEVELS, *LIGHT, *MAY_OPEN_MASKS, *BEHIND_THE_FIREWALL} - {"clamnet_tf.metrics.streaming"}:
        assert any(name.startswith(prefix) for name in modules), prefix


def test_every_folder_has_a_level(modules):
    forgotten = {name for name in modules if "." in name and ".".join(name.split(".")[:2]) not in LEVELS}
    assert not forgotten, f"write them into LEVELS: {sorted(forgotten)}"


def test_imports_go_downwards(modules):
    wrong = []
    for module, each in inner(modules):
        here, there = level(module.name), level(each.target)
        if folder(module.name) == folder(each.target) and here >= there:
            continue
        if folder(module.name) == "cli":  # at the top of the file little, in callbacks anything
            if each.top and not below(each.target, COMMAND_TOPS[1:]) and each.target != "clamnet_tf":
                wrong.append(f"{module.name}:{each.line} imports {each.target} at its top")
            continue
        foreign = folder(module.name) in INDEPENDENT and there > 1
        if there >= here or foreign:
            wrong.append(f"{module.name}:{each.line} (level {here}) imports {each.target} (level {there})")
    assert not wrong, "\n".join(wrong)


def circles(graph):
    """Groups of names that reach one another (strongly connected, of two or more), each sorted; graph: name
    -> names.
    """
    reached = {}
    for start in graph:
        found, open_ends = set(), list(graph[start])
        while open_ends:
            name = open_ends.pop()
            if name not in found:
                found.add(name)
                open_ends.extend(graph[name])
        reached[start] = found
    groups = {tuple(sorted({other for other in reached[name] if name in reached[other]})) for name in graph}
    return sorted(group for group in groups if len(group) > 1)


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles(graph) == [("a", "b", "c"), ("d", "e")]


def test_no_imports_in_a_circle(modules):
    """Not inside a folder either, and not by an import inside a function."""
    graph = {
        name: {each.target for each in module.imports if each.target in modules and each.target != name}
        for name, module in modules.items()
    }
    found = [" <-> ".join(group) for group in circles(graph)]
    assert not found, "move what both need into a module of its own: " + "; ".join(found)


def test_functions_that_tables_name_are_there(modules):
    tables = {name: module.deferred for name, module in modules.items() if module.deferred}
    assert tables
    for name, places in tables.items():
        for place in places:
            target, function = place.split(":")
            assert target in modules, f"{name} names {place}"
            assert f"\ndef {function}(" in modules[target].path.read_text(encoding="utf-8"), (
                f"{name} names {place}"
            )


def test_light_modules_name_no_framework(modules):
    named = [
        f"{module.name}:{each.line} {each.target}"
        for module in modules.values()
        if is_light(module.name) and module.name not in ("clamnet_tf.cli", "clamnet_tf.quiet")
        for each in module.imports
        if each.top and each.target.split(".")[0] in FRAMEWORKS
    ]
    assert not named, "\n".join(named)


def test_light_modules_load_no_framework(modules):
    light = [name for name in modules if is_light(name) or name == "clamnet_tf"]
    code = LOAD_EACH.format(names=light, frameworks=sorted(FRAMEWORKS))
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_only_the_named_import_sealed_masks(modules):
    wrong = [
        f"{module.name}:{each.line}"
        for module, each in inner(modules)
        if each.target == SEALED and each.name != CLOSES_MASKS and not module.name.startswith(MAY_OPEN_MASKS)
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_behind_the_firewall_reaches_masks_through_others(modules):
    for start in modules:
        if not below(start, BEHIND_THE_FIREWALL):
            continue
        reached, open_ends = set(), [start]
        while open_ends:
            name = open_ends.pop()
            if name in modules and name not in reached:
                reached.add(name)
                open_ends.extend(each.target for each in modules[name].imports)
                open_ends.extend(place.split(":")[0] for place in modules[name].deferred)
        assert SEALED not in reached, f"{start} reaches {SEALED}"


def test_the_whole_recipe_is_seen_by_few(modules):
    wrong = [
        f"{module.name}:{each.line}"
        for module, each in inner(modules)
        if each.target == "clamnet_tf.recipe.schema"
        and each.name == "Recipe"
        and not below(module.name, SEES_WHOLE_RECIPE)
    ]
    assert not wrong, "\n".join(wrong)
