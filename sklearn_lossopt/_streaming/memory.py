"""What a stream keeps of its rows, for an estimate of the objective of all of them."""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sklearn_lossopt._linalg import MATRIX_SIZE, extended, row_sums
from sklearn_lossopt._streaming.correction import PARTS, Correction, NewtonStep, kept_part, stepped
from sklearn_lossopt._streaming.estimate import Estimate, QuadraticSum, first_constant
from sklearn_lossopt._streaming.reservoir import Reservoir, capacity
from sklearn_lossopt._streaming.rounded import RoundedLoss
from sklearn_lossopt._training.state import altered

# A correction comes when the rows seen have grown by one part in so many.
GROWTH = 8
# Or when the estimate has risen by this part of what the model gains over the best constant, and
# by so many standard errors of what came: these rows are not like those before.
RISE, RISE_NOISE = 0.05, 2.0
# Passes are judged when the rows seen have grown by one part in so many, or where a chunk's
# objective is so many times the estimate.
LOOK, ODD = 16, 2.0
# A correction's curvature serves until the rows seen are so many times as many.
CURVED = 4
# Rows of small chunks that wait to be taken in together, at most.
WAITING = 512
# Numbers in the models of all outputs, at most.
MODEL_SIZE = 2_000_000


def is_quadratic(loss):
    """Whether a row's quadratic model is its loss, wherever it starts from."""
    return loss.smooth and math.isinf(loss._trust_radius(1.0))


