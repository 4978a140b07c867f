"""Where convergence is decided: the gap wanted, the gap estimated, the certificate."""

import math

import numpy as np

from sklearn_lossopt._solvers.certificate import SMALL, Certificate

# Newton steps that are taken with the curvature of a sample of the rows.
SAMPLED_STEPS = 5
# What is left of a gap after a step with the curvature of few rows is not to be more than this.
SLOW = 0.2
# A sample's Hessian serves the next step too where the last has left no more than this (Shamanskii
# 1967).
QUICK = 0.05


class Convergence:
    """How far F may be from its optimum F*, how far it is estimated to be, and the verdict.

    Parameters
    ----------
    iterate : Iterate
    settings : Settings

    Attributes
    ----------
    start : float
        F at the start of the fit.
    gap : float
        An estimate of F - F* that can be relied on; infinite where there is none.
    estimate : float
        The last estimate, whether or not it can be relied on.
    separate : bool
        Whether the objective is the sum of those of several targets. Each then has a tolerance of
        its own: the sum says nothing about a target in small units beside one in large ones.
    warning : str or None
        What to tell the user of a fit that ends above tolerance.
    """

    def __init__(self, iterate, settings):
        self.iterate, self.settings = iterate, settings
        self.tol, self.max_iter = settings.tol, settings.max_iter
        self.eps = float(np.finfo(iterate.objective.X.dtype).eps)
        self.start = self.gap = self.estimate = math.inf
        objective, hessian = iterate.objective, iterate.preconditioner.hessian
        self.separate = objective.target_kind == "values" and objective.n_outputs > 1
        self.certificate = None if hessian is None else Certificate(hessian)
        self.newton_steps = 0
        # Whether the Hessian at hand does for the next step, and whether it is of no floor.
        self.quick = self.exact = False
        # Where the last direction leads, F there by its model, and what it promised.
        self.led = None
        # The last weights that ``objectives`` were found at.
        self.last = None
        self.warning = None
        # Where nothing estimates the gap: F to fall from, and how long it has not.
        self.best, self.waited = math.inf, None

    # -- the gap ----------------------------------------------------------------------------

    def begin(self, start):
        """Note the objective at the start."""
        self.start = start

    def target(self, value):
        """The gap at which training may end: ``tol`` times F, but not below F's rounding."""
        # A start far away must not allow any gap.
        size = max(min(self.start, abs(value)), self.iterate.preconditioner.loss_scale)
        return max(self.tol * abs(value), self.eps * size)

    def rounding(self, value):
        """By how much F of a model that is as good as ``value`` may be larger: by the gap at which
        training may end or, where that is less, by what it is if predictions are sums of terms
        that are a thousand times a typical target. Intercepts in float32 may cost more."""
        rounding = 1e3 * np.finfo(np.float64).eps * self.iterate.preconditioner.loss_scale
        if self.iterate.objective.model_dtype == np.float32:
            rounding = 1e-3 * max(abs(value), 1e-3 * self.start)
        return max(self.target(value), rounding)

    def reached(self, value):
        """Whether the gap is known to be below a tolerance that is not 0."""
        return self.tol > 0 and bool(self.gap <= self.target(value))

    def objectives(self, weights):
        """F of each output at weights (k, d + 1); in the first all of F, if it is one."""
        weights = weights.astype(np.float64)
        if self.last is None or not np.array_equal(weights, self.last[0]):
            self.last = weights, self.certificate.values(weights)
        return self.last[1]

    def allowed(self, values):
        """The gaps at which training may end, of outputs with these ``objectives``."""
        if not self.separate:
            wanted = np.full(len(values), math.inf)
            wanted[0] = self.target(float(values[0]))
            return wanted
        size = self.eps * self.iterate.objective.loss_scales()
        return np.maximum(self.tol * np.abs(values), size)

    def set_gap(self, gap):
        """Note a gap that a solver has found."""
        self.gap = gap

    def set_bounds(self, values, least):
        """Note lower bounds (k,) of outputs with these ``objectives``: the worst gap counts.

        A bound above the value itself is rounding, and bounds nothing.
        """
        rounding = (100 if self.iterate.objective.X.dtype == np.float32 else 1e7) * self.eps
        gaps = np.where(least - values > rounding * np.abs(values), math.inf, values - least)
        if len(gaps) == 1:
            self.gap = float(gaps[0])
            return
        share = np.max(gaps / self.allowed(values))
        self.gap = float(share) * self.target(float(values.sum()))

    def stalls(self, value):
        """Whether F has fallen by no more than ``tol`` times F for ``n_iter_no_change`` epochs:
        where training may end if nothing estimates the gap, but no certificate."""
        if self.tol == 0:
            return False
        self.waited = (self.waited or 0) + 1
        if value < self.best - self.tol * abs(value):
            self.best, self.waited = value, 0
        return self.waited >= self.settings.n_iter_no_change

    def newton_direction(self, floor=0.0, last=False):
        """Estimate the gap at the iterate by Newton's decrement.

        A decrement below the target is proven over all rows, or not believed.

        Parameters
        ----------
        floor : float
            Curvatures of single rows are raised to this.
        last : bool, default=False
            Whether no step will follow.

        Returns
        -------
        direction : ndarray of shape (k, d + 1), or None
            Newton's step, refined by the proof. None where the loss or the model has no
            second-order information.
        """
        iterate = self.iterate
        objective, hessian = iterate.objective, iterate.preconditioner.hessian
        if hessian is None or not objective.loss.smooth or not objective.curved:
            self.gap = math.inf
            return None
        value, before = iterate.evaluate(gradient=True), self.estimate
        target = self.target(value)
        at, certificate = (iterate.weights.astype(np.float64), iterate.gradient), self.certificate
        direction, gap, valid = hessian.newton_direction(*at, floor, self.quick and floor == 0)
        self.newton_steps += 1
        # Floors keep gaps apart that belong together.
        slow = SLOW * before if self.exact and floor == 0 else math.inf
        if self.quick and gap > slow:
            direction, gap, valid = hessian.newton_direction(*at, floor)
        late = self.newton_steps > SAMPLED_STEPS
        if (late or gap > slow) and gap > target and hessian.take_more_rows():
            # A sample as small as that does not lead to the optimum.
            direction, gap, valid = hessian.newton_direction(*at, floor)
            self.newton_steps = 0
        self.exact = floor == 0
        self.quick = certificate.sampled and floor == 0 and math.inf > QUICK * before >= gap
        if self.newton_steps > SAMPLED_STEPS and certificate.sampled:
            # The sample has not led to the optimum.
            found = certificate.newton_direction(*at, floor)
            if found is not None:
                (direction, gap), valid = found, False
        self.gap, self.estimate = gap if valid else math.inf, gap
        if valid and gap <= SMALL * target and self._as_promised(at[0], value, gap):
            self.gap = 2 * gap
        elif gap <= target:
            self.gap = math.inf
            # The decrement of a sample is itself an estimate, and a step costs less than a proof.
            near = last or not certificate.sampled or not SLOW * before > gap > 0.5 * target
            sure = valid or floor == 0
            bound = certificate.without_rows(at[1], direction, target) if sure else math.inf
            if bound <= target:
                self.gap = bound
            elif near and sure:
                share, direction = certificate.prove(*at, direction, self.allowed)
                self.gap = share * target
                if not share < math.inf:
                    hessian.take_more_rows()
        self.led = hessian.product = None
        if floor == 0 and objective.l1 == 0 and certificate.sampled and not hessian.iterated:
            self.led = at[0] + direction, value - gap, gap
        return direction

    def _as_promised(self, weights, value, gap):
        """Whether the last direction, of the curvature of a sample, has led to these weights, and F
        of all rows and its gradient there are what it promised, so that the sample's curvature is
        theirs.

        The rows' slopes here are dual variables. Their gap is 0 here, and all that they lack is
        the gradient; so this proves as much as a pass over the rows that is made for it.
        """
        if self.led is None or self.separate or self.iterate.objective.X.dtype != np.float64:
            return False
        end, expected, promised = self.led
        kept = max(gap, abs(value - expected)) <= QUICK * promised
        return kept and np.array_equal(weights, end)

    # -- the verdict ------------------------------------------------------------------------

    def conclude(self, curve, returned, stopped, exhausted, corrected):
        """Whether the optimum is certified when a fit ends; sets ``warning`` where it should be.

        Parameters
        ----------
        curve : list of float
            F after each epoch.
        returned : int
            The epoch whose weights the fit returns, counted from 1.
        stopped : bool
            Whether validation or a callback has ended the fit.
        exhausted : bool
            Whether the strategy had nothing more to try.
        corrected : bool
            Whether a corrector has estimated the gap on the way.
        """
        value = curve[-1]
        reached = self.reached(value)
        if returned < len(curve):
            if not (stopped or exhausted or reached or self.tol == 0):
                self.warning = (
                    f"Validation had not stopped training after max_iter={self.max_iter} "
                    f"epochs; it was best after epoch {returned}. Increase max_iter."
                )
            return False
        if stopped:
            return reached
        if not corrected:
            return self._certify(value, len(curve), corrected)
        if self.tol > 0 and not reached:
            self._warn(value, len(curve), corrected)
        return reached

    def survives_rounding(self, value, before, converged):
        """Whether the model that is returned, with this F, is as good as the weights in training
        that have ``converged``, with F ``before``. Sets ``warning`` where it should be.

        Its intercept is that of columns that are not centred, and rounding it can cost what
        training has gained.
        """
        if converged and value - before > self.rounding(before):
            self.gap = value - before
            self._warn(value, 0, True)
            return False
        return converged

    def _certify(self, value, epochs, corrected):
        """Estimate the gap at the final weights; returns whether it is below tolerance."""
        if self.tol == 0:
            return False
        if self.iterate.preconditioner.hessian is None:
            falling = self.waited is not None and self.waited < self.settings.n_iter_no_change
            if falling and epochs >= self.max_iter:
                self.warning = (
                    f"Training ended after max_iter={self.max_iter} iterations, while the "
                    f"objective, now {value:.6g}, still fell by more than tol={self.tol:g} of it. "
                    "Increase max_iter, or use a larger tol."
                )
            return False
        if not self.iterate.objective.loss.learns_at_optimum:
            # No loss is below 0: with all rows right and no penalty there is no more to find.
            found = value == 0 and bool(self.iterate.weights[:, :-1].any())
            if self.iterate.objective.in_partitions and not found:
                self.warning = (
                    "The model is that of an even sample of the rows: this loss has no optimum to "
                    "look for on all of them. Use another, such as 'hinge', or partial_fit, which "
                    "trains on all rows."
                )
            return found
        hessian = self.iterate.preconditioner.hessian
        few = hessian.of_few_rows
        self.newton_direction(last=True)
        if self.gap > self.target(value) and few:
            hessian.take_more_rows()
            self.newton_direction(last=True)
        if self.gap <= self.target(value):
            return True
        self._warn(value, epochs, corrected)
        return False

    def _warn(self, value, epochs, corrected):
        gap = "cannot be estimated here"
        estimate = min(self.gap, self.estimate)
        if math.isfinite(estimate):
            gap = f"is estimated at {estimate:.2g}, {estimate / max(abs(value), 1e-300):.1e} of it"
            if estimate < self.gap:
                gap += " or more"
        self.warning = (
            f"Training stopped above tolerance: the objective is {value:.6g} and its distance to "
            f"the optimum {gap} (tol={self.tol:g}). {self._advice(epochs, corrected)}"
        )

    def _advice(self, epochs, corrected):
        """What a fit that ended above its tolerance can do about it, by the cause."""
        settings, dtype = self.settings, self.iterate.objective.X.dtype
        remedies = []
        if epochs >= self.max_iter:
            remedies.append(f"increase max_iter (now {self.max_iter})")
        given = [f"{name}='auto'" for name in settings.not_auto]
        if given:
            remedies.append(f"use {' and '.join(given)}")
        if remedies:
            text = ", or ".join(remedies)
            return f"{text[0].upper()}{text[1:]}."
        if not corrected and self.iterate.objective.in_partitions:
            return (
                "The model is the optimum of an even sample of the rows: for this loss with an L1 "
                "penalty on so many columns that of all rows in partitions is not looked for. Use "
                "l1_ratio=0, a smooth loss, or fewer columns."
            )
        if not corrected:
            return (
                f"It ended after {epochs} epochs because steps made no more progress. No "
                "certificate of the optimum exists for this loss on data of this size and kind: "
                "compare with another random_state."
            )
        text = f"It ended because no step lowers the objective any further in {dtype}."
        if dtype == np.float32:
            return f"{text} Pass X as float64, or use a larger tol."
        return f"{text} Scale columns of very different sizes, increase alpha, or use a larger tol."
