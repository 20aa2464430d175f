import re
def sub(path, old, new, count=1):
    s = open(path).read(); assert s.count(old) >= 1, (path, old); open(path, "w").write(s.replace(old, new) if count == 0 else s.replace(old, new, count))
sub("clamnet_tf/data/phantoms/chest.py", "space, generator, slab = self.space, self.generator, self.slab_mm\n        self.vessels", "space, slab = self.space, self.slab_mm\n        self.vessels")
sub("clamnet_tf/data/volumes.py", '''    result = []
    for indices in groups.values():
        cases = manifest.cases
        places = {cases[index].position for index in indices}
        positioned = None not in places

        def order(index):
            case = cases[index]
            if positioned and len(places) == len(indices):  # no two alike: names, which take long, say nothing more
                return case.position
            name = [natural_key(part) for part in case.image.parts]
            return (case.position if positioned else 0.0, name, -1 if case.slice_index is None else case.slice_index)

        result.append(Group(tuple(sorted(indices, key=order))))
    return result
''', '''    return [_in_order(manifest.cases, indices) for indices in groups.values()]


def _in_order(cases, indices) -> Group:
    """The group of the cases at `indices`, in the order of their positions, or of their names where these do not tell."""
    places = {cases[index].position for index in indices}
    positioned = None not in places

    def order(index):
        case = cases[index]
        if positioned and len(places) == len(indices):  # no two alike: names, which take long, say nothing more
            return case.position
        name = [natural_key(part) for part in case.image.parts]
        return (case.position if positioned else 0.0, name, -1 if case.slice_index is None else case.slice_index)

    return Group(tuple(sorted(indices, key=order)))
''')
sub("clamnet_tf/serving/grpc_model.py", "            answer = attempt(lambda: self._ask(self._request(signature, name, part)), self.address.text, self.waits)", "            request = self._request(signature, name, part)\n            answer = attempt(functools.partial(self._ask, request), self.address.text, self.waits)")
sub("clamnet_tf/export/prepare_ops.py", '''    if chosen is None:
        enough = found == channels
    else:
        enough = found > max(chosen)
''', "    enough = found == channels if chosen is None else found > max(chosen)\n")
sub("clamnet_tf/export/stranger.py", "        core_ops.io_decode_dicom_image  # its", "        core_ops.io_decode_dicom_image  # noqa: B018 - its")
sub("clamnet_tf/imaging/mask_files.py", "", "") if 0 else None
sub("clamnet_tf/zoo/transport.py", "for number in range(1, MOST_ATTEMPTS + 1):", "for number in range(1, MOST_ATTEMPTS + 1):  # noqa: B007 - the message names it")
sub("tests/data/test_sealed.py", "            1 / 0\n", "            raise ZeroDivisionError\n")
sub("tests/data/test_inputs.py", "dict.fromkeys(names, {})", "{name: {} for name in names}", 0)
sub("tests/data/test_layouts.py", "dict.fromkeys(paths, {})", "{path: {} for path in paths}", 0)
sub("tools/fuzzing/targets.py", '''    try:
        read_mask(path)
    except ClamnetError:  # an image need not be a mask
        pass
''', '''    with contextlib.suppress(ClamnetError):  # an image need not be a mask
        read_mask(path)
''')

sub("clamnet_tf/serving/grpc_model.py", "import math\n", "import functools\nimport math\n")
sub("clamnet_tf/imaging/mask_files.py", "    if 1 < top and", "    if top > 1 and")
sub("clamnet_tf/serving/served_probability.py", "if not (-ROUNDING <= lowest and", "if not (lowest >= -ROUNDING and")
sub("clamnet_tf/prediction/nifti_masks.py", ".keys()", "") if 0 else None
sub("clamnet_tf/imaging/lung_air.py", """        if abs(np.nonzero(part)[1].mean() - middle) < _MIDDLE * width and part.sum() < _TRACHEA * unit**2:
            if part.sum() < _SMALL_MIDDLE * unit**2 or np.ptp(np.percentile(values, (5, 95))) < _TRACHEA_CALM:
                continue
""", """        in_the_middle = abs(np.nonzero(part)[1].mean() - middle) < _MIDDLE * width and part.sum() < _TRACHEA * unit**2
        if in_the_middle and (part.sum() < _SMALL_MIDDLE * unit**2 or np.ptp(np.percentile(values, (5, 95))) < _TRACHEA_CALM):
            continue
""")
sub("tests/architecture/test_layout.py", "        clamnet_tf.train\n", "        clamnet_tf.train  # noqa: B018\n")
