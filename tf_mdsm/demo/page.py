"""The page: four tabs, each a few controls, a button, and what a model answers."""

# NiceGUI comes by the extra `demo`.
# pyright: reportMissingImports=false

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from nicegui import app, events, run, ui

from tf_mdsm.demo.masks import lower_half_hidden, mask_overlay, painted
from tf_mdsm.demo.models import Drawn, Model
from tf_mdsm.demo.opening import Comparison
from tf_mdsm.demo.pictures import (
    data_address,
    enlarged,
    grid_address,
    rank_sentence,
    scale_of,
)
from tf_mdsm.demo.uploads import MAX_BYTES, read_upload
from tf_mdsm.errors import InvalidArgument, RunError, ServingError, one_line
from tf_mdsm.evaluation.denoising import add_noise
from tf_mdsm.losses import noise_level
from tf_mdsm.system.seeds import MAX_SEED
from tf_mdsm.visualization.plots import histograms

__all__ = ["lay_out", "serve"]

# What a visitor or a server can do wrong; the page shows the sentence.
_ERRORS = (InvalidArgument, RunError, ServingError)
# Images that are drawn at once, at most, and solutions that fill in a mask.
_MAX_IMAGES, _SOLUTIONS = 64, 4
# Seconds between two states of a chain.
_FRAME_SECONDS = 0.15
_TITLE = "Energies of images"


def serve(model: Model, comparison: Comparison, port: int) -> None:
    """Serves the page to browsers of this machine until the process is stopped."""

    @ui.page("/")
    def index() -> None:
        lay_out(model, comparison)

    app.on_startup(lambda: print(f"http://127.0.0.1:{port}  (Ctrl-C stops it)", flush=True))
    ui.run(
        host="127.0.0.1",
        port=port,
        title=_TITLE,
        reload=False,
        show=False,
        show_welcome_message=False,
    )


def lay_out(model: Model, comparison: Comparison) -> None:
    """Builds the page of one visitor."""
    names = {
        "draw": ("Draw", _DrawTab),
        "fill": ("Fill in", _FillTab),
        "denoise": ("Denoise", _DenoiseTab),
        "energy": ("Energy", _EnergyTab),
    }
    with ui.column().classes("w-full max-w-4xl mx-auto"):
        ui.label(_TITLE).classes("text-2xl")
        height, width, channels = model.image_shape
        kind = "gray" if channels == 1 else "color"
        ui.label(f"{model.title}: {kind} images of {width} x {height} pixels").classes("title")
        for sentence in (*model.lacks, comparison.remark):
            if sentence:
                ui.label(sentence).classes("remark text-sm text-gray-600")
        with ui.tabs() as tabs:
            for name, (label, _) in names.items():
                ui.tab(name, label).classes(f"tab-{name}")
        with ui.tab_panels(tabs, value="draw", animated=False).classes("w-full"):
            for name, (_, build) in names.items():
                with ui.tab_panel(name).classes(name):
                    build(model, comparison)


class _Work:
    """A button that starts what takes time, a sign that it runs, and the sentence of an error."""

    def __init__(self, label: str, on_click: Callable[[], Any]):
        with ui.row().classes("items-center"):
            self._button = ui.button(label, on_click=on_click).classes("start")
            self._sign = ui.spinner(size="md")
        self._sign.visible = False
        self._message = ui.label().classes("error text-red-700")

    def say(self, sentence: str) -> None:
        """Shows the sentence of an error; "" takes it away."""
        self._message.text = sentence

    async def result(self, function: Callable[[], Any]) -> Any:
        """What a function returns, computed beside the page; None after an error."""
        self.say("")
        self._button.disable()
        self._sign.visible = True
        try:
            return await run.io_bound(function)
        except _ERRORS as error:
            self.say(one_line(error))
            return None
        finally:
            self._sign.visible = False
            self._button.enable()


