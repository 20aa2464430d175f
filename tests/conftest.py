"""What every test shares: a quiet TensorFlow, a cache of its own, fixed seeds, the cheap tests first."""

import importlib.util
import os
import random
import shutil
import sys

import numpy as np
import pytest

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["MPLBACKEND"] = "Agg"
os.environ.pop("CLAMNET_TF_VERBOSE", None)

FIRST = ("tests/architecture/", "tests/cli/", "tests/recipe/")
OWN_ENVIRONMENTS = {"tfio": ("tensorflow_io", "tools/test-tfio"), "kserve": ("kserve", "tools/test-kserve")}


def pytest_collection_modifyitems(items):
    """The folders of FIRST before all others, for an early answer; tests with a marker of OWN_ENVIRONMENTS
    only where its package is installed.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))
    for marker, (package, tool) in OWN_ENVIRONMENTS.items():
        if importlib.util.find_spec(package) is None:
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(
                        pytest.mark.skip(reason=f"{package} is not installed; {tool} makes its environment")
                    )


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test reads or fills the user's cache of prepared slices."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["CLAMNET_TF_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def seeds():
    """The same random numbers whatever ran before; Keras's too, once something has loaded it."""
    random.seed(0)
    np.random.seed(0)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(0)


QUIET_BROWSER = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync disable-dev-shm-usage"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium that keeps its console and network log; skips where there is none."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="selenium is not installed: pages were not tried in a browser"
    )
    from selenium.webdriver.chrome.service import Service

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip(
            "no Chromium with its chromedriver here: pages were not tried in a browser (Debian: apt-get "
            "install chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in (
        *QUIET_BROWSER.split(),
        "window-size=1280,900",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()
