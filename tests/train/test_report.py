"""The report: self-contained, whole, escaped, and as honest as its intervals."""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agents import card as cards
from agents.card import Model
from tests.train import browser, support
from train import at_work, attribution, evaluate, report, verdict
from train.evaluate import Judgement
from train.statistics import Interval
from train.stress import Stressed

HOSTILE = "<script>alert('x')</script> & \"quoted\""
VOID = {"meta", "img", "br", "hr", "link", "input"}
PATHS = 300


class Page(HTMLParser):
    """Tags that do not balance, and every tag's attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.wrong: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


pytestmark = pytest.mark.usefixtures("small_market", "few")


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    """Paths to watch the policy on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(at_work, "PATHS", 48)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A random policy for a two-day call."""
    described = {
        "name": HOSTILE,
        "training": {"seed": 4, "steps": 123456, "seconds": 1.5, "settings": {HOSTILE: "tuned"}},
        "limits": (f"Never for {HOSTILE}.",),
    }
    margin = {"mode": "isolated", "collateral": [{"amount": 0.5}]}
    task = support.task(support.CALIBRATED, margin=margin)
    return cards.load(support.save_model(tmp_path_factory.mktemp("model"), task, **described))


@pytest.fixture(scope="module")
def judgement(model: Model) -> Judgement:
    return evaluate.on_simulated(model, PATHS, 5)


@pytest.fixture(scope="module")
def later(judgement: Judgement) -> Judgement:
    """The same as if it were history: few blocks, a small effective sample."""
    where = f"later history of {HOSTILE}"
    return replace(judgement, where=where, blocks=12, effective=40.0, forced=("the window overlaps",))


@pytest.fixture(scope="module")
def night(judgement: Judgement) -> Stressed:
    """A scenario in which PPO does best."""
    rows = {name: {"measure": 0.02 if name == "PPO" else 0.03} for name in judgement.agents}
    return Stressed("night", "lights out", 9, rows)


@pytest.fixture(scope="module")
def text(
    model: Model, judgement: Judgement, later: Judgement, night: Stressed, tmp_path_factory: pytest.TempPathFactory
) -> str:
    path = tmp_path_factory.mktemp("out") / "new" / "report.html"
    assert report.write(path, model, [judgement, later], scenarios=[night]) == path
    return path.read_text(encoding="utf-8")


def test_tags_balance(text: str) -> None:
    page = Page(text)
    assert (page.wrong, page.open) == ([], [])
    assert [tag for tag, _ in page.tags].count("h1") == 1


def test_nothing_is_fetched(text: str) -> None:
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag in {"script", "link", "iframe", "object", "embed", "base"}]
    held = [a[name] or "" for _, a in page.tags for name in ("src", "srcset", "data", "action") if name in a]
    linked = [attributes["href"] or "" for _, attributes in page.tags if "href" in attributes]
    named = [f"#{attributes['id']}" for _, attributes in page.tags if "id" in attributes]
    assert held
    assert linked == named
    assert all(source.startswith("data:image/svg+xml;base64,") for source in held)
    assert not re.search(r"https?://|url\(|@import", text)
    for source in held:
        assert not re.search(rb"""href=["'](?!#)|<script""", base64.b64decode(source.partition(",")[2]))


def test_every_image_is_drawn_and_told_in_words(text: str) -> None:
    images = [attributes for tag, attributes in Page(text).tags if tag == "img"]
    assert len(images) == 3 + 3 + 1 + 1 + 1 + 3  # two judgements, sources, a path, departures, the policy
    assert all(len(attributes["alt"] or "") > 60 for attributes in images)
    assert len({attributes["alt"] for attributes in images}) == len(images)


def test_every_agent_has_its_row_in_every_table(text: str, judgement: Judgement) -> None:
    for name in judgement.agents:
        assert text.count(f'<th scope="row">{name}</th>') >= 2
    row = re.search(r'<tr class="learned"><th scope="row">PPO</th>(.*?)</tr>', text)
    assert row is not None
    cells = re.findall(r"<td>(.*?)</td>", row[1])
    assert len(cells) == len(report.COLUMNS)
    assert cells[0] == verdict.number(1e4 * judgement.rows["PPO"]["measure"], 1)


def test_what_the_card_says_is_escaped_and_shown(text: str, model: Model) -> None:
    assert "<script" not in text
    words = "".join(Page(text).words)
    for shown in (
        HOSTILE,
        "Never for",
        "123456",
        "tuned.fixed band",
        model.card.weights_sha256,
        model.card.features_sha256,
    ):
        assert shown in words
    for field in ("taker", "regimes", "Task", "degrees_of_freedom", "last_expiry"):
        assert field in words


def test_a_small_sample_is_called_small(text: str) -> None:
    words = "".join(Page(text).words)
    assert "300 independent paths; 300 blocks resampled" in words
    assert "300 overlapping windows; 12 blocks resampled; effective sample about 40." in words
    assert "With only 12 blocks the intervals are too narrow" in words
    assert "ES99 rests on the worst 3, worth 0.4 independent ones." in words


@pytest.mark.parametrize(
    ("interval", "said", "unsaid"),
    [
        (Interval(-3e-4, -5e-4, -1e-4), "3.00 bp of notional lower (better)", "higher"),
        (Interval(3e-4, 1e-4, 5e-4), "3.00 bp of notional higher (worse)", "lower"),
        (Interval(-3e-4, -5e-4, 1e-4), "cannot be told from", "better"),
        (Interval(-3e-4, -5e-4, 0.0), "cannot be told from", "better"),
        (Interval(3e-4, 0.0, 5e-4), "cannot be told from", "worse"),
    ],
)
def test_the_headline_says_what_the_interval_bears_out(
    judgement: Judgement, model: Model, interval: Interval, said: str, unsaid: str
) -> None:
    headline = verdict.headline([with_band(judgement, interval)], model.card).partition(" has the lowest")[0]
    assert said in headline
    assert unsaid not in headline
    assert "the best tuned band, fixed band" in headline
    assert headline.startswith("On 300 simulated paths")


