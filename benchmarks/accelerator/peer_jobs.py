"""The peers on an accelerator: the same steps in PyTorch and JAX, and plain convolutions.

    python -m benchmarks.accelerator.peer_jobs KIND:CASE[:MODE] SECONDS

The peers' code is that of benchmarks/cost/peers, with the accelerator as PyTorch's default device.
"""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable

from benchmarks.accelerator.findings import summary, tell, time_in_turns
from benchmarks.cost.peers.case import Case

__all__ = ["TORCH_MODES", "run_job"]

CASES = {
    "small": Case("res6", 4, (32, 32, 1), 16),
    "res12": Case("res12", 64, (32, 32, 1), 128),
    "res12_batch_512": Case("res12", 64, (32, 32, 1), 512),
    "res18": Case("res18", 128, (32, 32, 3), 128),
}
# Images of a Langevin step.
_CHAIN_IMAGES = {"small": 100, "res12": 1_000}

# Modes of the peer in benchmarks/cost/peers/pytorch.py, TensorFloat-32, bfloat16.
TORCH_MODES = {
    "eager, no TF32": ("eager", False, False),
    "eager": ("eager", True, False),
    "eager, channels last": ("eager, channels last", True, False),
    "eager, channels last, bfloat16": ("eager, channels last", True, True),
    "compiled": ("compiled", True, False),
    "compiled, channels last": ("compiled, channels last", True, False),
    "compiled, channels last, bfloat16": ("compiled, channels last", True, True),
}

# Plain 3x3 convolutions: images, side, channels in and out.
_CONVOLUTIONS = ((512, 32, 64), (512, 16, 128), (512, 16, 256), (512, 8, 512), (128, 32, 256))


def run_job(argv: list[str]) -> int:
    """Runs the job; returns 0."""
    kind, case, *mode = argv[0].split(":")
    deadline = time.monotonic() + float(argv[1])
    if kind == "pytorch":
        _pytorch(case, mode[0])
    elif kind == "jax":
        _jax(case)
    else:
        _convolutions(deadline)
    return 0


def _pytorch(case: str, mode: str) -> None:
    import torch

    from benchmarks.cost.peers import pytorch

    on_gpu = torch.cuda.is_available()
    torch.set_default_device("cuda" if on_gpu else "cpu")
    peer_mode, has_tf32, is_bfloat16 = TORCH_MODES[mode]
    _set_tf32(has_tf32)
    torch.backends.cudnn.benchmark = True
    cast = torch.autocast("cuda" if on_gpu else "cpu", torch.bfloat16, enabled=is_bfloat16)
    with cast:
        _time_jobs(case, lambda c: pytorch.prepare(c, peer_mode), _synchronize)


def _set_tf32(allowed: bool) -> None:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _jax(case: str) -> None:
    from benchmarks.cost.peers import jax_peer

    _time_jobs(case, lambda c: jax_peer.prepare(c, "jit"), lambda: None)


def _time_jobs(
    case: str, prepare: Callable[[Case], dict[str, Callable]], wait: Callable[[], None]
) -> None:
    """Times the training step of a case, and its Langevin step with more images."""
    chain = dataclasses.replace(CASES[case], batch_size=_CHAIN_IMAGES.get(case, 0))
    for job, settings in (("train", CASES[case]), ("langevin", chain)):
        if not settings.batch_size:
            continue
        run = prepare(settings)[job]

        def steps(count: int, run: Callable = run) -> None:
            run(count)
            wait()

        tell(job=job, images=settings.batch_size, **summary(time_in_turns(steps)))


def _convolutions(deadline: float) -> None:
    """The rate of plain convolutions in float32 without and with TF32, and in bfloat16."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tell(torch=torch.__version__, device=str(device))
    for count, side, channels in _CONVOLUTIONS:
        for name, has_tf32, dtype in (
            ("float32", False, torch.float32),
            ("TF32", True, torch.float32),
            ("bfloat16", True, torch.bfloat16),
        ):
            if time.monotonic() > deadline:
                return
            _set_tf32(has_tf32)
            torch.backends.cudnn.benchmark = True
            with contextlib.suppress(RuntimeError):
                _time_convolution(device, dtype, name, (count, side, channels))


def _time_convolution(device, dtype, name: str, sizes: tuple[int, int, int]) -> None:
    import torch

    count, side, channels = sizes
    shape = (count, channels, side, side)
    layout = {"memory_format": torch.channels_last}
    images = torch.randn(shape, device=device, dtype=dtype).to(**layout)
    kernel = torch.randn((channels, channels, 3, 3), device=device, dtype=dtype).to(**layout)

    def run(calls: int) -> None:
        for _ in range(calls):
            torch.nn.functional.conv2d(images, kernel, padding=1)
        _synchronize()

    seconds = summary(time_in_turns(run))
    flops = 2.0 * count * side**2 * 9 * channels**2
    tell(
        convolution=f"{count}x{side}x{side}x{channels}",
        arithmetic=name,
        **seconds,
        tera_flops=flops / seconds["milliseconds"] / 1e9,
    )


if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:]))
