"""Distributions of the latent z: one class each, drawn anew in training and from a seed for everything else."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from gantrain.distributed import ALONE, Alone
from gantrain.errors import ConfigError

MOST_NUMBERS = 2**26
"""Numbers that the centres of a mixture may be, 256 MiB of float32."""


class Latent(ABC):
    """A distribution of z. A subclass makes it of independent numbers from N(0, 1), and says how to be truncated.

    Args:
        dim: length of z.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    @abstractmethod
    def of_normal(self, x: Tensor) -> Tensor:
        """Return latents (n, dim) made of normal numbers x (n, dim) float32, row by row."""

    def draw(self, n: int, device: torch.device, ranks: Alone = ALONE) -> Tensor:
        """Return z (n, dim) float32 from torch's global generator of the device, or from that which all ranks share."""
        return self.of_normal(ranks.draw(torch.randn, n, self.dim, device=device))

    def fixed(self, n: int, seed: int, truncation: float | None = None) -> Tensor:
        """Return z (n, dim) float32 on the CPU, a function of the seed.

        Raises:
            ConfigError: if the distribution is not truncated.
        """
        x = torch.randn(n, self.dim, generator=torch.Generator().manual_seed(seed))
        return self.of_normal(x) if truncation is None else self.truncated(x, truncation)

    def truncated(self, x: Tensor, limit: float) -> Tensor:
        """Return truncated latents (n, dim) of normal numbers x (n, dim): less variety, better samples."""
        raise ConfigError(f"truncation={limit:g} is for normal latents; latent={type(self).__name__.lower()} has none")

    def grid(self, count: int, seed: int) -> tuple[Tensor, int | None]:
        """Return about ``count`` fixed latents for a grid, and its columns; None where the order means nothing."""
        return self.fixed(count, seed), None


