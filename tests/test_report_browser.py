"""Reports in a real browser: nothing fails, slider and hover work, on narrow and wide screens, light and dark."""

import json
import re
import shutil

import numpy as np
import pytest

import gradiometer as gm
from made_up_recordings import line, record

playwright = pytest.importorskip("playwright.sync_api", reason="the test extra is not installed")
expect = playwright.expect
PATIENCE = 180_000
"""Milliseconds: the machine may be busy with something else. Nothing here depends on how long it takes."""
expect.set_options(timeout=PATIENCE)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)")

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
HOSTILE = "<img src=x onerror=alert(1)>"
LAYERS, STEPS = 12, 60
PLOTS = ["flow-0", "heat-0", "heat-1", "time-0", "time-1", "units-0", "units-1", "updates-0"]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as runner:
        started = runner.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, timeout=PATIENCE)
        yield started
        started.close()


@pytest.fixture(scope="module")
def recording():
    norms = line(-0.5, layers=LAYERS, steps=STEPS, noise=0.1)
    norms[40:, 1], norms[50:, 2], norms[55, 3] = 0.0, np.nan, np.inf
    names = [HOSTILE, *(f"{2 * layer}.weight" for layer in range(1, LAYERS))]
    chance = np.random.default_rng(0)
    return record(
        norms,
        norms / 7,
        names=names,
        clip_coefficient=np.where(np.arange(STEPS) % 2, 1.0, 0.5),
        loss=chance.uniform(1, 2, STEPS),
        saturation=chance.uniform(size=(STEPS, LAYERS)),
        dead_fraction=0.0,
        update_norm=10.0 ** chance.normal(-3, 1, (STEPS, LAYERS)),
        weight_norm=1.0,
    )


