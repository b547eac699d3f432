"""What a report says of the published study where the study concerns its images: claims, mistakes, figures."""

import csv
import json
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner

from cnnlab.cli import main
from cnnlab.study import SELECTED, Claim, built_in, cnn_number, published_choice, stage_fits
from conftest import ROOT

pytestmark = pytest.mark.slow

STAGES = [built_in().stage(name) for name in ("base", "depth", "colour")]
MISTAKES = [mistake for mistake in built_in().mistakes if mistake.trials]


@pytest.fixture(scope="module")
def made(cifar10, shared_engine, tmp_path_factory):
    """A smoke report of three stages and the mistakes: its folder, and the command's words."""
    place = tmp_path_factory.mktemp("published")
    words = ["report", "--profile", "smoke", "--data", cifar10, "--stages", "base,depth,colour,mistakes"]
    words += ["--runs", place / "runs", "--report", place / "out", "--scheduler", shared_engine.address]
    words = list(map(str, words))
    done = subprocess.run(
        [sys.executable, "-m", "cnnlab", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "out", words


@pytest.fixture(scope="module")
def page(made):
    return BeautifulSoup((made[0] / "index.html").read_text(encoding="utf-8"), "html.parser")


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_mistakes_and_the_appendix_follow_the_stages(page, made):
    chapters = ["data", *(stage.name for stage in STAGES), "comparison", "noise", "mistakes", "published"]
    assert [section["id"] for section in page.select("section.chapter")] == [*chapters, "all-runs", "how", "glossary"]
    assert [path.stem[3:] for path in sorted((made[0] / "notebooks").iterdir())] == chapters


def test_each_stage_has_the_number_of_its_design_and_the_published_scores(page):
    for stage in STAGES:
        chapter = page.select_one(f"#{stage.name}")
        assert stage.title in chapter.h2.get_text()
        link = page.select_one(f"nav a[href='#{stage.name}']").get_text()
        assert link == f"CNN-{cnn_number(stage.name)}: {stage.title}"
        [table] = [table for table in chapter.select("table") if "published" in table.thead.get_text()]
        for fit in stage_fits(stage.name).values():
            assert f"{fit.test_f1:.3f}" in table.get_text()


def test_the_claims_are_in_the_overview(page):
    shown = page.select_one("#all-claims").get_text()
    for claim in built_in().claims:
        assert claim.says in shown
    assert "The stage filters was not run." in shown


def test_the_claims_are_in_their_table(made):
    claims = {row["claim"]: row for row in rows(made[0] / "claims.csv")}
    assert list(claims) == [claim.says for claim in built_in().claims]
    skipped = claims["Filters 32-64-128 score higher than 16-32-64."]
    assert (skipped["status"], skipped["difference"]) == ("skipped", "")
    assert skipped["reason"] == "The stage filters was not run."
    measured = [row for row in claims.values() if row["status"] != "skipped"]
    assert measured
    # One seed gives a difference but no interval; a trial does not differ from itself.
    assert all(row["difference"] and row["low"] in ("", "0.0") for row in measured)
    assert {row["status"] for row in measured} == {"inconclusive"}


def test_the_mistakes_are_shown_and_in_their_table(page, made):
    shown = page.select_one("#mistakes").get_text()
    for mistake in built_in().mistakes:
        assert mistake.title in shown
    assert {row["mistake"] for row in rows(made[0] / "mistakes.csv")} == {mistake.name for mistake in MISTAKES}
    effects = rows(made[0] / "mistake-effects.csv")
    assert {row["mistake"] for row in effects} == {mistake.name for mistake in MISTAKES}


def test_the_appendix_compares_fit_by_fit(page):
    appendix = page.select_one("#published")
    assert "Fit by fit #" in [heading.get_text() for heading in appendix.select("h3")]
    assert "0.0152 (11 degrees of freedom)" in appendix.get_text()
    assert "make data" not in appendix.get_text()
    assert "degrees of freedom" not in page.select_one("#noise").get_text(), "which is about our own runs"


def test_the_tables_have_the_published_figures(made):
    by_stage = {row["stage"]: row for row in rows(made[0] / "decisions.csv")}
    for stage in STAGES:
        row = by_stage[stage.name]
        assert row["published_choice"] == published_choice(stage.name)
        assert row["agrees"] == str(row["selected"] == row["published_choice"])
    for row in rows(made[0] / "results.csv"):
        fit = stage_fits(row["stage"]).get(row["trial"])
        assert row["published_f1"] == (str(fit.test_f1) if fit else "")


def test_the_report_can_be_repeated_with_its_stages(made):
    repeat = json.loads((made[0] / "manifest.json").read_bytes())["repeat"]
    assert repeat["command"].endswith(" STAGES=base,colour,depth,mistakes")
    assert "dense" in repeat["skipped"]


def test_check_exits_with_1_for_a_refuted_claim(made, monkeypatch):
    refuted = Claim("CNN-1 beats itself.", ("base", SELECTED), ("base", SELECTED), 0.01)
    monkeypatch.setattr("cnnlab.tuning.scope.Scope.claims", (refuted,))
    monkeypatch.chdir(ROOT)
    plain, checked = (CliRunner().invoke(main, [*made[1], *more]) for more in ([], ["--check"]))
    assert (plain.exit_code, checked.exit_code) == (0, 1)
    assert "Refuted: CNN-1 beats itself. (+0.000, +0.000 to +0.000)" in checked.output
