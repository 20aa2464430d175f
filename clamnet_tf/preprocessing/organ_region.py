"""Where the organ is in one assembled volume: the table of `organ.method`, each with its named fallback."""

from collections.abc import Callable

import numpy as np

from clamnet_tf.preprocessing.organs.body import body
from clamnet_tf.preprocessing.organs.bone import bone
from clamnet_tf.preprocessing.organs.brain import FALLBACK_RIM, brain
from clamnet_tf.preprocessing.organs.breast import breast
from clamnet_tf.preprocessing.organs.cranium import cranium
from clamnet_tf.preprocessing.organs.foreground import foreground, without_rim
from clamnet_tf.preprocessing.organs.lungs_ct import lungs_ct
from clamnet_tf.preprocessing.volumes import AssembledVolume
from clamnet_tf.recipe.schema_data import OrganSection

Region = tuple[
    np.ndarray, int
]  # bool (slices, rows, columns), the organ without its rim; slices that took the fallback

#: What stands in, where a method finds nothing: for messages.
FALLBACK = "there the foreground without its rim is the organ"


def without_organ(method: str, slices: int) -> tuple[str, ...]:
    """A note on the slices of a volume where the method found nothing plausible; none for 0 slices."""
    return (f"no plausible {method} in {slices} slice(s): {FALLBACK}",) if slices else ()


def organ_region(volume: AssembledVolume, organ: OrganSection, network=None) -> Region:
    """The organ of `volume` as the section says. A slice may be empty: outside of the brain, or blank.

    network: for method network, a callable volume -> bool (slices, rows, columns), see
    `inference.organ_network`.
    """
    if organ.method == "network":
        return _network(volume, organ, network)
    return METHODS[organ.method](volume, organ)


def _network(volume, organ, network) -> Region:
    """Slices in which the network finds nothing take the foreground."""
    found = without_rim(network(volume), organ.rim)
    missing = ~found.any((1, 2))
    if missing.any():
        found[missing] = without_rim(foreground(volume.array), FALLBACK_RIM)[missing]
    return found, int((missing & found.any((1, 2))).sum())


def _given(volume, organ) -> Region:
    return without_rim(volume.organ.copy(), organ.rim), 0


def _whole_image(volume, organ) -> Region:
    return np.ones(volume.array.shape[:3], bool), 0


def _foreground(volume, organ) -> Region:
    return without_rim(foreground(volume.array), organ.rim), 0


def _cranium(volume, organ) -> Region:
    """A volume in which no skull surrounds anything takes the head in every slice."""
    inside = cranium(volume.array)
    if inside.any():
        return without_rim(inside, organ.rim), 0
    head = without_rim(foreground(volume.array), FALLBACK_RIM)
    return head, int(head.any((1, 2)).sum())


def _found_by(find) -> Callable[[AssembledVolume, OrganSection], Region]:
    """Make a method of `find`, which returns a FoundOrgan: the rim is taken off where it is not the fallback,
    which lost one already.
    """

    def method(volume, organ) -> Region:
        found = find(volume.array)
        return np.where(found.fallback[:, None, None], found.mask, without_rim(found.mask, organ.rim)), int(
            found.fallback.sum()
        )

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