class Normal(Latent):
    """z ~ N(0, I)."""

    def of_normal(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def truncated(self, x: Tensor, limit: float) -> Tensor:
        """Return z with every |z_i| ≤ ``limit``: the truncation trick of Brock et al. 2019, arXiv:1809.11096, §3.1.

        The paper draws numbers beyond the limit again. Here every number moves to the same quantile of the truncated
        distribution, so the same seed gives the same samples at every truncation, only closer to the middle.
        """
        return squeezed(x, limit)


class Truncated(Latent):
    """z ~ N(0, I) with every |z_i| ≤ ``limit``, in training too.

    Brock et al. 2019, arXiv:1809.11096, Section 3.1, truncate only when they sample.

    Args:
        dim: length of z.
        limit: in standard deviations.
    """

    def __init__(self, dim: int, limit: float) -> None:
        super().__init__(dim)
        if not isinstance(limit, int | float) or not 0 < limit < math.inf:
            raise ConfigError(f"latent.limit must be above 0, got {limit}")
        self.limit = limit

    def of_normal(self, x: Tensor) -> Tensor:
        """Move every number to the same quantile of the truncated distribution."""
        return squeezed(x, self.limit)

    def truncated(self, x: Tensor, limit: float) -> Tensor:
        """Return z with every |z_i| at most ``limit`` and at most the distribution's own."""
        return squeezed(x, min(limit, self.limit))


class Uniform(Latent):
    """z ~ U[-1, 1], each number by itself, as DCGAN (arXiv:1511.06434, Section 4) and BEGAN (arXiv:1703.10717) draw."""

    def of_normal(self, x: Tensor) -> Tensor:
        """Move every number to the same quantile of the uniform distribution."""
        z: Tensor = torch.erf(x / math.sqrt(2))
        return z


class Spherical(Latent):
    """z uniform on the sphere of radius √dim. Karras et al. 2018, arXiv:1710.10196, Appendix A.1."""

    def of_normal(self, x: Tensor) -> Tensor:
        """Divide each latent by its root mean square."""
        return x * (x.square().mean(1, keepdim=True) + 1e-12).rsqrt()


class Mixture(Latent):
    """z ~ 1/K Σ_k N(c_k, I), for data with modes: G need not tear one blob apart.

    The centres are a function of K and dim alone: on a line evenly spaced, in the plane evenly on a circle, else in
    random directions, all as far from the origin as ``spread`` says, then moved so that their mean is 0. Gurumurthy et
    al. 2017, arXiv:1706.02071 (DeLiGAN), learn the centres; these stay.

    Args:
        dim: length of z.
        components: K.
        spread: root mean square of a centre's numbers, in standard deviations; on a line the largest.
    """

    def __init__(self, dim: int, components: int, spread: float) -> None:
        super().__init__(dim)
        if type(components) is not int or not 1 <= components * dim <= MOST_NUMBERS:
            raise ConfigError(
                f"latent.components must be a whole number from 1 to {MOST_NUMBERS // dim:,}, got {components!r}"
            )
        if isinstance(spread, bool) or not isinstance(spread, int | float) or not 0 <= spread < math.inf:
            raise ConfigError(f"latent.spread must be a number, 0 or more, got {spread!r}")
        self.centers = spread * directions(components, dim)
        self.copies: dict[torch.device, Tensor] = {}  # one a device stays: a recorded turn reads it where it lies

    def of_normal(self, x: Tensor) -> Tensor:
        """Shift each latent to a centre chosen by its first number, whose place within the component is drawn from it.

        The quantile u of x_0 names the component, ⌊K u⌋; what is left of it, K u - ⌊K u⌋, is uniform again.
        """
        k = len(self.centers)
        share = torch.special.ndtr(x[:, 0].double()) * k
        component = share.floor().clamp(0, k - 1)
        left = torch.special.ndtri((share - component).clamp(1e-9, 1 - 1e-9)).to(x.dtype)
        if x.device not in self.copies:
            self.copies[x.device] = self.centers.to(x.device)
        return torch.cat([left[:, None], x[:, 1:]], 1) + self.copies[x.device][component.long()]


class Codes(Latent):
    """z = (noise, categorical codes, continuous codes), for InfoGAN. Chen et al. 2016, arXiv:1606.03657, Section 4.

    Noise is N(0, I); a categorical code is one of K, all equally likely, as K numbers of which one is 1 and the others
    0; a continuous code is U[-1, 1]. Codes stand last, in this order.

    Args:
        dim: length of z.
        categories: K of each categorical code.
        continuous: number of continuous codes.

    Raises:
        ConfigError: for a code of less than two categories, no code at all, or no room for noise.
    """

    def __init__(self, dim: int, categories: Sequence[int], continuous: int) -> None:
        super().__init__(dim)
        if not all(type(k) is int for k in (*categories, continuous)):
            raise ConfigError(
                f"latent needs whole numbers for categories and continuous, got {list(categories)}, {continuous}"
            )
        self.categories, self.continuous = tuple(categories), continuous
        if any(k < 2 for k in self.categories) or continuous < 0 or not (self.categories or continuous):
            raise ConfigError(
                f"latent needs categories of 2 or more each, or continuous codes, got {list(categories)}, {continuous}"
            )
        self.noise = dim - sum(self.categories) - continuous
        if self.noise < 1:
            raise ConfigError(
                f"architecture.latent_dim={dim} leaves no noise beside {dim - self.noise} numbers of codes; "
                f"make it {dim - self.noise + 1} or more"
            )

    def of_normal(self, x: Tensor) -> Tensor:
        """Keep the noise; the largest of a categorical code's numbers names its category."""
        return torch.cat([x[:, : self.noise], *self.codes(x)], 1)

    def truncated(self, x: Tensor, limit: float) -> Tensor:
        """Return latents whose noise is truncated; the codes stay."""
        return torch.cat([squeezed(x[:, : self.noise], limit), *self.codes(x)], 1)

    def codes(self, x: Tensor) -> list[Tensor]:
        """Return each code (n, k) of normal numbers x (n, dim)."""
        _, *each, last = x.split([self.noise, *self.categories, self.continuous], 1)
        named = [one_hot(part.argmax(1), part.shape[1]).to(x.dtype) for part in each]
        return [*named, torch.erf(last / math.sqrt(2))]

    def grid(self, count: int, seed: int) -> tuple[Tensor, int | None]:
        """Return latents with one category of the first categorical code a row; columns share everything else."""
        if not self.categories:
            return super().grid(count, seed)
        rows = self.categories[0]
        columns = -(-count // rows)
        z = self.fixed(columns, seed).repeat(rows, 1)
        own = torch.eye(rows).repeat_interleave(columns, 0)
        return torch.cat([z[:, : self.noise], own, z[:, self.noise + rows :]], 1), columns


def one_hot(index: Tensor, classes: int) -> Tensor:
    """Return (n, classes) bool, true at the index; torch's own looks at the values, which a recording must not."""
    return index[:, None] == torch.arange(classes, device=index.device)


def directions(k: int, dim: int) -> Tensor:
    """Return k points (k, dim), all different, with mean 0, whose numbers have a root mean square of about 1."""
    if dim == 1:
        return torch.linspace(-1, 1, k)[:, None] if k > 1 else torch.zeros(1, 1)
    if dim == 2:
        angle = 2 * math.pi * torch.arange(k) / k
        points = torch.stack([angle.cos(), angle.sin()], 1)
    else:
        points = torch.randn(k, dim, generator=torch.Generator().manual_seed(0))
        points = points / points.norm(dim=1, keepdim=True)
    points = math.sqrt(dim) * points
    return points - points.mean(0) if k > 1 else points


def squeezed(x: Tensor, limit: float) -> Tensor:
    """Map normal numbers to normal ones truncated at ± ``limit``, quantile to quantile."""
    share = torch.special.ndtr(x.double())
    lowest = 0.5 * math.erfc(limit / math.sqrt(2))
    moved: Tensor = torch.special.ndtri(lowest + share * (1 - 2 * lowest))
    return moved.clamp(-limit, limit).to(x.dtype)
