"""One chunk's pass of a network."""

from dataclasses import replace

import numpy as np

from sklearn_lossopt._preconditioning.network import NetworkPreconditioner
from sklearn_lossopt._streaming.chunk import ChunkFit
from sklearn_lossopt._training.defaults import network_rate, with_dropout

# Updates of a stream after which the rate begins to fall, as 1 / sqrt(t).
SLOW = 1000


class NetworkChunkFit(ChunkFit):
    """One chunk's pass of a network."""

    def _place(self, start, statistics):
        settings, seed = self.settings, self.stream.state.seed
        self.automatic = False
        if settings.learning_rate is None:
            self.settings = replace(settings, learning_rate=network_rate(settings.optimizer))
        architecture = with_dropout(settings.network, settings.precondition is False)
        preconditioner = NetworkPreconditioner(
            self.objective, settings.precondition, architecture, seed, start, statistics
        )
        self.objective = preconditioner.objective
        return preconditioner

    def _rates(self):
        if self.settings.schedule is not None:
            return super()._rates()
        rate = self.settings.learning_rate
        step = self.stream.state.updates + np.arange(self.per_call, dtype=np.float64)
        return rate / np.sqrt(1 + step / SLOW), rate
