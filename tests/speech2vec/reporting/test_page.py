"""The report in a real browser: it searches, it asks the network for nothing, and it says what is missing."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import made_up_store
from spoken import HOMOPHONES, RATED, WORDS, spoken_store, write_recordings

from speech2vec.cli.app import main
from speech2vec.evaluation.scores import read_evaluation
from speech2vec.features.store import Store
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.reporting.findings import gather
from speech2vec.reporting.page import picture, report, vectors_data
from speech2vec.reporting.rendering import script_json
from speech2vec.reporting.word_map import DecodedExample, Neighbours
from speech2vec.runtime.errors import UserError
from speech2vec.training.presets import DataSettings, OptimiserSettings, TrainSettings
from speech2vec.training.run import Run
from speech2vec.training.trainer import TrainOptions, train

CPU = torch.device("cpu")
INSTALL = "apt-get install chromium chromium-driver, and pip install selenium"


def trained(store: Path, run: Path, epochs: int, seed: int = 1) -> Path:
    settings = TrainSettings(
        seed=seed,
        model=ModelSettings(vector_size=16),
        data=DataSettings(held_out=0.25),
        optimiser=OptimiserSettings(epochs=epochs, batch_size=200),
    )
    train(Store.open(store), run, settings, CPU, TrainOptions(quiet=True))
    return run


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def speech2vec(*arguments: object) -> Done:
    """The program, in this process: starting it anew would import torch each time."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["speech2vec", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    return Done(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained, exported and evaluated; its corpus says that it is synthetic."""
    folder = tmp_path_factory.mktemp("spoken")
    store = spoken_store(folder / "made-up phones", synthetic=True, aligned_folder=str(folder / "aligned"))
    write_recordings(store, folder / "aligned")
    run = trained(folder / "made-up phones", folder / "first", epochs=2)
    exported = speech2vec("export", run, "-o", run / "vectors.txt", "--device", "cpu")
    assert exported.returncode == 0, exported.stderr
    done = speech2vec("evaluate", run / "vectors.txt", "-o", run / "evaluation", "--device", "cpu", "--resamples", 100)
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("page") / "report.html"
    done = speech2vec("report", run, "-o", output, "--dtw", 40, "--device", "cpu", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("These figures are from SYNTHETIC speech.")
    return output


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        webdriver = None
    if binary is None or driver is None or webdriver is None:
        if os.environ.get("SPEECH2VEC_REQUIRE_BROWSER"):
            pytest.fail(f"the report must be tested in a browser here: {INSTALL}")
        pytest.skip(f"no browser to open the report in: {INSTALL}")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


def visit(browser: Any, page: Path, width: int = 1100, dark: bool = False) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page.as_uri())