class _Choice:
    """The image that a visitor chooses: one of the compared, one that is drawn, or an upload."""

    def __init__(self, model: Model, comparison: Comparison, on_change: Callable[[], None]):
        self._model, self._on_change = model, on_change
        self._known = list(comparison.images.values())[-1] if comparison.images else None
        self._name = list(comparison.images)[-1] if comparison.images else ""
        self.image: np.ndarray | None = None
        options = {"drawn": "an image that is drawn by seed", "upload": "a file of mine"}
        if self._known is not None:
            options = {"known": f"one of {len(self._known):,} {self._name}"} | options
        with ui.row().classes("items-end"):
            self._source = ui.select(
                options, value=next(iter(options)), label="Image", on_change=self._show_controls
            ).classes("choice w-64")
            self._number = _number("Number or seed", 0, self.read).classes("number")
            self._upload = ui.upload(
                label="File: picture, .npy or .npz",
                auto_upload=True,
                max_file_size=MAX_BYTES,
                on_upload=self._take,
                on_rejected=lambda: self._work.say(
                    f"`upload` must be a file of at most {MAX_BYTES / 1e6:.0f} MB."
                ),
            )
        self._work = _Work("Take it", self.read)
        self._remark = ui.label().classes("upload-remark text-sm text-gray-600")
        self._show_controls()
        if self._known is not None:
            self.image = self._known[0]

    def _show_controls(self) -> None:
        is_upload = self._source.value == "upload"
        self._upload.visible, self._number.visible = is_upload, not is_upload
        self._remark.text = ""
        self._work.say("")

    async def read(self) -> None:
        """Takes the image of the number or seed; an upload is taken when it has come."""
        if self._source.value == "upload":
            return
        number = _whole(self._number)
        if self._source.value == "known" and self._known is not None:
            if number >= len(self._known):
                requirement = f"be a number from 0 to {len(self._known) - 1}"
                self._work.say(one_line(InvalidArgument("number", requirement, number)))
                return
            self._work.say("")
            self._set(self._known[number])
            return
        drawn = await self._work.result(lambda: self._model.draw(range(number, number + 1)))
        if drawn is not None:
            self._set(np.clip(drawn.states[-1, 0], 0, 1))

    async def _take(self, event: events.UploadEventArguments) -> None:
        content, name = await event.file.read(), event.file.name
        shape = self._model.image_shape
        self._upload.reset()
        found = await self._work.result(lambda: read_upload(name, content, shape))
        if found is not None:
            image, self._remark.text = found
            self._set(image)

    def _set(self, image: np.ndarray) -> None:
        self.image = image
        self._on_change()


class _DrawTab:
    """Draws images by seed, and shows their way from noise."""

    def __init__(self, model: Model, comparison: Comparison):
        del comparison
        self._model = model
        self._addresses: list[str] = []
        with ui.row().classes("items-end"):
            self._seed = _number("First seed", 0).classes("seed")
            self._count = _number("Images", 16, largest=_MAX_IMAGES, smallest=1).classes("count")
            steps = {0: "the model's own steps"} | {n: f"{n} steps" for n in model.fine_steps}
            self._steps = ui.select(steps, value=0, label="Chain").classes("steps w-48")
            self._steps.visible = len(steps) > 1
        self._work = _Work("Draw", self._draw)
        with ui.row().classes("w-full items-center") as self._film:
            self._play = ui.button("Play", on_click=self._start).classes("play")
            self._state = ui.slider(min=0, max=1, value=0, on_change=self._show).classes("state")
            self._state.classes("w-64")
            self._caption = ui.label().classes("caption")
        self._film.visible = False
        self._grid = _picture("grid-picture").style("max-width: 32rem")
        self._energies = ui.label().classes("energies text-sm")
        self._timer = ui.timer(_FRAME_SECONDS, self._next, active=False)

    async def _draw(self) -> None:
        first, steps = _whole(self._seed), self._steps.value or None
        seeds = range(first, first + _whole(self._count))
        drawn = await self._work.result(lambda: self._model.draw(seeds, steps))
        if drawn is not None:
            self._take(drawn)

    def _take(self, drawn: Drawn) -> None:
        self._addresses = [grid_address(images) for images in drawn.states]
        low, middle, high = np.percentile(drawn.energies, (0, 50, 100))
        self._energies.text = f"Energies: {low:,.1f} to {high:,.1f}, median {middle:,.1f}"
        last = len(self._addresses) - 1
        self._film.visible = last > 0
        self._state.props(f"max={last}")
        self._state.value = last
        self._show()

    def _show(self) -> None:
        if not self._addresses:
            return
        number, last = round(_value(self._state)), len(self._addresses) - 1
        self._grid.set_source(self._addresses[number])
        self._caption.text = "final images" if number == last else f"state {number} of {last}"

    def _start(self) -> None:
        self._state.value = 0
        self._timer.activate()

    def _next(self) -> None:
        if _value(self._state) >= len(self._addresses) - 1:
            self._timer.deactivate()
        else:
            self._state.value = _value(self._state) + 1


