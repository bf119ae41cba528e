"""A learned head on top of a fitted projection, for comparison in `search.py`."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tqdm import tqdm

from dift_geo.dift.projection import Projection

__all__ = ["Head", "Rows"]

Rows = NDArray[np.float32]


class Head:
    """An MLP added to a fitted projection; the network stays as it is.

    Trained by InfoNCE on squared distances (van den Oord et al. 2018).

    start: the projection, which it equals before training.
    hidden: width of the MLP.
    """

    def __init__(self, start: Projection, hidden: int = 1024) -> None:
        # in the units that the matrix is scaled to
        self.constant, self.length = start.constant, 1.0
        self.mean = torch.from_numpy(start.mean)
        self.matrix = torch.nn.Parameter(torch.from_numpy(start.matrix) / start.length)
        self.mlp = torch.nn.Sequential(
            torch.nn.Linear(start.input_dim, hidden),
            torch.nn.SiLU(),
            torch.nn.Linear(hidden, self.matrix.shape[1], bias=False),
        )
        torch.nn.init.zeros_(self.mlp[2].weight)  # it starts as the projection
        self.sharpness = torch.nn.Parameter(torch.tensor(10.0).log())

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        centred = rows - self.mean
        return centred @ self.matrix + self.mlp(8 * centred)

    def train(self, rows0: Rows, rows1: Rows, epochs: int, batch: int = 1024) -> Head:
        """Train on corresponding rows, (N, D) twice: each row's partner against all others of the
        batch, both ways.
        """
        pair = torch.from_numpy(rows0), torch.from_numpy(rows1)
        random = torch.Generator().manual_seed(0)
        steps = epochs * max(1, len(rows0) // batch)
        parameters = [self.matrix, self.sharpness, *self.mlp.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 1e-3, total_steps=steps, pct_start=0.1
        )
        for _ in tqdm(range(steps), "head", unit="step", leave=False):
            chosen = torch.randint(len(rows0), (min(batch, len(rows0)),), generator=random)
            logits = (
                -(torch.cdist(*(self(rows[chosen]) for rows in pair)) ** 2) * self.sharpness.exp()
            )
            truth = torch.arange(len(chosen))
            loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.inference_mode():
            self.length = float(self(pair[0]).square().sum(1).mean().sqrt())
        return self

    def apply(self, rows: Rows) -> Rows:
        """(N, D) -> unit rows with the constant, as `Projection.apply`."""
        with torch.inference_mode():
            out = F.pad(self(torch.from_numpy(rows)), (0, 1), value=self.constant * self.length)
            return F.normalize(out).numpy()
