"""The paper's networks, loss and Langevin step in PyTorch, in that framework's usual style.

This is our own code; it shares the mathematics with tf_mdsm, and no code.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.cost.peers.case import Case
from tf_mdsm.networks.architectures import RESNET_STAGES
from tf_mdsm.system.cpu_tuning import keep_freed_memory

__all__ = ["MODES", "EnergyNetwork", "prepare"]

# Eager and compiled, each in PyTorch's own layout of images and in the one that its CPU library
# prefers ("channels last"). The compiled modes use `torch.func.grad` for the inner gradient: the
# compiler does not differentiate `torch.autograd.grad` twice. The last mode also keeps
# freed memory, as tf_mdsm does.
MODES = (
    "eager",
    "eager, channels last",
    "compiled",
    "compiled, channels last",
    "eager, channels last, memory kept",
)


class Block(nn.Module):
    """ELU, 3x3 conv, ELU, 3x3 conv, and a 1x1 shortcut; with `halve` both are averaged 2x2."""

    def __init__(self, channels_in: int, channels_out: int, halve: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)
        self.halve = halve

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(functional.elu(self.conv1(functional.elu(x))))
        if self.halve:
            x, y = functional.avg_pool2d(x, 2), functional.avg_pool2d(y, 2)
        return y + self.shortcut(x)


class EnergyNetwork(nn.Module):
    """Images [B, C, H, W] to energies [B], with the quadratic head."""

    def __init__(self, case: Case):
        super().__init__()
        height, width, colors = case.image_shape
        self.stem = nn.Conv2d(colors, case.channels, 3, padding=1)
        blocks, filters = [], case.channels
        for extra_blocks in RESNET_STAGES[case.network]:
            blocks.append(Block(filters, 2 * filters, halve=True))
            filters *= 2
            blocks += [Block(filters, filters, halve=False) for _ in range(extra_blocks)]
        self.blocks = nn.Sequential(*blocks)
        factor = 2 ** len(RESNET_STAGES[case.network])
        size = filters * (height // factor) * (width // factor)
        self.linear1, self.linear2, self.square = (nn.Linear(size, 1) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.blocks(self.stem(x)).flatten(1)
        energy = self.linear1(h) * self.linear2(h) + self.square(h * h)
        return energy.squeeze(1)


def loss_by_autograd(network, clean, noisy, sigma, sigma0: float) -> torch.Tensor:
    """The normalized loss divided by sigma0^4; inner gradient by `torch.autograd.grad`."""
    noisy = noisy.requires_grad_()
    (gradient,) = torch.autograd.grad(network(noisy).sum(), noisy, create_graph=True)
    return _loss(gradient, clean, noisy, sigma, sigma0)


def loss_by_function(network, clean, noisy, sigma, sigma0: float) -> torch.Tensor:
    """The normalized loss divided by sigma0^4; inner gradient by `torch.func.grad`."""
    gradient = torch.func.grad(lambda x: network(x).sum())(noisy)
    return _loss(gradient, clean, noisy, sigma, sigma0)


def _loss(gradient, clean, noisy, sigma, sigma0: float) -> torch.Tensor:
    residual = clean - noisy + sigma0**2 * gradient
    each = residual.square().sum((1, 2, 3)) / sigma**2
    return each.mean() / sigma0**4


def prepare(case: Case, mode: str) -> dict[str, Callable[[int], None]]:
    """Jobs "train" and "langevin": functions that take a number of steps."""
    if mode.endswith("memory kept"):
        keep_freed_memory()
    torch.manual_seed(0)
    network = EnergyNetwork(case)
    height, width, colors = case.image_shape
    images = torch.rand(case.batch_size, colors, height, width)
    if "channels last" in mode:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    is_compiled = mode.startswith("compiled")
    return {
        "train": _training_job(case, network, images, is_compiled),
        "langevin": _langevin_job(case, network, images, is_compiled),
    }


def _training_job(
    case: Case, network: EnergyNetwork, images: torch.Tensor, is_compiled: bool
) -> Callable[[int], None]:
    loss_fn = loss_by_function if is_compiled else loss_by_autograd
    optimizer = torch.optim.Adam(
        network.parameters(), case.learning_rate, (case.beta_1, case.beta_2), case.epsilon
    )
    levels = torch.logspace(-1, 0.4771, case.batch_size)

    def compute_loss(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        return loss_fn(network, clean, noisy, levels, case.sigma0)

    if is_compiled:
        compute_loss = torch.compile(compute_loss)

    def train(steps: int) -> None:
        for _ in range(steps):
            noise = torch.randn_like(images)
            noisy = images + levels[:, None, None, None] * noise
            optimizer.zero_grad(set_to_none=True)
            compute_loss(images, noisy).backward()
            optimizer.step()

    return train


def _langevin_job(
    case: Case, network: EnergyNetwork, images: torch.Tensor, is_compiled: bool
) -> Callable[[int], None]:
    def energy_gradient(x: torch.Tensor) -> torch.Tensor:
        if is_compiled:
            return torch.func.grad(lambda y: network(y).sum())(x)
        x = x.detach().requires_grad_()
        return torch.autograd.grad(network(x).sum(), x)[0]

    if is_compiled:
        energy_gradient = torch.compile(energy_gradient)
    state, step_size = {"x": images.clone()}, case.langevin_step_size

    def langevin(steps: int) -> None:
        network.requires_grad_(False)
        with torch.enable_grad() if not is_compiled else torch.no_grad():
            for _ in range(steps):
                noise = torch.randn_like(state["x"])
                drift = 0.5 * step_size**2 * energy_gradient(state["x"])
                state["x"] = (
                    state["x"] - drift + step_size * case.temperature**0.5 * noise
                ).detach()
        network.requires_grad_(True)

    return langevin