def test_the_headline_is_one_sentence_over_all_markets(judgement: Judgement, model: Model) -> None:
    good, bad = Interval(-3e-4, -5e-4, -1e-4), Interval(2e-4, 1e-4, 4e-4)
    headline = verdict.headline([with_band(judgement, good), with_band(judgement, bad)], model.card)
    assert headline.index("(95 % interval 1.00 to 5.00 bp);") < headline.index("; on 300 simulated")
    assert headline.index("lower (better)") < headline.index("higher (worse)")
    assert "(95 % interval 1.00 to 4.00 bp)" in headline


def test_one_block_bears_out_nothing(judgement: Judgement, model: Model) -> None:
    alone = replace(with_band(judgement, Interval(-3e-4, -3e-4, -3e-4)), blocks=1)
    headline = verdict.headline([alone], model.card).partition(" has the lowest")[0]
    assert "too few independent blocks" in headline
    assert "lower" not in headline


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1234.567, "1,234.57"), (-0.5, "−0.50"), (0.0, "0.00"), (-0.00012, "−0.0001"), (float("inf"), "not finite")],
)
def test_numbers(value: float, shown: str) -> None:
    assert verdict.number(value) == shown


def test_the_same_numbers_give_the_same_words(
    text: str, model: Model, judgement: Judgement, later: Judgement, night: Stressed
) -> None:
    """Layout alone may move a line by a rounding error."""
    again = report.page(model, [judgement, later], scenarios=[night])
    assert re.sub(r'src="[^"]*"', "", again) == re.sub(r'src="[^"]*"', "", text)


def test_the_headline_owns_up_to_a_better_hedge(judgement: Judgement, model: Model) -> None:
    rows = {name: {**row, "measure": 0.01} for name, row in judgement.rows.items()}
    beaten = replace(judgement, rows={**rows, "delta": {**rows["delta"], "measure": 0.005}})
    leading = replace(judgement, rows={**rows, "PPO": {**rows["PPO"], "measure": 0.005}})
    assert verdict.headline([beaten], model.card).endswith("; delta has the lowest measure of all there.")
    assert "lowest" not in verdict.headline([leading], model.card)


@pytest.fixture(scope="module")
def curved_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a book that options hedge too."""
    task = support.task(hedges=support.WITH_OPTION, bars=24)
    curved = cards.load(support.save_model(tmp_path_factory.mktemp("curved"), task))
    found = evaluate.on_simulated(curved, PATHS, 5)
    assert {"delta-gamma", "greek band", "greek band + Zakamouline"} < set(found.agents)
    return report.page(curved, [found])


def test_a_book_of_options_shows_every_instrument(curved_text: str) -> None:
    page = Page(curved_text)
    assert (page.wrong, page.open) == ([], [])
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 3 + 1 + 1 + 2 * (1 + 3)
    words = "".join(page.words)
    for said in ("less what is gamma-neutral", "less what is delta-neutral", "The option: after half"):
        assert said in words
    assert "the option at a taker fee of 5 bp; the perpetual at a taker fee of 5 bp" in words
    assert "a model of the literature" in words


def test_what_was_forced_and_what_was_not_judged_is_said(text: str, curved_text: str) -> None:
    assert "FORCED: the window overlaps." in text
    assert "Judged on 2 kinds of paths" in text
    assert "Nothing was forced." in curved_text
    assert "simulated paths alone: no later history" in curved_text
    assert "Not judged under stress" in curved_text


def test_stress_marks_the_lowest_measure(text: str, judgement: Judgement) -> None:
    (found,) = re.findall(r'<th scope="row">night</th>(.*?)</tr>', text)
    assert found.count("300</td>") == len(judgement.agents) - 1
    assert "<td>200 *</td>" in found
    assert "night: lights out (9 paths)" in text


def test_every_source_of_gains_is_explained(text: str) -> None:
    assert tuple(at_work.SOURCES) == attribution.TERMS
    words = "".join(Page(text).words)
    assert all(explained in words for explained in at_work.SOURCES.values())


def with_band(judgement: Judgement, interval: Interval) -> Judgement:
    """With another difference from the best tuned band."""
    found = {**judgement.versus["vs_best_band"], "measure": interval}
    return replace(judgement, versus={**judgement.versus, "vs_best_band": found})


def test_it_opens_in_a_browser_without_a_word_on_the_console(text: str, tmp_path: Path) -> None:
    shown, console = browser.opened(text, tmp_path)
    assert "</html>" in shown
    assert console == []
    _, noisy = browser.opened(text.replace("</body>", "<script>let unused</script></body>"), tmp_path)
    assert "Content Security Policy" in noisy[0]  # which would have refused anything active, and been heard


def test_it_fits_a_telephone(text: str, tmp_path: Path) -> None:
    """At 390 px nothing but tables and pictures, each in a frame of its own, needs to be moved sideways."""
    measure = "document.title = document.querySelector('iframe').contentDocument.documentElement.scrollWidth"
    frame = f'<iframe width="390" height="800" style="border: 0" srcdoc="{escape(text)}"></iframe>'
    shown, _ = browser.opened(f"<title></title>{frame}<script>onload = () => {{ {measure} }}</script>", tmp_path)
    found = re.search(r"<title>(\d+)</title>", shown)
    assert found is not None
    assert int(found[1]) <= 390  # less where a scroll bar stands