@dataclass
class Memory:
    """Rows kept of a stream, and the sum of the quadratic models of rows not kept; arrays are
    replaced, not changed.

    Parameters
    ----------
    identity : tuple
        What the rows belong to: loss, kind and intercept.
    unit : float
        That weights are divided by.
    reservoir : Reservoir or None
        None where the models are the loss.
    models : QuadraticSum or None
    rows : int
        Rows seen.
    mass : float
        Their weights.
    incumbent : tuple of ndarray (k, d), (k,), or None
        The last correction's coefficients and intercepts, from which models start.
    rounding : tuple of (float, ndarray of shape (k,)), or None
        The width over which the last correction rounded breakpoints off, and the curvature of
        models; None for each row's own.
    due : int
        The number of rows at which the next correction comes.
    doubled : int
        The number of rows at which the best constant was last looked at; 0 to look again.
    taken : int
        Rows that have been taken in: kept or not, and their models added.
    waiting : tuple of tuple of ndarray (n, d), (n, k) or (n,), (n,)
        Rows, targets and weights of the last chunks, which have not.
    value, gap, spread : float
        Of the last correction: the estimate, how far it was below the best constant's, and the
        standard deviation of the kept rows' losses.
    corrected : int
        The number of rows at the last correction.
    judged : tuple of ndarray (k, d), (k,), or None
        The model after the pass that was judged last.
    look : int
        The number of rows at which the next pass is judged.
    step : NewtonStep or None
        With the curvature of the last correction that looked at it; None to look again.
    shift : ndarray of shape (d,) or None
        Of the rows that it is for.
    curved : int
        The number of rows then.
    """

    identity: tuple
    unit: float
    reservoir: Reservoir | None
    models: QuadraticSum | None = None
    rows: int = 0
    mass: float = 0.0
    incumbent: tuple | None = None
    rounding: tuple | None = None
    due: int = 0
    doubled: int = 0
    taken: int = 0
    waiting: tuple = ()
    value: float = math.inf
    gap: float = 0.0
    spread: float = 0.0
    corrected: int = 0
    judged: tuple | None = None
    look: int = 0
    step: NewtonStep | None = None
    shift: np.ndarray | None = None
    curved: int = 0

    @classmethod
    def of_first_chunk(cls, objective, weight, identity, seed):
        unit = 1.0 if weight is None else float(np.mean(weight[weight > 0]))
        reservoir = None
        if not is_quadratic(objective.loss):
            reservoir = Reservoir.empty(objective, seed)
        return cls(identity, unit, reservoir)

    def for_loss(self, objective, identity):
        """The rows for another loss; None where they have not been kept."""
        same_rows = identity[1:] == self.identity[1:]
        if not same_rows or self.reservoir is None or is_quadratic(objective.loss):
            return None
        return altered(
            self, identity=identity, models=None, reservoir=self.reservoir.without_models(),
            rounding=None, value=math.inf, look=0, step=None,
        )  # fmt: skip

    def kept(self, objective, weight):
        """The memory after the rows of one more chunk, which wait to be taken in."""
        mass = float(objective.n)
        if weight is not None:
            with np.errstate(over="ignore"):
                weight = weight / self.unit
                mass = float(weight.sum())
            if not math.isfinite(self.mass + mass):
                raise ValueError(
                    "sample_weight is too large beside that of the stream's first rows, about "
                    f"{self.unit:.3g}: their ratio overflows. Give weights of more equal size."
                )
        index = objective.subsample(objective.n)
        rows, target = objective.X[index], objective.target[index]
        weight = np.ones(objective.n) if weight is None else weight[index]
        if objective.n < WAITING:
            # The caller's arrays may change until they are looked at.
            rows = rows.toarray() if sparse.issparse(rows) else rows.copy()
            target = target.copy()
        return altered(
            self, rows=self.rows + objective.n, mass=self.mass + mass,
            waiting=(*self.waiting, (rows, target, weight)),
        )  # fmt: skip

    @property
    def full(self):
        """Whether no more rows can wait."""
        return sum(rows.shape[0] for rows, _, _ in self.waiting) >= WAITING

    def _chunks(self, objective):
        """The rows that wait, as (objective, weight): small chunks together, a large one alone."""
        large = [part for part in self.waiting if part[0].shape[0] >= WAITING]
        small = self.waiting[: len(self.waiting) - len(large)]
        if len(small) > 1:
            small = [tuple(np.concatenate(arrays) for arrays in zip(*small, strict=True))]
        for rows, target, weight in (*small, *large):
            yield self._objective(objective, rows, target, None), weight

    def _objective(self, objective, rows, target, weight):
        """The same objective of other rows."""
        return replace(
            objective, X=rows, target=target, weight=weight, sample_indices=None,
            cache=type(objective.cache)(),
        )  # fmt: skip

    def take_in(self, objective, models):
        """Take in the rows that wait, with their quadratic models if ``models``: what these start
        from has not changed meanwhile. Changes this memory, which must not be any other's."""
        for chunk, weight in self._chunks(objective):
            before, first, self.taken = self.reservoir, self.taken, self.taken + chunk.n
            if before is not None:
                self.reservoir = before.extended(chunk, weight)
            if models:
                self._add_models(chunk, weight, before, first)
        self.waiting = ()

    def all_kept(self, objective):
        """The rows kept, after those that wait."""
        reservoir = self.reservoir
        if reservoir is not None:
            for chunk, weight in self._chunks(objective):
                reservoir = reservoir.extended(chunk, weight)
        return reservoir

    def sample(self, objective, kept):
        """The objective of rows kept, a Reservoir."""
        weight = (kept.weight / kept.weight.mean()).astype(kept.rows.dtype)
        return self._objective(objective, kept.rows, kept.target, weight)

    def _add_models(self, chunk, weight, before, first):
        """Add the models of rows of which ``first`` is the first, unless all rows are kept, and
        the first time those of all rows before."""
        k, d = chunk.n_outputs, chunk.d
        if k * (d + 1) ** 2 > MODEL_SIZE:
            return
        if before is not None and self.taken <= capacity(d):
            return
        if not is_quadratic(chunk.loss) and self.incumbent is None:
            return
        if self.models is None and before is not None and before.seen == len(before.keys):
            self._add(self.sample(chunk, before), before.rows, before.weight[:, None], 0)
        rows = chunk.X
        rows = rows.toarray() if sparse.issparse(rows) else rows
        self._add(chunk, rows, weight[:, None], first)

    def _add(self, objective, rows, weight, first):
        """Add the models of consecutive rows of the stream, of which ``first`` is the first."""
        if self.models is None:
            shift = np.zeros(objective.d)
            if objective.fit_intercept:
                shift = rows.mean(axis=0, dtype=np.float64) if self.shift is None else self.shift
            self.models = QuadraticSum.empty(
                shift, objective.n_outputs, objective.target_kind == "class"
            )
        x = extended(rows, float(objective.fit_intercept), self.models.shift)
        y = objective.targets(objective.subsample(objective.n))
        z, value, slope, bend = self._expand(objective, x, y)
        self.models = self.models.extended(x, weight, z, value, slope, bend)
        if self.reservoir is None:
            return
        numbers = self.reservoir.numbers
        held = np.flatnonzero((numbers >= first) & (numbers < first + len(rows)))
        if len(held):
            model = self.reservoir.model.copy()
            at = numbers[held] - first
            bend = np.broadcast_to(bend, z.shape)
            model[held] = np.stack([z[at], value[at], slope[at], bend[at]], axis=1)
            self.reservoir = altered(self.reservoir, model=model)

    def _expand(self, objective, x, y):
        """The quadratic models of rows: where they start, value, slope and curvature, (n, k); or a
        curvature (1, k) of all rows."""
        k = objective.n_outputs
        z = np.zeros((len(x), k))
        if self.incumbent is not None:
            coef, intercept = self.incumbent
            z = x @ np.column_stack([coef, intercept + coef @ self.models.shift]).T
        loss = RoundedLoss(objective.loss, self.rounding[0] if self.rounding else 1.0)
        rows, slope = loss.value_and_slope(y, z)
        mean = self.rounding and self.rounding[1]
        bend = loss.curvature(y, z) if mean is None else np.asarray(mean)[None]
        value = np.zeros((len(x), k))
        value[:, 0] = rows
        if not np.isfinite(rows.sum() + slope.sum() + bend.sum()):
            far = ~np.isfinite(rows + row_sums(slope) + row_sums(bend))
            bend = np.where(far[:, None], 0.0, bend)
            for part in (z, value, slope):
                part[far] = 0.0
        return z, value, slope, bend

    def _starts(self, objective, here):
        """Models to start from; the last is where what the rows leave open stays: the best
        constant each time that the rows have doubled, and the last correction. And the constant's
        place among them, if it is there."""
        starts, place = [here], None
        if self.incumbent is None or self.rows >= 2 * self.doubled:
            self.doubled, place = self.rows, len(starts)
            rows = objective
            if self.reservoir is not None:
                rows = self.sample(objective, self.reservoir)
            starts.append((np.zeros_like(here[0]), first_constant(rows)))
        if self.incumbent is not None:
            starts.append(self.incumbent)
        return starts, place

    @property
    def judges(self):
        """Whether a pass is judged now, even if it seems to be like those before."""
        return self.rows >= self.look

    def settle(self, objective, before, after, met, bound, y_scale):
        """Judge the passes since the last time by the estimate, and correct them where that is
        due. Changes this memory.

        Parameters
        ----------
        objective : Objective
            Of the last chunk.
        before, after : tuple of ndarray (k, d), (k,)
            The models before and after the pass.
        met : float
            The chunk's objective as the pass met it.
        bound, y_scale : float
            See ``Correction``.

        Returns
        -------
        model : tuple of ndarray (k, d), (k,), float64
        length : float or None
            The part of the passes that was kept; None where they have not been judged.
        """
        usual = met <= ODD * abs(self.value) and all(np.isfinite(part).all() for part in after)
        if usual and not self.judges:
            return after, None
        self.look = self.rows + max(1, self.rows // LOOK)
        self.take_in(objective, True)
        due = self.rows >= self.due
        anew = due and (self.step is None or self.rows >= CURVED * self.curved)
        if anew and self.models is not None and self.reservoir is not None:
            shift = self.reservoir.mean() if objective.fit_intercept else self.models.shift
            self.models = self.models.moved(shift, float(objective.fit_intercept))
        shift = None if anew else self.shift
        estimate = Estimate(objective, self.reservoir, self.models, self.mass, shift)
        loss = RoundedLoss(objective.loss, 0.0)
        after = estimate.at(loss, estimate.place(*after))
        came = (self.rows - self.corrected) / self.rows**2
        rise = max(RISE * self.gap, RISE_NOISE * self.spread * math.sqrt(came))
        most = self.value + rise
        steps = due and not anew and np.array_equal(estimate.shift, self.shift)
        here, length = after, None
        if not (steps and after.value <= most):
            before = estimate.at(loss, estimate.place(*(self.judged or before)))
            # Newton's steps find more than a part of a pass.
            here, length = kept_part(before, after, PARTS[:1] if due else PARTS)
        self.judged = estimate.unshift(here.W)
        changed = not here.value <= most
        there = stepped(here, self.step, self.rounding[0]) if steps else None
        if there is not None and there.value <= most and self._models_help(there):
            self.corrected, self.value = self.rows, there.value
            self.due = self.rows + max(1, self.rows // GROWTH)
            self.judged = self.incumbent = estimate.unshift(there.W)
        elif due or changed:
            if changed:
                self.doubled = 0
            self.judged = self._corrected(objective, here, bound, y_scale)
        return self.judged, length

    def _models_help(self, there):
        """Whether models are a guide for the rows kept, where there are both."""
        return self.models is None or self.reservoir is None or there.models_help()

    def _corrected(self, objective, here, bound, y_scale):
        estimate, loss = here.estimate, here.loss
        starts, constant = self._starts(objective, estimate.unshift(here.W))
        points = [here, *(estimate.at(loss, estimate.place(*start)) for start in starts[1:])]
        first = self.incumbent is None
        correction = Correction(estimate, self.rows, bound, y_scale, first)
        W = correction.run(points, points[-1].W)
        if not (correction.credible and self._models_help(correction.end)):
            # The rows kept alone: never far off.
            self.models, self.reservoir = None, self.reservoir.without_models()
            estimate = Estimate(objective, self.reservoir, None, self.mass)
            points = [estimate.at(loss, estimate.place(*start)) for start in starts]
            correction = Correction(estimate, self.rows, bound, y_scale, first)
            W = correction.run(points, points[-1].W)
        self.incumbent = estimate.unshift(W)
        self.corrected, self.value = self.rows, correction.value
        if constant is not None and math.isfinite(correction.values[constant]):
            self.gap = max(float(correction.values[constant]) - self.value, 0.0)
        # One that gained much may have ended early.
        gained = correction.values.min() - self.value
        growth = GROWTH if gained <= RISE * self.gap else LOOK
        self.due = self.rows + max(1, self.rows // growth)
        self.spread = correction.end.spread()
        self.step, self.shift, self.curved = None, estimate.shift, self.rows
        if self.reservoir is not None:
            # Rounding off is nothing beside the error of a sample; of all rows there is none.
            sampled = self.reservoir.seen > len(self.reservoir.keys)
            if correction.step is not None and (objective.loss.smooth or sampled):
                small = correction.step.size <= capacity(objective.d) * objective.d
                self.step = correction.step if small else None
            self.rounding = correction.loss.width, correction.end.mean_curvature(correction.start)
        return self.incumbent


def remembers(objective, settings):
    """Whether rows of a stream of not too many columns are kept: for linear models whose steps are
    free to be corrected, and where the loss asks for the scale of residuals."""
    asks = any(isinstance(value, str) for value in vars(objective.loss).values())
    asks = asks or (automatic(objective, settings) and settings.precondition is not False)
    return objective.d < MATRIX_SIZE and asks


def automatic(objective, settings):
    """Whether the rates of a stream are the package's to choose. A loss whose minimiser learns
    nothing is no guide: as in fit, steps stay as they are."""
    linear = settings.network is None
    return linear and settings.schedule is None and objective.loss.learns_at_optimum
