"""contract.json: what an exported model takes and gives, for whoever calls it without having this package."""

import datetime
from importlib import metadata

from clamnet_tf import __version__
from clamnet_tf.export.endpoints import has_fixed_window, why_not_encoded
from clamnet_tf.export.prepare_ops import ORGANS, organ_of_pictures
from clamnet_tf.recipe.classes import by_name, named
from clamnet_tf.serving.signatures import (
    BOX,
    DEFAULT,
    ENCODED,
    ENCODED_DICOM,
    IDENTITY,
    IMAGE_BYTES,
    IMAGES,
    MASK,
    PREPARED,
    PRESENCE,
    PROBABILITY,
    map_shape,
)

_PER_VOLUME = {
    "zscore": "each channel minus its mean over its deviation inside the organ of the whole volume, clipped "
    "to -5..5",
    "percentile": "each channel's 1st to 99th percentile inside the organ of the whole volume to 0..1, "
    "clipped",
    "window": "the window to 0..1",
    "none": "values as in the file",
}


def contract(source, *, kind: str, signatures=()) -> dict:
    """As JSON. kind: savedmodel, litert or onnx; signatures: names of those that the file holds
    (SavedModel).
    """
    outputs = _outputs(source)
    content = {
        "name": source.name,
        "format": kind,
        "recipe_sha256": source.identity.recipe,
        "model_sha256": source.identity.model,
        "head": source.identity.head,
        "flip_views": source.identity.flip_views,
        "made_with": {
            "clamnet-tf": __version__,
            "tensorflow": _version("tensorflow"),
            "keras": _version("keras"),
        },
        "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "threshold": {
            "value": by_name(dict(zip(source.names, source.thresholds))),
            "meaning": "of the probability of one slice without its neighbours (raw_threshold of "
            "selection.json)",
            "rule": source.rule,
        },
        "not_applied": {
            **source.left_out,
            "why": "whole volumes or masks; clamnet-tf predict --server applies them on the client's side",
        }
        if source.left_out
        else {},
        "prepared_slices": prepared_slices(source),
    }
    if kind != "savedmodel":
        return {
            **content,
            "input": {IMAGES: content["prepared_slices"]},
            "output": {PROBABILITY: outputs[PROBABILITY]},
        }
    taken = {
        DEFAULT: {
            "input": {IMAGES: default_slices(source)},
            "output": {**outputs, MASK: f"{outputs[MASK]}; the organ is where any channel is not 0"},
        },
        PREPARED: {
            "input": {IMAGES: content["prepared_slices"]},
            "output": {
                PROBABILITY: outputs[PROBABILITY],
                IDENTITY: "string (batch,), which model answered: recipe, model, head",
            },
        },
    }
    box = (
        f"int32 (batch, 3): top, left and size of the square of the picture that the {source.side} x "
        f"{source.side} pixels show; it may leave the picture"
    )
    for name, files in ((ENCODED, "PNG or JPEG"), (ENCODED_DICOM, "DICOM (one frame)")):
        taken[name] = {
            "input": {IMAGE_BYTES: encoded_pictures(source, files)},
            "output": {**outputs, BOX: box},
        }
    content["signatures"] = {name: taken[name] for name in taken if name in signatures}
    reason = why_not_encoded(source)
    return content if reason is None else {**content, "no_encoded_signature": reason}


def _outputs(source) -> dict[str, str]:
    """What the model gives, in words: output -> its form and meaning."""
    names = named(source.names)
    shape = ", ".join(map(str, ("batch", *map_shape(source.side, len(source.thresholds)))))
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, start=1))
    probability, marked, whole = "P(marker)", "1 where probability >= threshold", "the probability"
    if names:
        probability, whole = f"of each class ({', '.join(names)})", "the highest probability"
        marked = (
            f"the number of the class ({listed}) that lies furthest above its threshold, in log-odds, "
            f"0 where none does,"
        )
    return {
        PROBABILITY: f"float32 ({shape}), {probability} in 0..1 per pixel",
        MASK: f"uint8 (batch, {source.side}, {source.side}), {marked} inside the organ",
        PRESENCE: f"float32 (batch,), 0..1: the generalised mean of power {source.pooling_power:g} of "
        f"{whole} over the organ; 0 without one",
    }


def prepared_slices(source) -> str:
    """What `PREPARED` takes, in words."""
    data = source.data
    first = (
        f"window of width {data.window.width:g} around {data.window.center:g} first (pictures of 8 bits "
        f"show it already: 0 to 255 there); "
        if data.window is not None
        else ""
    )
    atlas = (
        "; the last channel is the deviation from normal slices, see clamnet_tf.preprocessing.normal_atlas"
        if data.normal_atlas
        else ""
    )
    return (
        f"float32 (batch, {source.side}, {source.side}, {source.channels}): slices as "
        f"clamnet_tf.preprocessing.prepared_volume.prepare_volume makes them{atlas}. "
        f"{first}{_PER_VOLUME[data.normalization]}; {_outside(source.organ)} ({source.organ.method}); "
        f"cropped to the square around the volume's organ, "
        f"margin {source.organ.margin:g}; bilinear, antialiased, to {source.side} pixels"
    )


def default_slices(source) -> str:
    """What `DEFAULT` takes, in words."""
    if not has_fixed_window(source.data):
        return prepared_slices(source)
    blank = source.organ.surroundings == "blank"
    lies = (
        "What lies outside the organ must lie below the window (0 after it)"
        if blank
        else "What lies outside the organ is the image too"
    )
    return (
        f"float32 (batch, {source.side}, {source.side}, {source.channels}): slices in the unit of the "
        f"files, cropped to the square around the "
        f"organ and resized; the window is applied here (shades of pictures of 8 bits, which show it "
        f"already, must be mapped onto it before). {lies}"
    )


def _outside(organ) -> str:
    """Say what an image holds outside of the organ."""
    return (
        "0 outside the organ" if organ.surroundings == "blank" else "the image itself outside the organ too"
    )


def encoded_pictures(source, files: str) -> str:
    """What `ENCODED` takes, in words."""
    organ = organ_of_pictures(source.organ)
    stands_in = (
        ""
        if organ == source.organ
        else f", which stands in for organ.method {source.organ.method}, that no graph can hold"
    )
    shown = ""
    if files.startswith("DICOM"):
        shown = (
            "; neither are VOI LUT, window, shutter and padding of the file, which clamnet-tf predict "
            "applies to X-rays: "
            "send those as pictures"
        )
    wanted = (
        f"the channels {list(source.data.channels)} are used"
        if source.data.channels is not None
        else f"{source.channels} channel(s), none else"
    )
    return (
        f"string (batch,): whole {files} files of any size; {wanted}. Each is a volume of one slice: its "
        f"organ is {ORGANS.get(organ.method)}{stands_in}, "
        f"and statistics are taken inside it, in this slice alone. Where slices of a whole volume are at "
        f"hand, prepare them together and call {PREPARED}: "
        f"statistics and crop then belong to the volume, as in training. EXIF orientation is not "
        f"applied{shown}"
    )


def _version(name: str) -> str:
    for each in (name, f"{name}-cpu"):
        try:
            return metadata.version(each)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