@pytest.fixture(scope="module")
def file(recording, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "run.html"
    recording.report(path)
    return path


@pytest.fixture
def show(browser):
    """Open a page; at the end of the test, see that nothing failed and nothing was asked of a network."""
    contexts, complaints = [], []

    def open_page(path, width=1200, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type in ("warning", "error") and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: request.url == path.as_uri() or complaints.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def two_frames(page):
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def columns(page, name):
    """The data of a source, as the browser has it."""
    script = """(name) => {
        const source = Bokeh.documents.map((document) => document.get_model_by_name(name)).find((model) => model);
        const plain = Object.entries(source.data).map(([key, values]) => [key, Array.from(values)]);
        return JSON.stringify(Object.fromEntries(plain), (_, value) => (Number.isNaN(value) ? null : value));
    }"""
    return json.loads(page.evaluate(script, name))


def location(page, name):
    script = "(name) => Bokeh.documents.map((d) => d.get_model_by_name(name)).find((model) => model).location"
    return page.evaluate(script, name)


VIEW_OF = """(id) => Bokeh.documents.flatMap((document) => document.roots())
    .map((root) => Bokeh.index.get_by_id(root.id))
    .find((view) => document.getElementById(id).contains(view.el))"""


def ink(page, plot):
    """The number of pixels of a plot that are coloured, as axes and their labels are not."""
    script = f"""async (id) => {{
        const blob = await ({VIEW_OF})(id).export("png").to_blob();
        const image = await createImageBitmap(blob);
        const canvas = new OffscreenCanvas(image.width, image.height);
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const {{ data }} = context.getImageData(0, 0, image.width, image.height);
        let count = 0;
        for (let at = 0; at < data.length; at += 4) {{
            const channels = data.slice(at, at + 3);
            if (data[at + 3] > 128 && Math.max(...channels) - Math.min(...channels) > 60) count += 1;
        }}
        return count;
    }}"""
    return page.evaluate(script, plot)


def test_every_figure_is_drawn(show, file):
    page = show(file)
    assert [plot.get_attribute("id") for plot in page.query_selector_all(".plot")] == PLOTS
    for plot in PLOTS:
        assert ink(page, plot) > 200, plot


def test_the_slider_shows_the_chosen_step(show, file, recording):
    page = show(file)
    slider = page.get_by_role("slider", name="Step")
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator("#step-shown")).to_have_text("59")
    assert slider.get_attribute("aria-valuetext") == "step 59"
    two_frames(page)
    shown = columns(page, "flow-0-delta_norm")
    last = recording.delta_norm[-1]
    usual = np.isfinite(last) & (last > 0)
    np.testing.assert_allclose(np.array(shown["place"])[usual], np.log10(last[usual]), atol=1e-5)  # of float32
    assert [shown["marker"][layer] for layer in (0, 1, 2)] == ["circle", "inverted_triangle", "x"]
    assert shown["line"][1] is None
    assert shown["tip"][1].endswith("0 (exactly)")
    assert shown["place"][1] < min(np.array(shown["place"])[usual]) < max(np.array(shown["place"])[usual])
    assert max(np.array(shown["place"])[usual]) < shown["place"][2]
    assert location(page, "cursor-heat-0-delta_norm") == location(page, "cursor-step-loss") == STEPS - 1
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#step-shown")).to_have_text("58")


def test_the_steps_can_be_played(show, file):
    page = show(file)
    play = page.get_by_role("button", name="Play through the steps")
    play.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#step-shown")).not_to_have_text(re.compile("^[0-2]$"))
    page.keyboard.press("Enter")
    assert play.get_attribute("aria-pressed") == "false"
    stopped = page.text_content("#step-shown")
    page.wait_for_timeout(250)  # three times what one step takes
    assert page.text_content("#step-shown") == stopped


def hover(page, plot, across, up):
    """Return the tips at a point of a plot, given as shares of its frame."""
    page.locator(f"#{plot}").scroll_into_view_if_needed()
    script = f"""(id) => {{
        const view = ({VIEW_OF})(id);
        const canvas = view.canvas_view.el.getBoundingClientRect();
        const frame = view.frame.bbox;
        return [canvas.x + frame.left, canvas.y + frame.top, frame.width, frame.height];
    }}"""
    left, top, width, height = page.evaluate(script, plot)
    tips = page.locator("[data-tip]")
    page.mouse.move(0, 0)
    expect(tips).to_have_count(0)
    for attempt in range(100):  # a figure that has just come into view may not listen yet
        page.mouse.move(left + across * width - attempt % 2, top + (1 - up) * height)
        page.wait_for_timeout(50)
        if tips.count():
            break
    return tips.all_text_contents()


def test_pointing_at_a_heat_map_tells_layer_step_and_value(show, file, recording):
    page = show(file)
    step, layer = 30, 6
    (tip,) = hover(page, "heat-0", (step + 0.5) / STEPS, (layer + 0.5) / LAYERS)
    assert tip == f"{2 * layer}.weight\nstep {step}\nsignal ‖∂L/∂output‖: {recording.delta_norm[step, layer]:.3g}"


def test_a_hostile_name_is_shown_as_text(show, file):
    page = show(file)
    (tip,) = hover(page, "heat-0", 0.5, 0.5 / LAYERS)
    assert tip.startswith(HOSTILE)
    (tip,) = hover(page, "flow-0", 0.05, 0.5)
    assert tip.startswith(HOSTILE)
    assert page.locator("img").count() == 0


def test_other_figures_answer_the_pointer_too(show, file):
    page = show(file)
    for plot, words in (("time-0", "loss"), ("units-0", "% saturated"), ("updates-0", "%")):
        assert words in hover(page, plot, 0.5, 0.03)[0]


@pytest.mark.parametrize(("width", "side_by_side"), [(360, False), (1400, True)])
def test_narrow_and_wide_screens(show, file, width, side_by_side):
    page = show(file, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    left, right = (page.locator(f"#heat-{number}").bounding_box() for number in (0, 1))
    assert (left["y"] == right["y"]) == side_by_side
    assert right["x"] + right["width"] <= width


def test_light_and_dark(show, file):
    page = show(file, scheme="dark")
    for scheme, ground, label in (("dark", "20, 23, 26", "#a3abb5"), ("light", "251, 251, 249", "#5a626c")):
        page.emulate_media(color_scheme=scheme)  # as when the reader changes it
        expect(page.locator("body")).to_have_css("background-color", f"rgb({ground})")
        two_frames(page)
        axis = page.evaluate("Bokeh.documents[0].roots()[0].below[0].major_label_text_color")
        assert axis == label


def test_it_can_be_used_without_a_pointer_and_without_seeing(show, file):
    page = show(file)
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert reached == ["play", "step", "In numbers", "In numbers"]
    for plot in PLOTS:
        assert page.get_by_role("img").and_(page.locator(f"#{plot}")).get_attribute("aria-label")
    assert page.get_by_role("heading", level=1).text_content() == "Non-finite"


def test_a_comparison(show, tmp_path, recording):
    path = tmp_path / "compare.html"
    other = record(line(0.3, layers=5, steps=9), loss=3.0)
    gm.report([recording, other], path, names=["long", HOSTILE])
    page = show(path, scheme="dark")
    page.get_by_role("slider", name="Step").focus()
    page.keyboard.press("End")
    expect(page.locator("#step-shown")).to_have_text("59")
    two_frames(page)
    assert page.text_content("#ended-0") == ""
    assert page.text_content("#ended-1") == "· ended at step 8"
    ended = columns(page, "flow-1-delta_norm")
    np.testing.assert_allclose(ended["place"], np.log10(other.delta_norm[-1]), atol=1e-6)
    assert page.locator("figcaption", has_text=HOSTILE).count() == 2
    assert page.locator("img").count() == 0
