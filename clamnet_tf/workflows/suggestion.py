"""Suggest a recipe for a folder of images: look, ask what the images do not say, choose, write."""

import re
import shlex
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from clamnet_tf.datasets.layouts.label_words import LabelSource
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import DataError
from clamnet_tf.files import write_text
from clamnet_tf.preprocessing.trainable import split_problems
from clamnet_tf.preprocessing.volumes import group_cases
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe_suggestion.answers import (
    LESIONS,
    MODALITIES,
    ORGAN_WORDS,
    Answers,
    read_size,
    size_text,
    usual_lesion,
    usual_size,
)
from clamnet_tf.recipe_suggestion.body_regions import REGIONS, modality_in_words, region_in_words
from clamnet_tf.recipe_suggestion.choices import LARGEST_PATCH, CaseFacts, base_recipe, choose
from clamnet_tf.recipe_suggestion.folder import (
    Folder,
    labels_needed,
    open_folder,
    refuse_mixture,
    write_label_table,
)
from clamnet_tf.recipe_suggestion.image_survey import HEADERS, ImageSurvey, survey_images
from clamnet_tf.recipe_suggestion.recipe_text import suggested_yaml
from clamnet_tf.recipe_suggestion.sequences import (
    SuggestedSequences,
    sequences_of_columns,
    suggest_sequences,
)

FEW_IMAGES = 10  # of a site, of which chance gives one label to all
FEW_PATIENTS = 30  # fewer patients than this of a class give wide intervals and poor networks


@dataclass(frozen=True)
class Given:
    """Answers that the user gave beforehand; None where a question is to be asked.

    Attributes:
        modality, region, lesion: as in `recipe_suggestion.answers.Answers`.
        size: percentages as text, such as 1-8.
        condition: what is marked.
    """

    modality: str | None = None
    region: str | None = None
    lesion: str | None = None
    size: str | None = None
    condition: str | None = None


def suggest(
    path: Path,
    labels: LabelSource,
    given: Given,
    ask: Callable[[str, str, tuple[str, ...], str | None], str],
    out: Path | None,
    reporter: Reporter,
) -> Path:
    """Look at a folder, ask at most four questions and write a recipe for it.

    Args:
        path: folder of images, or a manifest.
        labels: where the labels are.
        given: answers that the user gave beforehand.
        ask: ask(option, question, allowed answers, proposed answer) -> answer; no allowed answers: any text.
        out: file of the recipe; None: named after the folder, in the working folder.
        reporter: receives what was found and chosen.

    Returns:
        The recipe's file.

    Raises:
        DataError: the folder is missing, has no labels or holds several kinds of images; or the file exists.
        UserInputError: the size is no range of percentages.
    """
    out = out or Path(f"{_name_of(path)}.yaml")
    if out.exists():
        raise DataError(f"{out}: exists already; remove it, or name another file with --out.")
    if given.size is not None:
        read_size(given.size)  # before the work begins
    folder = open_folder(path, labels)
    with reporter.bar("Looking at images", min(HEADERS, len(folder.images))) as bar:
        survey = survey_images(folder.images, lambda done, total: bar.update(done))
    account = folder.manifest.account if folder.manifest else ()
    for line in (*survey.lines(), *account, *(f"ATTENTION: {line}" for line in folder.unread())):
        reporter.line(line)
    refuse_mixture(folder, survey)
    if folder.manifest is None:
        raise labels_needed(folder)
    for line in (*_attentions_to_images(survey), *_attentions_to_labels(folder.manifest)):
        reporter.line(f"ATTENTION: {line}")
    answers = _answers(folder, survey, given, ask)
    base, why = base_recipe(answers)
    sequences = sequences_of_columns(folder.manifest) or suggest_sequences(folder.images, answers.modality)
    for line in _lines_of_sequences(sequences):
        reporter.line(line)
    choices = choose(survey, _facts(folder.manifest, sequences), answers, base)
    condition = given.condition or _condition(folder.manifest) or "lesion"
    head = _head(str(path), str(out), survey, base, why)
    text, kept = suggested_yaml(_name_of(out), condition, answers.modality, base, choices, head)
    write_text(out, text)
    reporter.line(f"\nRecipe written: {out}. It begins with the shipped recipe {base}: {why}.")
    width = max(len(choice.key) for choice in kept)
    for choice in kept:
        reporter.line(f"  {choice.key:{width}}  {_shown(choice.value)}  ({choice.reason})")
    _what_next(path, out, folder.manifest, labels, reporter)
    return out


def write_labels(path: Path, labels: LabelSource, out: Path, reporter: Reporter) -> None:
    """Write a table of the images of a folder for the user to fill in labels.

    Raises:
        DataError: the folder is missing or holds no image, or the file exists.
    """
    rows = write_label_table(open_folder(path, labels), out)
    reporter.line(f"Written: {out}, {rows} rows. Fill in the column label: 0 normal, 1 abnormal.")
    reporter.line(f"Then: {shlex.join(['clamnet-tf', 'init', str(path), '--labels', str(out)])}")


def _name_of(path: Path) -> str:
    """Return a name for a recipe after a file or folder."""
    return re.sub(r"[^a-z0-9]+", "_", path.resolve().stem.lower()).strip("_")[:60] or "mine"