class _FillTab:
    """Hides pixels of an image by a brush, and fills them in."""

    def __init__(self, model: Model, comparison: Comparison):
        self._model = model
        height, width, _ = model.image_shape
        self._scale = scale_of(model.image_shape)
        self._mask = lower_half_hidden(height, width)
        self._choice = _Choice(model, comparison, self._show)
        ui.label("Paint over what is to be filled in (orange).")
        with ui.row():
            self._canvas = ui.interactive_image(
                content="",
                size=(width * self._scale, height * self._scale),
                on_mouse=self._paint,
                events=["mousedown", "mousemove"],
                sanitize=False,
            ).classes("canvas border")
            with ui.column():
                largest = max(1, min(height, width) // 2)
                ui.label("Brush, pixels")
                self._brush = ui.slider(min=1, max=largest, value=max(1, largest // 4)).props(
                    "label"
                )
                self._hides = ui.toggle({True: "hide", False: "show"}, value=True)
                ui.button("Hide nothing", on_click=lambda: self._set_mask(np.ones)).classes("clear")
                ui.button("Hide all", on_click=lambda: self._set_mask(np.zeros))
                self._seed = _number("First seed", 0)
        self._work = _Work("Fill in", self._fill)
        self._answer = _picture("filled-picture").style("max-width: 32rem")
        self._caption = ui.label().classes("caption text-sm")
        self._show()

    def _set_mask(self, make: Callable[..., np.ndarray]) -> None:
        self._mask = make(self._mask.shape, bool)
        self._show_mask()

    def _show(self) -> None:
        if self._choice.image is not None:
            self._canvas.set_source(data_address(enlarged(self._choice.image)))
        self._show_mask()

    def _show_mask(self) -> None:
        self._canvas.set_content(mask_overlay(self._mask, scale=self._scale))

    def _paint(self, event: events.MouseEventArguments) -> None:
        if event.type == "mousemove" and not event.buttons & 1:
            return
        self._mask = painted(
            self._mask,
            event.image_x,
            event.image_y,
            scale=self._scale,
            brush=round(_value(self._brush)),
            known=not self._hides.value,
        )
        self._show_mask()

    async def _fill(self) -> None:
        image, mask, first = self._choice.image, self._mask, _whole(self._seed)
        if image is None:
            self._work.say("Take an image first.")
            return
        seeds = range(first, first + _SOLUTIONS)
        filled = await self._work.result(lambda: self._model.fill_in(image, mask, seeds))
        if filled is not None:
            hidden = np.where(mask[..., None], image, 0.5)
            self._answer.set_source(grid_address(np.stack([hidden, *filled]), _SOLUTIONS + 1))
            last = seeds[-1]
            self._caption.text = (
                f"What is known, and {_SOLUTIONS} ways to fill in {int((~mask).sum())} of "
                f"{mask.size} pixels, seeds {first} to {last}."
            )


class _DenoiseTab:
    """Removes noise from an image, and says how much of it there is."""

    def __init__(self, model: Model, comparison: Comparison):
        self._model = model
        self._choice = _Choice(model, comparison, self._show)
        ui.label("Noise that is added, standard deviation (white is 1); 0 for an image as it is.")
        with ui.row().classes("items-center"):
            self._added = ui.slider(min=0, max=1, step=0.05, value=0.3).classes("added w-64")
            self._added.props("label-always")
            self._seed = _number("Seed of the noise", 0)
        self._work = _Work("Denoise", self._denoise)
        self._answer = _picture("denoised-picture").style("max-width: 32rem")
        self._caption = ui.label().classes("caption")

    def _show(self) -> None:
        if self._choice.image is not None:
            self._answer.set_source(grid_address(self._choice.image[None]))
            self._caption.text = ""

    async def _denoise(self) -> None:
        image, level, seed = self._choice.image, _value(self._added), _whole(self._seed)
        if image is None:
            self._work.say("Take an image first.")
            return
        noisy = add_noise(image[None], level, seed)
        denoised = await self._work.result(lambda: self._model.denoise(noisy))
        if denoised is not None:
            found = float(noise_level(tf.constant(noisy), tf.constant(denoised))[0])
            self._answer.set_source(grid_address(np.stack([image, noisy[0], denoised[0]]), 3))
            self._caption.text = (
                f"The image, with noise of {level:.2f}, denoised. "
                f"Noise level that the model finds: {found:.3f}"
            )


class _EnergyTab:
    """Compares the energy of an image with those of many others."""

    def __init__(self, model: Model, comparison: Comparison):
        self._model, self._energies = model, comparison.energies
        self._choice = _Choice(model, comparison, self._show)
        self._image = _picture("energy-image").style("max-width: 10rem")
        self._work = _Work("Energy", self._measure)
        self._caption = ui.label().classes("caption")
        self._plot = _picture("histogram").style("max-width: 40rem")
        self._show()

    def _show(self) -> None:
        if self._choice.image is not None:
            self._image.set_source(data_address(enlarged(self._choice.image)))
            self._caption.text = ""

    async def _measure(self) -> None:
        image = self._choice.image
        if image is None:
            self._work.say("Take an image first.")
            return
        energy = await self._work.result(lambda: float(self._model.energy(image[None])[0]))
        if energy is None:
            return
        self._caption.text = rank_sentence(energy, self._energies)
        if self._energies:
            picture = histograms(self._energies, "energy E(x)", {"this image": energy})
            self._plot.set_source(data_address(picture))


def _picture(name: str) -> ui.image:
    """A place for a picture, which appears at once; a film of them does not flicker."""
    return ui.image().classes(name).props("no-transition no-spinner")


def _number(
    label: str,
    value: int,
    on_enter: Callable[[], Any] | None = None,
    *,
    smallest: int = 0,
    largest: int = MAX_SEED // 2**10,
) -> ui.number:
    """A field for a whole number; what is outside its range is moved to the range's end."""
    field = ui.number(label, value=value, min=smallest, max=largest, precision=0)
    if on_enter is not None:
        field.on("keydown.enter", on_enter)
    return field


def _value(slider: ui.slider) -> float:
    """The number at which a slider stands."""
    return float(slider.value or 0)


def _whole(field: ui.number) -> int:
    """The number in a field; the smallest that it takes where it is empty."""
    value = field.min if field.value is None else field.value
    return int(min(max(value, field.min), field.max))
