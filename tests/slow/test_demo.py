"""The demonstration in headless Chromium: all four tabs, with a run, an export and a server."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.demo_page import browser_tools, demonstration, visitor
from tests.helpers.serving import serving
from tests.helpers.small_runs import ROOT
from tf_mdsm.demo.uploads import read_upload
from tf_mdsm.runs.run import export, load

pytest.importorskip("selenium")
if browser_tools() is None:
    pytest.skip("no Chromium here", allow_module_level=True)

DIGITS = ROOT / "examples" / "digits"


@pytest.fixture(scope="module")
def page():
    """A visitor of the demonstration of the model that comes along."""
    with demonstration(DIGITS) as address, visitor(address) as page:
        yield page


@pytest.fixture(scope="module")
def run():
    return load(DIGITS)


def number_in(text: str, before: str) -> float:
    """The number that follows some words."""
    return float(text.split(before)[1].split()[0].rstrip(".,").replace(",", ""))


def test_images_are_drawn_by_seed_and_shown_from_noise_on(page, run):
    assert page.text(".title") == "digits, step 1200: gray images of 8 x 8 pixels"
    page.type(".seed", 5)
    page.type(".count", 9)
    page.choose(".steps", "own")
    page.start("Draw")
    found = page.text(".draw .energies")
    energies = run.model.energy(run.sample(9, seed=5) / 255).numpy()
    # The page's energies are of images before rounding to 256 levels.
    assert number_in(found, "median") == pytest.approx(np.median(energies), rel=0.05)
    final = page.picture(".grid-picture")
    assert page.text(".draw .caption") == "final images"
    page.press(".play")
    page.wait(lambda: page.text(".draw .caption").startswith("state"), "the film runs")
    assert page.picture(".grid-picture") != final
    page.wait(lambda: page.text(".draw .caption") == "final images", "the film ends")
    page.wait(lambda: page.picture(".grid-picture") == final, "the same images again")


def test_a_painted_mask_is_filled_in(page):
    page.open("fill")
    page.press(".clear")
    page.wait(lambda: page.hidden_pixels() == 0, "nothing is hidden")
    page.paint((0.1, 0.56), (0.9, 0.56))
    page.wait(lambda: page.hidden_pixels() == 1, "one row is hidden")
    page.start("Fill in")
    sentence = page.text(".fill .caption")
    assert 6 <= number_in(sentence, "fill in") <= 8
    assert "of 64 pixels, seeds 0 to 3" in sentence
    assert len(page.picture(".filled-picture")) > 500


def test_an_upload_is_denoised_and_its_noise_found(page, tmp_path, run):
    """Noise of 0.5 that the file brings; the page adds none."""
    clean = run.sample(1, seed=3)[0] / 255
    noise = np.random.default_rng(0).normal(size=clean.shape)
    np.save(tmp_path / "noisy.npy", (clean + 0.5 * noise).astype(np.float32))
    page.open("denoise")
    page.choose(".denoise .choice", "a file of mine")
    page.upload("denoise", tmp_path / "noisy.npy")
    page.picture(".denoised-picture")
    page.set_slider(".added", 0)
    page.start("Denoise")
    sentence = page.text(".denoise .caption")
    assert "with noise of 0.00" in sentence
    assert number_in(sentence, "finds:") == pytest.approx(0.5, rel=0.25)


def test_the_energy_of_an_upload_beside_the_images_of_the_run(page, tmp_path, run):
    large, path = run.sample(1, seed=3)[0].repeat(10, axis=0).repeat(10, axis=1), "large.png"
    Image.fromarray(large[..., 0]).save(tmp_path / path)
    image, _ = read_upload(path, (tmp_path / path).read_bytes(), run.image_shape)
    page.open("energy")
    page.choose(".energy .choice", "a file of mine")
    page.upload("energy", tmp_path / path)
    assert "80 x 80 pixels: its middle was scaled to 8 x 8" in page.text(".energy .upload-remark")
    page.start("Energy")
    sentence = page.text(".energy .caption")
    energy = float(run.model.energy(image[None])[0])
    assert number_in(sentence, "E(x) =") == pytest.approx(energy, abs=0.1)
    assert "of 1,000 training images" in sentence
    assert "of 180 validation images" in sentence
    assert len(page.picture(".histogram")) > 5_000


def test_a_bad_upload_gets_a_sentence_and_loses_nothing(page, tmp_path):
    page.open("energy")
    page.choose(".energy .choice", "a file of mine")
    before = page.picture(".energy-image")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    page.upload("energy", tmp_path / "broken.png")
    sentence = page.text(".energy .error")
    assert sentence.startswith("`upload` must be readable. Received: broken.png")
    assert page.picture(".energy-image") == before


def test_nothing_leaves_the_machine_and_the_console_is_silent(page):
    (host,) = page.hosts()
    assert host.startswith("127.0.0.1:")
    assert page.complaints() == []


def use_all_tabs(page) -> None:
    """Draws, and uses a drawn image in the other tabs: neither a chain nor known images."""
    assert "final images only" in page.text(".remark")
    page.start("Draw")
    page.text(".draw .energies")
    assert page.texts(".draw .caption") == []
    for tab, button in (("fill", "Fill in"), ("denoise", "Denoise"), ("energy", "Energy")):
        page.open(tab)
        page.start(button)
        assert page.text(f".{tab} .error") == "Take an image first."
        page.start("Take it")
        page.wait(lambda: page.took(tab), f"the image of {tab}")  # noqa: B023
        page.start(button)
        page.text(f".{tab} .caption")
        assert page.texts(f".{tab} .error") == []


def test_exports_offer_what_their_signatures_allow(exported_run, tmp_path):
    export(load(exported_run), tmp_path / "1", format="stablehlo")
    for folder in (exported_run / "export" / "1", tmp_path / "1"):
        with demonstration(folder) as address, visitor(address) as page:
            page.wait(lambda: "--images=PATH" in " ".join(page.texts(".remark")), "the remark")
            use_all_tabs(page)


def test_a_server_does_too(exported_run):
    with (
        serving(exported_run / "export") as server,
        demonstration(server.rest) as address,
        visitor(address) as page,
    ):
        assert "server at http://localhost" in page.text(".title")
        use_all_tabs(page)
