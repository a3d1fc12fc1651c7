"""The page as it is sent to a browser; tests/slow/test_demo.py uses it in one."""

import re

import numpy as np
import pytest

from tests.helpers.demo_models import KnownModel
from tests.helpers.served_inputs import some_images
from tf_mdsm.demo.opening import Comparison

# Starlette's test client speaks of its successor.
pytestmark = pytest.mark.filterwarnings("ignore:.*httpx.*")


@pytest.fixture(scope="module")
def html():
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from nicegui import ui

    from tf_mdsm.demo.page import lay_out

    application, model = FastAPI(), KnownModel()
    comparison = Comparison(model, {"training images": some_images(3)}, "A remark.")

    @ui.page("/")
    def index() -> None:
        lay_out(model, comparison)

    ui.run_with(application)
    with TestClient(application) as client:
        return client.get("/").text


def test_the_page_names_the_model_and_has_four_tabs(html):
    assert "known: gray images of 8 x 8 pixels" in html
    assert "A remark." in html
    for label in ("Draw", "Fill in", "Denoise", "Energy"):
        assert label in html


def test_nothing_is_fetched_from_elsewhere(html):
    addresses = set(re.findall(r"\bhttps?://[a-z0-9.-]+", html))
    assert addresses <= {"http://www.w3.org"}


def test_the_known_model_is_one():
    """What the other tests of the page ask of it."""
    drawn = KnownModel().draw(range(2), steps=3)
    assert drawn.states.shape == (4, 2, 8, 8, 1)
    np.testing.assert_array_equal(drawn.states[-1, 1], np.float32(0.01))
