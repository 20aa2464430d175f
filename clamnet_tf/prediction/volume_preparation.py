"""Prepare the volumes of a group of files as the network sees them, with the channels of its recipe."""

from collections.abc import Iterator

import numpy as np

from clamnet_tf.datasets.contralateral import Pairing, pair_breasts
from clamnet_tf.datasets.expected_images import ExpectedImages
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import UserInputError
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.atlas_channel import volume_with_atlas_channel
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.preprocessing.contralateral import UNREADABLE, volume_with_contralateral
from clamnet_tf.preprocessing.crop import CropBox
from clamnet_tf.preprocessing.organ_region import without_organ
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume, prepare_volume
from clamnet_tf.preprocessing.volumes import Group, assemble


class VolumePreparation:
    """Prepare assembled volumes for a model.

    Args:
        trained: inference.trained_model.Trained.
        recipe: Recipe of the model.
        manifest: The cases to be marked.
        expected: What the images must be like.
        cache: Folder that keeps prepared slices; None: none.
        organ_network: Finds the organ, for recipes with organ.method network.
    """

    def __init__(self, trained, recipe, manifest: Manifest, expected: ExpectedImages, cache, organ_network):
        self.trained, self.recipe, self.manifest, self.expected = trained, recipe, manifest, expected
        self.cache, self.organ_network = cache, organ_network
        self._pairing: Pairing | None = None
        self._mammograms: dict[int, PreparedVolume | None] = {}  # the last ones, by case

    def assemble(self, group: Group) -> list[AssembledVolume]:
        """Read the files of a group; raise ImageError or DataError where they cannot be used."""
        return assemble(
            self.manifest,
            group,
            channels=self.recipe.data.channels,
            dicom_backend=self.recipe.data.dicom_backend,
            with_organ=self.recipe.organ.method == "given",
            expected=self.expected,
        )

    def prepared(self, group: Group, volumes) -> Iterator[tuple[PreparedVolume, tuple[str, ...]]]:
        """Yield a PreparedVolume per volume, stored in the cache when there is one, and notes on its organ
        and on its comparison with the other breast.
        """
        for volume, (ready, notes) in zip(volumes, self._ready(group, volumes)):
            if self.recipe.data.contralateral:
                ready, more = self._compared(volume.wanted[0][1], ready)
                notes += more
            yield volume_with_atlas_channel(ready, self.trained.atlas), notes

    def _ready(self, group: Group, volumes) -> Iterator[tuple[PreparedVolume, tuple[str, ...]]]:
        """Yield each volume with its own channels alone, and notes on its organ."""
        method = self.recipe.organ.method
        if self.cache is None:
            for volume in volumes:
                ready = self._prepare(volume)
                yield ready, without_organ(method, ready.fallback)
            return
        cached = prepare(
            Manifest(self.manifest.root, tuple(self.manifest.cases[case] for case in group.cases)),
            data=self.recipe.data,
            organ=self.recipe.organ,
            cache=self.cache,
            organ_network=self.organ_network,
            expected=self.expected,
        )
        for volume_index in range(len(volumes)):
            rows = np.flatnonzero(cached.table.volume == volume_index)
            box = CropBox(*(int(value) for value in cached.table.box[rows[0]]))
            hashes = tuple(cached.table.pixel_hash[rows].tolist())
            ready = PreparedVolume(
                cached.images[rows], cached.organ[rows], box, tuple(cached.table.area[rows].tolist()), hashes
            )
            yield ready, without_organ(method, cached.fallback)

    def _prepare(self, volume: AssembledVolume) -> PreparedVolume:
        image = self.manifest.cases[volume.wanted[0][1]].image
        return prepare_volume(volume, image, self.recipe.data, self.recipe.organ, self.organ_network)

    def _compared(self, case: int, ready: PreparedVolume) -> tuple[PreparedVolume, tuple[str, ...]]:
        """Return a mammogram with its patient's other breast as further channels, and notes."""
        if self._pairing is None:
            self._pairing = pair_breasts(self.manifest.cases)
        self._mammograms[case] = ready
        partner, reason = self._pairing.partners[case], self._pairing.reasons[case]
        other = None
        if partner is not None:
            other = self._mammogram(partner)
            reason = UNREADABLE if other is None else ""
            self._mammograms = {partner: other, case: ready}
        return volume_with_contralateral(ready, other, stated=self._pairing.stated[case], reason=reason)

    def _mammogram(self, case: int) -> PreparedVolume | None:
        """Return the prepared image of one case; None where it cannot be read, which its own row reports."""
        if case not in self._mammograms:
            try:
                [volume] = self.assemble(Group((case,)))
                fits = volume.array.shape[-1] == self.trained.channels
                self._mammograms[case] = self._prepare(volume) if fits else None
            except UserInputError:
                self._mammograms[case] = None
        return self._mammograms[case]
