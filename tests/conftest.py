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
OWN_ENVIRONMENTS = {
    "tfio": ("tensorflow_io", "tools/test-tfio"),
    "kserve": ("kserve", "tools/test-kserve"),
    "jax": ("jax", "tools/test-jax"),
    "mlflow": ("mlflow", "tools/test-mlflow"),
}


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


# What a page of results must be: nothing cut off, nothing wider than its place, every text readable.
LOOK = """
const [phone] = arguments, faults = [], width = document.documentElement.clientWidth;
const name = (el) => `${el.tagName.toLowerCase()} #${el.id} "${el.textContent.trim().slice(0, 30)}"`;
const rgba = (text) => {
  const n = text.match(/[\\d.]+/g).map(Number);
  return n.length < 4 ? [...n, 1] : n;
};
const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => sum + w * linear(c[i] / 255), 0);
const behind = (el) => { // the plain colour behind an element, null where it is none
  for (; el; el = el.parentElement) {
    const style = getComputedStyle(el), c = rgba(style.backgroundColor);
    if (style.backgroundImage !== "none" || (c[3] > 0 && c[3] < 1)) return null;
    if (c[3] === 1) return c;
  }
  return [255, 255, 255, 1];
};
const whole = document.documentElement.scrollWidth;
if (whole > width) faults.push(`the page has ${whole} px`);
for (const el of document.body.querySelectorAll("*")) {
  if (el.closest(".skip, svg svg, template, dialog")) continue;
  if (!el.checkVisibility({visibilityProperty: true})) continue;
  const style = getComputedStyle(el), box = el.getBoundingClientRect(), inside = el.closest("svg");
  if (!inside && style.display !== "inline" && el.clientWidth && el.scrollWidth > el.clientWidth + 1) {
    const scrolls = ["auto", "scroll"].includes(style.overflowX);
    if (!scrolls || !phone) faults.push(`${name(el)} needs ${el.scrollWidth} of ${el.clientWidth} px`);
  }
  if (!inside && box.width && box.right > width + 1 && !el.closest(".scroll, .menu"))
    faults.push(`${name(el)} ends at ${Math.round(box.right)} px`);
  const own = [...el.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || el.closest(".dark, .shot")) continue;
  const back = behind(inside ? inside : el), ink = rgba(inside ? style.fill : style.color);
  if (back === null || ink[3] < 1) continue;
  const [high, low] = [luminance(ink), luminance(back)].sort((a, b) => b - a);
  if ((high + 0.05) / (low + 0.05) < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5))
    faults.push(`${name(el)} is hard to read: ${ink.slice(0, 3)} on ${back.slice(0, 3)}`);
}
return faults;
"""
WIDTHS = {"phone": 390, "narrow": 1000, "usual": 1400, "wide": 2000}  # px


@pytest.fixture
def faults_of_layout(tmp_path):
    """faults_of_layout(browser): what is cut off or unreadable on the page, by width and colour scheme.

    On a phone, wide tables scroll inside their frame; on everything else nothing scrolls sideways. A picture
    of each state is left in the test's folder.
    """

    def look(browser, widths=tuple(WIDTHS), schemes=("light", "dark")):
        found = {}
        try:
            for scheme in schemes:
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
                for name in widths:
                    size = {
                        "width": WIDTHS[name],
                        "height": 900,
                        "deviceScaleFactor": 1,
                        "mobile": name == "phone",
                    }
                    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                    if faults := browser.execute_script(LOOK, name == "phone"):
                        found[name, scheme] = faults
                    assert browser.save_screenshot(str(tmp_path / f"{name}_{scheme}.png"))
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        return found

    return look