def _answers(folder: Folder, survey: ImageSurvey, given: Given, ask) -> Answers:
    """Take the answers from the options, the images or the user."""
    words = " ".join(folder.path.resolve().parts[-2:])
    modality = given.modality or survey.modality
    if modality is None:
        modality = ask("modality", "How were the images made?", MODALITIES, modality_in_words(words))
    region = given.region or survey.region
    if region is None and survey.slices == 1 and 0 < survey.longest_side <= LARGEST_PATCH:
        region = "patch"
    if region is None:
        hint = region_in_words(words) or region_in_words(_condition(folder.manifest) or "")
        region = ask("region", "Which part of the body do they show?", REGIONS, hint)
    lesion = given.lesion
    if lesion is None:
        question = "Is a lesion brighter or darker than normal tissue there, or recognised by its shape?"
        lesion = ask("lesion", question, LESIONS, usual_lesion(region))
    size = given.size
    if size is None:
        question = f"Where there is a lesion, what percentage of {ORGAN_WORDS[region]} does it fill?"
        size = ask("size", question, (), size_text(usual_size(modality, region)))
    return Answers(modality, region, lesion, read_size(size))


def _lines_of_sequences(sequences: SuggestedSequences | None):
    """Yield what was found of sequences."""
    if sequences is not None:
        reference = sequences.names[sequences.reference]
        names = ", ".join(sequences.names)
        yield f"Sequences of {sequences.studies} studies: {names}; {reference} is the reference."
        if sequences.left_out:
            yield f"ATTENTION: left out, since few studies have them: {', '.join(sequences.left_out)}."


def _facts(manifest: Manifest, sequences: SuggestedSequences | None) -> CaseFacts:
    from clamnet_tf.imaging.readers import read_volume

    groups = [len(group.cases) for group in group_cases(manifest)]
    whole = next((case for case in manifest.cases if case.slice_index is None), None)
    slices_per_file = len(read_volume(whole.image).array) if whole else 1
    return CaseFacts(
        slices_per_volume=max(statistics.median(groups), slices_per_file),
        with_organ=all(case.organ is not None for case in manifest.cases),
        sequences=sequences,
    )


def _condition(manifest: Manifest | None) -> str | None:
    """Return the name of the folder that all abnormal images share and no normal one, if there is one."""
    if manifest is None or manifest.layout != "class_folders":
        return None
    folders: dict[bool, list[set[str]]] = {True: [], False: []}
    for case in manifest.cases:
        if case.label is not None:
            folders[case.label > 0].append(set(case.image.relative_to(manifest.root).parts[:-1]))
    common = set.intersection(*folders[True]) - set().union(*folders[False]) if folders[True] else set()
    return min(common, key=len).lower().replace("_", " ")[:60] if common else None


def _attentions_to_images(survey: ImageSurvey):
    """Yield what the user should know of the images."""
    if survey.unreadable:
        yield f"{survey.unreadable_count} of the files cannot be read, the first: {survey.unreadable[1]}"
    if survey.colour:
        yield f"{survey.colour} is a colour picture; its red, green and blue will be three channels."
    if survey.not_hounsfield and survey.modality == "ct":
        yield f"the values of CT are not in Hounsfield units: {survey.not_hounsfield}"
    if survey.two_values:
        yield (
            f"{survey.two_values} holds two values only, as a mask does. A mask belongs into the column mask "
            "of a table, beside its image, not into a row of its own."
        )


def _attentions_to_labels(manifest: Manifest):
    """Yield what the user should know of the labels."""
    patients, sites = defaultdict(set), defaultdict(list)
    for case in manifest.cases:
        patients[bool(case.label)].add(case.patient)
        sites[case.site].append(bool(case.label))
    for abnormal, kind in enumerate(("normal", "abnormal")):
        few = len(patients[bool(abnormal)])
        if few < FEW_PATIENTS:
            count = "only one patient has" if few == 1 else f"only {few} patients have"
            yield f"{count} {kind} images; expect little of fewer than {FEW_PATIENTS}."
    one_sided = sorted(
        str(site) for site, kinds in sites.items() if len(set(kinds)) == 1 and len(kinds) >= FEW_IMAGES
    )
    if len(sites) > 1 and one_sided:
        yield (
            f"all images of the site {', '.join(one_sided[:5])} have one label. A network may learn the site "
            "instead of the lesion."
        )


def _head(path: str, out: str, survey: ImageSurvey, base: str, why: str) -> list[str]:
    """Return the comment at the top of the recipe."""
    return [
        f"Suggested by clamnet-tf init for {path}. Nothing has been measured with it.",
        "",
        *survey.lines(),
        "",
        f"It begins with the shipped recipe {base}: {why}.",
        "Keys with a remark were chosen for these images; the others are that recipe's, where it differs",
        f"from the defaults. All keys: clamnet-tf recipe show {out}",
        f"What the network will see: clamnet-tf fit {out} --data {path} --dry-run",
    ]


def _what_next(path: Path, out: Path, manifest: Manifest, labels: LabelSource, reporter) -> None:
    """Say what would stop a training, and the next commands."""
    for problem in split_problems(manifest)[1]:
        reporter.line(f"PROBLEM: {problem}")
    words = ["clamnet-tf", "fit", str(out), "--data", str(path)]
    words += ["--labels", str(labels.table)] if labels.table else []
    for option, said in (("--normal", labels.said.normal), ("--abnormal", labels.said.abnormal)):
        words += [text for word in said for text in (option, word)]
    command = shlex.join(words)
    reporter.line("\nNext, what the network will see, without training, and then the training:")
    reporter.line(f"  {command} --dry-run")
    reporter.line(f"  {command}")


def _shown(value) -> str:
    """Return a value in one line, as in YAML."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True).strip()
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)