def requested(browser: Any) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def found(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def rows(browser: Any) -> list[list[str]]:
    return [
        [cell.text for cell in line.find_elements("css selector", "td")]
        for line in found(browser, "#neighbours tbody tr")
    ]


def press(browser: Any, selector: str, number: int = 0) -> None:
    button = found(browser, selector)[number]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
    button.click()


def ask(browser: Any, word: str) -> None:
    box = found(browser, "#word-search")[0]
    box.clear()
    box.send_keys(word)


def test_the_search_shows_neighbours_and_leads_on(browser: Any, page: Path) -> None:
    visit(browser, page)
    assert len(rows(browser)) == 12  # a word is chosen from the start
    ask(browser, "plane")
    shown = rows(browser)
    assert "plane" in found(browser, "#search-status")[0].text
    cosines = [float(cosine) for _, cosine, _ in shown]
    assert cosines == sorted(cosines, reverse=True)
    assert all(word in WORDS and word != "plane" for word, _, _ in shown)
    press(browser, "#neighbours tbody button:not(.play)")
    assert found(browser, "#word-search")[0].get_attribute("value") == shown[0][0]
    assert rows(browser) != shown

    ask(browser, "pla")
    assert {button.text for button in found(browser, "#suggestions button")} == {"plain", "plane", "planet"}
    ask(browser, "zzz")
    assert "not among" in found(browser, "#search-status")[0].text


def test_neighbours_are_those_of_the_vectors(browser: Any, page: Path, run: Path) -> None:
    from speech2vec.vectors.word_vectors import read_vectors

    visit(browser, page)
    for word in ("window", "eight"):
        ask(browser, word)
        expected = read_vectors(run / "vectors.txt").neighbours(word, 12)
        shown = rows(browser)
        assert [float(cosine) for _, cosine, _ in shown] == pytest.approx([c for _, c in expected], abs=2e-3)
        assert shown[0][0] == expected[0][0]


def test_nothing_is_requested_and_no_error_is_logged(browser: Any, page: Path) -> None:
    for width, dark in ((1100, False), (1100, True), (390, False)):
        visit(browser, page, width, dark)
        for number in range(len(found(browser, ".switch button"))):
            press(browser, ".switch button", number)
        ask(browser, "door")
        assert {url.split(":")[0] for url in requested(browser)} <= {"file", "data"}
        assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
        overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(overflow) == 0


def test_the_map_is_drawn_and_answers_the_pointer(browser: Any, page: Path) -> None:
    visit(browser, page)
    ink = """const c = document.getElementById('map'), drawn = c.getContext('2d').getImageData(0, 0, c.width, c.height);
        return drawn.data.filter((value, i) => i % 4 === 3 && value).length"""
    assert browser.execute_script(ink) > 1000
    before = browser.execute_script("return document.getElementById('map').toDataURL()")
    press(browser, "[data-plane=PCA]")
    assert browser.execute_script("return document.getElementById('map').toDataURL()") != before
    assert "variance" in found(browser, "#plane-note")[0].text
    sweep = """const map = document.getElementById('map'), tip = document.getElementById('tip');
        const box = map.getBoundingClientRect();
        for (let x = 20; x < box.width; x += 10) for (let y = 20; y < box.height; y += 10) {
          map.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + x, clientY: box.top + y}));
          if (!tip.hidden) return tip.textContent;
        }"""
    assert browser.execute_script(sweep).split("\n")[0] in WORDS


def test_levels_are_switched(browser: Any, page: Path) -> None:
    visit(browser, page)
    levels = found(browser, ".level")
    assert [level.is_displayed() for level in levels] == [True, False]
    press(browser, ".levels .switch button", 1)
    assert [level.is_displayed() for level in levels] == [False, True]


def test_the_page_says_what_was_measured(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "Synthetic speech." in text
    assert "made-up phones" in text
    assert re.search(r"same-different average precision</span>.*95 % interval 0\.\d{4} to", text)
    for control in ("untrained", "resampled", "mean frame", "DTW on frames", "chance", "random (", "Speech2Vec d="):
        assert control in text, control
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    assert "url(" not in text
    assert page.stat().st_size < 2_000_000


def test_words_can_be_heard(browser: Any, page: Path) -> None:
    visit(browser, page)
    buttons = found(browser, "#neighbours button.play")
    names = [row[0] for row in rows(browser)]
    assert [button.get_attribute("aria-label") for button in buttons] == [f"Play “{name}”" for name in names]
    assert found(browser, "#play")[0].is_displayed()
    heard = """const done = arguments[0], real = Audio.prototype.play || HTMLMediaElement.prototype.play;
        HTMLMediaElement.prototype.play = function () {
          this.addEventListener('loadedmetadata', () => done(this.duration));
          this.addEventListener('error', () => done(this.error.message));
          this.load();
          return Promise.resolve();
        };
        document.querySelector('#neighbours button.play').click()"""
    assert 0.2 < browser.execute_async_script(heard) < 1.7
    assert {url.split(":")[0] for url in requested(browser)} <= {"file", "data"}
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_the_map_is_coloured_by_sound_and_by_meaning(browser: Any, page: Path) -> None:
    visit(browser, page)
    before = browser.execute_script("return document.getElementById('map').toDataURL()")
    press(browser, "[data-colour='0']")
    assert [item.text for item in found(browser, "#groups li")][:2] == ["plosive", "fricative"]
    assert re.search(r"nearest ten, \d+ % are of its own group; by chance \d+ %", found(browser, "#agreement")[0].text)
    assert browser.execute_script("return document.getElementById('map').toDataURL()") != before
    press(browser, "[data-colour='-1']")
    assert not found(browser, "#groups")[0].is_displayed()
    assert browser.execute_script("return document.getElementById('map').toDataURL()") == before


def test_everything_can_be_reached_by_keys_and_read_aloud(browser: Any, page: Path) -> None:
    visit(browser, page, width=390)
    ask(browser, "pla")
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    unnamed = """return [...document.querySelectorAll('button, input, canvas, img, [role]')]
        .filter((one) => one.role !== 'status' && one.checkVisibility())
        .filter((one) => !(one.getAttribute('aria-label') || one.alt || one.labels?.length
          || one.textContent.trim())).map((one) => one.outerHTML)"""
    assert browser.execute_script(unnamed) == []
    assert browser.execute_script("return [...document.querySelectorAll('th:not([scope])')].length") == 0
    # What scrolls takes the focus, and what takes it shows so.
    stuck = """return [...document.querySelectorAll('body *')].filter((one) => one.scrollWidth > one.clientWidth + 1
        && getComputedStyle(one).overflowX === 'auto' && one.tabIndex < 0).map((one) => one.outerHTML.slice(0, 80))"""
    assert browser.execute_script(stuck) == []
    assert browser.execute_script("return document.querySelectorAll('div[aria-label]:not([role])').length") == 0
    from selenium.webdriver.common.keys import Keys

    visit(browser, page)
    seen = set()
    for _ in range(60):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        one = browser.switch_to.active_element
        if one.tag_name == "body":  # after the last
            break
        seen.add(one.get_attribute("id") or one.get_attribute("class") or one.text)
        width = browser.execute_script("return getComputedStyle(arguments[0]).outlineWidth", one)
        assert width == "2px", one.get_attribute("outerHTML")
    assert {"skip", "word-search", "play"} <= seen


def test_a_report_without_recordings(run: Path, tmp_path: Path) -> None:
    silent = (run, "-o", tmp_path / "silent.html", "--dtw", 0, "--device", "cpu", "--no-audio")
    done = speech2vec("report", *silent)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "silent.html").read_text(encoding="utf-8")
    assert '"clips":{}' in text and "plays a recording" not in text and "no recordings" not in text + done.stderr
    (run.parent / "aligned").rename(run.parent / "moved")
    try:
        gone = speech2vec("report", run, "-o", tmp_path / "gone.html", "--dtw", 0, "--device", "cpu")
        assert gone.returncode == 0 and "no recordings of words" in gone.stderr
        assert "There are no recordings of words to listen to" in (tmp_path / "gone.html").read_text(encoding="utf-8")
        named = ("--aligned", run.parent / "moved")
        there = speech2vec("report", run, "-o", tmp_path / "t.html", "--dtw", 0, "--device", "cpu", "--quiet", *named)
        assert there.returncode == 0
        assert "plays a recording" in (tmp_path / "t.html").read_text(encoding="utf-8")
    finally:
        (run.parent / "moved").rename(run.parent / "aligned")


def test_a_report_has_other_runs_beside_it(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "acoustic"
    store = run.parent / "made-up phones"
    done = speech2vec("train", store, "-o", other, "--preset", "acoustic", "--device", "cpu", "--quiet")
    assert done.returncode == 0, done.stderr
    page = tmp_path / "r.html"
    done = speech2vec("report", run, other, "-o", page, "--dtw", 0, "--device", "cpu", "--quiet", "--no-audio")
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    section = text[text.index('<section id="beside">') : text.index('<section id="trained">')]
    assert "words are told apart best by" in section and "resampled frames, with no training" in section
    assert re.search(r'<th scope="row">acoustic</th><td>acoustic</td><td>none</td>', section)


def test_several_runs_stand_side_by_side(browser: Any, run: Path, tmp_path: Path) -> None:
    other = trained(run.parent / "made-up phones", tmp_path / "second", epochs=1, seed=2)
    output = tmp_path / "compare.html"
    done = speech2vec("compare", run, other, "-o", output, "--device", "cpu", "--quiet")
    assert done.returncode == 0, done.stderr
    visit(browser, output)
    body = found(browser, "main")[0].text
    assert "Not evaluated yet: second" in body
    assert "Spread within a word by its frequency" in body
    assert "optimiser.epochs" in body  # they differ in this
    assert "model.vector_size" not in body  # and are alike in that
    assert {"first", "second"} <= {item.text for item in found(browser, ".lines .legend li")}
    assert {url.split(":")[0] for url in requested(browser)} <= {"file", "data"}
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_corpus_too_small_for_a_measure_gets_the_reason(tmp_path: Path) -> None:
    made_up_store(tmp_path / "store")
    run = trained(tmp_path / "store", tmp_path / "run", epochs=1)
    report(run, tmp_path / "report.html", quiet=True)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "same-different needs at least two words" in text  # none lasts half a second
    assert "homophones" in text and "the check needs a larger corpus" in text
    assert "Not evaluated yet" in text
    assert "Synthetic speech." not in text


def test_the_untrained_model_is_built_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, built = Run.load(run), []

    def counted(*arguments: Any) -> Any:
        built.append(arguments)
        return seeded_model(*arguments)

    monkeypatch.setattr("speech2vec.training.run.seeded_model", counted)
    found = gather(opened, dtw_instances=0, with_words=False, quiet=True)
    assert len(built) == 1
    assert found.same_different.value and found.variability.value and found.speaker.value


def test_an_output_that_is_there_is_kept(run: Path, page: Path) -> None:
    before = page.read_bytes()
    done = speech2vec("report", run, "-o", page)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "--force" in done.stderr
    assert page.read_bytes() == before


def test_one_run_is_not_compared(run: Path, tmp_path: Path) -> None:
    done = speech2vec("compare", run, "-o", tmp_path / "c.html")
    assert done.returncode == 2
    assert "two runs or more" in done.stderr


def test_no_word_can_end_the_script_that_holds_it() -> None:
    words = ["</script><img>", "a&b"]
    data = vectors_data(Neighbours(words, np.ones(2, int), np.array([[1], [0]]), np.ones((2, 1), np.float32)), None)
    text = str(script_json(data))
    assert "<" not in text
    assert json.loads(text)["words"].split(" ") == words


def test_the_colour_scale_of_a_picture_is_that_of_the_true_segment() -> None:
    draw = np.random.default_rng(0)
    true, decoded = draw.normal(size=(2, 20, 5))
    one, two = (picture(DecodedExample("a", "b", true, scale * decoded, 0.01)) for scale in (1, 2))
    assert one.true == two.true and one.decoded != two.decoded
    assert one.seconds == pytest.approx(0.2)
    assert picture(DecodedExample("a", "b", true, true, 0.01)).decoded == one.true


def test_damaged_files_of_a_run_are_named(tmp_path: Path) -> None:
    for content in ("[]", '{"models": [], "levels": 3, "benchmarks": []}'):
        (tmp_path / "evaluation.json").write_text(content)
        with pytest.raises(UserError, match=r"evaluation\.json is not what 'speech2vec evaluate' writes"):
            read_evaluation(tmp_path / "evaluation.json")


def test_same_different_and_homophones_from_the_command_line(run: Path, tmp_path: Path) -> None:
    done = speech2vec("same-different", run, "-o", tmp_path / "sd.json", "--dtw", 60, "--device", "cpu", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "on SYNTHETIC speech" in done.stdout
    first = json.loads((tmp_path / "sd.json").read_text())["parts"][0]["results"]["trained"]
    assert f"{first['ap']:.4f} [{first['low']:.4f}, {first['high']:.4f}]" in done.stdout
    parts = json.loads((tmp_path / "sd.json").read_text())["parts"]
    assert [part["name"] for part in parts] == ["all speakers", "held-out speakers", "a sample, with time warping"]
    assert set(parts[2]["results"]) == {"trained", "untrained", "resampled", "mean frame", "DTW on frames"}
    # Each word has its own order of sounds: warping finds it, and even an untrained encoder hears some of it.
    assert parts[2]["results"]["DTW on frames"]["ap"] > 0.9
    assert parts[0]["results"]["untrained"]["ap"] > 3 * parts[0]["results"]["untrained"]["chance"]

    done = speech2vec(
        "homophones", run / "vectors.txt", "--run", run, "-o", tmp_path / "h.json", "--device", "cpu", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    check = json.loads((tmp_path / "h.json").read_text())["homophones"]
    assert check["n_pairs"] == len(HOMOPHONES) // 2
    assert check["auc_random"]["value"] > 0.9
    assert check["verdict"].startswith("These vectors behave as vectors from sound must")
    done = speech2vec("homophones", run / "vectors.txt", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "halves" not in done.stdout

    too_long = speech2vec("same-different", run, "--min-seconds", 60, "--quiet")
    assert too_long.returncode == 2
    assert "--min-seconds" in too_long.stderr


def test_rated_words_are_in_the_vocabulary() -> None:
    """The made-up corpus must have pairs to score, or the tests above would pass on empty charts."""
    from speech2vec.evaluation.benchmarks import read_benchmarks

    pairs = [pair for benchmark in read_benchmarks() for pair in benchmark.pairs if set(pair) <= set(RATED)]
    assert len(pairs) >= 5
