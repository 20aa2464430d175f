"""Find the organ in one assembled volume: the table of `organ.method`, with a fallback per method."""

from collections.abc import Callable

import numpy as np

from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.organs.body import body
from clamnet_tf.preprocessing.organs.bone import bone
from clamnet_tf.preprocessing.organs.brain import FALLBACK_RIM, brain
from clamnet_tf.preprocessing.organs.breast import breast
from clamnet_tf.preprocessing.organs.cranium import cranium
from clamnet_tf.preprocessing.organs.foreground import foreground, without_rim
from clamnet_tf.preprocessing.organs.lungs_ct import lungs_ct
from clamnet_tf.recipe.schema_data import OrganSection

#: bool (slices, rows, columns), the organ without its rim; number of slices that took the fallback
Region = tuple[np.ndarray, int]

#: For messages: what is taken as the organ where a method finds nothing.
FALLBACK = "there the foreground without its rim is the organ"


def without_organ(method: str, slices: int) -> tuple[str, ...]:
    """Return a note on the slices of a volume without a plausible organ; no note for 0 slices."""
    return (f"no plausible {method} in {slices} slice(s): {FALLBACK}",) if slices else ()


def organ_region(volume: AssembledVolume, organ: OrganSection, network=None) -> Region:
    """Find the organ of `volume` with the method that the section names.

    Args:
        volume: the assembled volume.
        organ: recipe section `organ`.
        network: for method network, a callable volume -> bool (slices, rows, columns), see
            `inference.organ_network`; else None.

    Returns:
        The organ without its rim, bool (slices, rows, columns), and the number of slices that took the
        fallback. A slice may be empty: outside of the brain, or blank.
    """
    if organ.method == "network":
        return _network(volume, organ, network)
    return METHODS[organ.method](volume, organ)


def _network(volume, organ, network) -> Region:
    """Find the organ with the network; slices in which it finds nothing take the foreground."""
    region = without_rim(network(volume), organ.rim)
    missing = ~region.any((1, 2))
    if missing.any():
        region[missing] = without_rim(foreground(volume.array), FALLBACK_RIM)[missing]
    return region, int((missing & region.any((1, 2))).sum())


def _given(volume, organ) -> Region:
    return without_rim(volume.organ.copy(), organ.rim), 0


def _whole_image(volume, organ) -> Region:
    return np.ones(volume.array.shape[:3], bool), 0


def _foreground(volume, organ) -> Region:
    return without_rim(foreground(volume.array), organ.rim), 0


def _cranium(volume, organ) -> Region:
    """Find the inside of the skull; a volume that shows no skull takes the head in every slice."""
    region = cranium(volume.array)
    if region.any():
        return without_rim(region, organ.rim), 0
    head = without_rim(foreground(volume.array), FALLBACK_RIM)
    return head, int(head.any((1, 2)).sum())


def _found_by(find) -> Callable[[AssembledVolume, OrganSection], Region]:
    """Make a method of `find`, which returns a FoundOrgan.

    The rim is taken off, except in fallback slices, whose mask has lost one already.
    """

    def method(volume, organ) -> Region:
        result = find(volume.array)
        return np.where(
            result.fallback[:, None, None], result.mask, without_rim(result.mask, organ.rim)
        ), int(result.fallback.sum())

    return method


METHODS = {
    "given": _given,
    "none": _whole_image,
    "foreground": _foreground,
    "brain": _found_by(brain),
    "cranium": _cranium,
    "lungs_ct": _found_by(lungs_ct),
    "breast": _found_by(breast),
    "bone": _found_by(bone),
    "body": _found_by(body),
}
