"""The report of an evaluation in a browser."""

import shutil

import pytest

from tests.helpers.evaluation_runs import SECTIONS, run_evaluation


def test_the_report_in_a_browser(small_run, tmp_path):
    """No message on the console, and every picture is shown."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("no Chromium here")
    workdir = shutil.copytree(small_run, tmp_path / "run")
    run_evaluation(workdir)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        browser.get((workdir / "evaluation" / "report.html").as_uri())
        assert browser.get_log("browser") == []
        widths = browser.execute_script(
            "return [...document.images].map(image => image.complete ? image.naturalWidth : 0)"
        )
        assert len(widths) >= 10
        assert min(widths) > 50
        sections = browser.execute_script(
            "return [...document.querySelectorAll('section')].map(section => section.id)"
        )
        assert sections == [*SECTIONS, "settings"]
    finally:
        browser.quit()
