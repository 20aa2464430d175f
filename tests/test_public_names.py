"""Every public name says what it takes, gives and refuses, and has an example that runs."""

import doctest
import inspect

import pytest

import clamnet_tf

NAMES = [name for name in clamnet_tf.__all__ if name != "__version__"]
PLAIN = (
    "AugmentationConfig",
    "Segmenter",
    "warp_between",
    "dice",
    "iou",
    "count_overlap",
)  # a line says it all


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(name):
    subject = getattr(clamnet_tf, name)
    module = inspect.getmodule(subject)
    (test,) = doctest.DocTestFinder(recurse=False).find(subject, name, module, vars(module).copy())
    assert test.examples, "no example"
    output = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=output.append)
    assert not output, "".join(output)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PLAIN])
def test_a_public_name_says_what_it_takes(name):
    text = inspect.getdoc(getattr(clamnet_tf, name))
    assert "Args:" in text
    if inspect.isfunction(getattr(clamnet_tf, name)):
        assert "Returns:" in text
