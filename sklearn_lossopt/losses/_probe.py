"""The single checks that ``check_loss`` makes, on given targets and raw predictions."""

import numpy as np

# Steps of the finite differences, relative to 1 + |raw|.
STEP = 1e-5
# A raw prediction at which unguarded exponentials overflow.
FAR = 1000.0
# Number of rows that are followed along a line, of points on it, and of halvings of each interval
# between two points in search of a jump.
LINES, LINE_POINTS, HALVINGS = 8, 161, 36


def _columns(a):
    return a.reshape(len(a), -1)


def _shown(x):
    if np.ndim(x):
        return np.array2string(np.asarray(x), formatter={"all": _shown}, separator=", ")
    return f"{x:.6g}"


class Probe:
    """A loss on targets y and raw predictions, in the shapes that the engine would pass."""

    def __init__(self, loss, y, raw):
        self.loss, self.y, self.raw = loss, y, raw
        self.name = f"{type(loss).__name__}.loss_gradient"
        self.value, self.gradient = self.evaluate(y, raw)
        sizes = np.abs(self.gradient[self.gradient != 0])
        # A typical slope, to which small numbers are compared.
        self.unit = float(np.median(sizes)) if sizes.size else 1.0

    def at(self, row, y=None, raw=None):
        """A row in words."""
        y, raw = self.y if y is None else y, self.raw if raw is None else raw
        return f"row {row} (y = {_shown(y[row])}, raw = {_shown(raw[row])})"

    def evaluate(self, y, raw, finite=True):
        """Values and gradient in float64, from copies in the layout that the engine passes."""
        given = np.array(y, order="F"), np.array(raw, order="F")
        with np.errstate(all="ignore"):
            try:
                result = self.loss.loss_gradient(*given)
            except NotImplementedError:
                raise
            except Exception as error:
                raise ValueError(
                    f"{self.name} raised {type(error).__name__}: {error}, for y of shape "
                    f"{y.shape} ({y.dtype}) and raw of shape {raw.shape}. {self._shapes()}"
                ) from error
        for name, before, after in (("y", y, given[0]), ("raw", raw, given[1])):
            if not np.array_equal(before, after):
                raise ValueError(
                    f"{self.name} changed its argument {name} in place, which belongs to the "
                    f"caller. Write {name} = {name} + ... instead of {name} += ..., or work on "
                    f"{name}.copy()."
                )
        return self._judged(y, raw, result, finite)

    def _judged(self, y, raw, result, finite):
        if not isinstance(result, tuple) or len(result) != 2:
            raise ValueError(
                f"{self.name} returned {type(result).__name__}; a tuple of two arrays, value and "
                "gradient, is needed."
            )
        for what, array, shape in (
            ("values", result[0], raw.shape[:1]),
            ("a gradient", result[1], raw.shape),
        ):
            if np.shape(array) != shape:
                raise ValueError(
                    f"{self.name} returned {what} of shape {np.shape(array)} for y of shape "
                    f"{y.shape} and raw of shape {raw.shape}; shape {shape} is needed. "
                    f"{self._shapes()}"
                )
        value, gradient = (np.array(array, np.float64) for array in result)
        bad = np.isnan(value) | np.isnan(_columns(gradient)).any(axis=1)
        if finite:
            bad |= ~(np.isfinite(value) & np.isfinite(_columns(gradient)).all(axis=1))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"{self.name} is not a number, or infinite, in {self.at(row, y, raw)}, of dtype "
                f"{raw.dtype}: value {_shown(value[row])}, gradient {_shown(gradient[row])}. Guard "
                "divisions and logarithms of 0, and overflowing exponentials: np.logaddexp and "
                "scipy.special.expit do not overflow."
            )
        return value, gradient

    def _shapes(self):
        text = "Values are one a row, (n,); the gradient has the shape of raw."
        if self.raw.ndim == 1:
            return text
        if self.y.ndim == 1:
            return (
                f"{text} With several classes, raw has one column a class and y is the class "
                "index; set the class attribute joint = False for one-vs-rest columns of -1 and 1."
            )
        return f"{text} Sum values over the columns: value.sum(axis=1)."

    def moved(self, column, by):
        """Raw predictions with one column moved by ``by`` (n,)."""
        raw = self.raw.copy()
        _columns(raw)[:, column] += by
        return raw

    def check_gradient(self):
        """Check that the gradient lies between the two one-sided differences of the value.

        At a breakpoint, any slope between those of its two sides is right.
        """
        raw, gradient = _columns(self.raw), _columns(self.gradient)
        low, high, noise = (np.empty(raw.shape) for _ in range(3))
        for c in range(raw.shape[1]):
            step = STEP * (1 + np.abs(raw[:, c]))
            up, down = (self.evaluate(self.y, self.moved(c, s))[0] for s in (step, -step))
            slopes = (up - self.value) / step, (self.value - down) / step
            low[:, c], high[:, c] = np.minimum(*slopes), np.maximum(*slopes)
            size = np.abs(up) + np.abs(down) + np.abs(self.value)
            noise[:, c] = 1e-5 * np.abs(slopes).max(axis=0) + 1e-14 * size / step
        slope = (low + high) / 2
        # A gradient of zeros has no size, so differences give it.
        unit = self.unit if self.gradient.any() else float(np.median(np.abs(slope))) or 1.0
        excess = np.maximum(low - gradient, gradient - high) - noise - 1e-6 * unit
        if (excess <= 0).all():
            return
        row, c = np.unravel_index(excess.argmax(), excess.shape)
        where = self.at(row) + (f", column {c}" if self.raw.ndim == 2 else "")
        steep = np.abs(slope) > 1e-3 * np.abs(slope).max()
        ratio = gradient[steep] / slope[steep]
        hint = ""
        if ratio.any() and np.ptp(ratio) <= 1e-3 * np.abs(ratio).max():
            hint = f" In every row it is {_shown(ratio.mean())} times that."
            if abs(ratio.mean() + 1) < 1e-3:
                hint = " Its sign is the opposite: the derivative is with respect to raw, not y."
        raise ValueError(
            f"{self.name}: the gradient is not the derivative of the value in {where}. The value "
            f"there is {_shown(self.value[row])}; the gradient claims a slope of "
            f"{_shown(gradient[row, c])}, finite differences of the value give "
            f"{_shown(slope[row, c])}.{hint} Correct the formula of one of the two."
        )

    def check_rows(self, rng):
        """Check that no row depends on other rows or on their order."""
        n = len(self.raw)
        order = rng.permutation(n)
        for index in (order, order[: max(1, n // 2)], order[:1], order[-1:]):
            value, gradient = self.evaluate(self.y[index], self.raw[index])
            for what, found, expected in (
                ("value", value, self.value[index]),
                ("gradient", gradient, self.gradient[index]),
            ):
                error = _columns(np.abs(found - expected))
                size = np.abs(_columns(expected)) + self.unit * (1 + np.abs(self.raw).max())
                bad = np.flatnonzero((error > 1e-9 * size).any(axis=1))
                if not bad.size:
                    continue
                i = bad[0]
                raise ValueError(
                    f"{self.name}: the {what} of {self.at(index[i])} depends on the other rows: "
                    f"it is {_shown(expected[i])} in a batch of {n} rows and {_shown(found[i])} in "
                    f"one of {len(index)}. Leave out means and sums over rows (axis 0), and random "
                    "numbers; the engine averages."
                )

    def check_columns(self):
        """Check that the columns of a loss that is not joint are independent."""
        if self.raw.ndim == 1 or self.y.ndim == 1:
            return
        value = np.zeros(len(self.raw))
        for c in range(self.raw.shape[1]):
            part, slope = self.evaluate(self.y[:, c], self.raw[:, c])
            value += part
            error = np.abs(slope - self.gradient[:, c])
            row = error.argmax()
            if error[row] > 1e-9 * (np.abs(slope[row]) + self.unit):
                raise ValueError(
                    f"{self.name}: the gradient of {self.at(row)} is "
                    f"{_shown(self.gradient[row, c])} in column {c}, but {_shown(slope[row])} "
                    "where that column is passed alone. Several columns are separate targets, "
                    "whose losses add up."
                )
        row = np.abs(value - self.value).argmax()
        if abs(value[row] - self.value[row]) > 1e-9 * (abs(value[row]) + self.unit):
            raise ValueError(
                f"{self.name}: the value of {self.at(row)} is {_shown(self.value[row])}, but its "
                f"columns, passed one by one, add up to {_shown(value[row])}. Sum values over the "
                "columns: value.sum(axis=1)."
            )

    def check_float32(self):
        """Check that float32 gives the same result, to its precision."""
        y = self.y if self.y.dtype.kind == "i" else self.y.astype(np.float32)
        raw = self.raw.astype(np.float32)
        value, gradient = self.evaluate(y, raw)
        wide = self.y if y is self.y else y.astype(np.float64)
        exact_value, exact = self.evaluate(wide, raw.astype(np.float64))
        # Rounding may move a row across a breakpoint.
        step = 1e-4 * (1 + np.abs(raw.astype(np.float64)))
        sides = [exact, *(self.evaluate(wide, raw + s)[1] for s in (step, -step))]
        low, high = np.min(sides, axis=0), np.max(sides, axis=0)
        size = 1e-3 * (np.abs(exact) + self.unit)
        bad = ~_columns((gradient >= low - size) & (gradient <= high + size)).all(axis=1)
        slack = np.abs(exact_value) + self.unit * (1 + np.abs(_columns(raw)).sum(axis=1))
        bad |= np.abs(value - exact_value) > 1e-3 * slack
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"{self.name}: float32 gives another result in {self.at(row)}: value "
                f"{_shown(value[row])} and gradient {_shown(gradient[row])} instead of "
                f"{_shown(exact_value[row])} and {_shown(exact[row])}. Do not depend on the dtype "
                "of y and raw, and avoid differences of large numbers."
            )

    def check_far(self):
        """Check that there is no NaN far out, where too long a step may lead."""
        y = self.y[: 2 * LINES]
        signs = np.where(np.arange(self.raw[: 2 * LINES].size) % 3 < 1, -1.0, 1.0)
        for raw in (np.ones_like(signs), -np.ones_like(signs), signs):
            self.evaluate(y, FAR * raw.reshape(self.raw[: 2 * LINES].shape), finite=False)

    def follow_lines(self, rng):
        """Whether the loss is convex, and whether it is smooth, along lines.

        Raises if the gradient of a loss jumps and its class says that it is smooth.
        """
        raw = _columns(self.raw)
        a, b = raw, raw[rng.permutation(len(raw))]
        slopes = [_columns(self.evaluate(self.y, x.reshape(self.raw.shape))[1]) for x in (a, b)]
        rise = np.sum((slopes[0] - slopes[1]) * (a - b), axis=1)
        convex = bool((rise >= -1e-9 * (self.unit + np.abs(slopes).max())).all())
        jump = None
        for c in range(raw.shape[1]):
            bends, found = self._follow_line(c)
            convex, jump = convex and not bends, jump or found
        if jump and self.loss.smooth:
            raise ValueError(
                f"{self.name}: the gradient jumps {jump}, but the loss calls itself smooth. Set "
                f"the class attribute smooth = False in {type(self.loss).__name__}."
            )
        return convex, jump is None

    def _follow_line(self, column):
        """Whether the gradient falls along a column, and the place of a jump in words or None."""
        rows = np.arange(min(LINES, len(self.raw)))
        raw = _columns(self.raw)
        line = np.linspace(raw.min() - 1, raw.max() + 1, LINE_POINTS)
        index = np.repeat(rows, LINE_POINTS - 1)

        def slope(points):
            moved = self.raw[index]
            _columns(moved)[:, column] = points
            return _columns(self.evaluate(self.y[index], moved)[1])[:, column]

        low, high = np.tile(line[:-1], len(rows)), np.tile(line[1:], len(rows))
        at_low, at_high = slope(low), slope(high)
        bends = bool((at_high - at_low < -1e-9 * (np.abs(at_low) + self.unit)).any())
        # Halve every interval and keep the half with the larger change: a jump remains.
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            at_middle = slope(middle)
            left = np.abs(at_middle - at_low) > np.abs(at_high - at_middle)
            low, high = np.where(left, low, middle), np.where(left, middle, high)
            at_low = np.where(left, at_low, at_middle)
            at_high = np.where(left, at_middle, at_high)
        jump = np.abs(at_high - at_low)
        worst = int((jump / (np.abs(at_low) + np.abs(at_high) + self.unit)).argmax())
        if jump[worst] <= 1e-4 * (np.abs(at_low) + np.abs(at_high) + self.unit)[worst]:
            return bends, None
        return bends, (
            f"from {_shown(at_low[worst])} to {_shown(at_high[worst])} at raw = "
            f"{_shown(low[worst])} for y = {_shown(self.y[index[worst]])}"
        )

    def check_facts(self):
        """Check what the class states about its breakpoints and its curvature.

        Newton steps and certificates of an optimum rest on both.
        """
        raw = _columns(self.raw)
        y = _columns(self.y) if self.y.shape == self.raw.shape else self.y
        breakpoints = self.loss._breakpoints(y) if y.shape == raw.shape else None
        if breakpoints is not None:
            beside = np.ones(raw.shape, bool)
            for at, _, _ in breakpoints:
                beside &= np.abs(raw - at) > STEP * (1 + np.abs(raw))
            claimed = sum(np.where(raw < at, below, above) for at, below, above in breakpoints)
            slope = np.where(beside, _columns(self.gradient), claimed)
            self._judge("_breakpoints", "the slope", claimed, slope, slope)
        # A little further on: no row lies exactly at a jump of the curvature there.
        beyond = raw + STEP / 2 * (1 + np.abs(raw))
        curvature = self.loss._curvature(y, beyond) if self.loss.smooth else None
        if curvature is not None:
            bends = np.empty((2, *raw.shape))
            for c in range(raw.shape[1]):
                step = STEP * (1 + np.abs(raw[:, c]))
                for side, s in enumerate((step, -step)):
                    moved = _columns(self.evaluate(self.y, self.moved(c, s))[1])
                    bends[side, :, c] = (moved - _columns(self.gradient))[:, c] / s
            # Newton steps use no negative curvature.
            bends = np.maximum(bends, 0)
            claims = {"_curvature": curvature}
            if self.loss._constant_curvature is not None:
                claims["_constant_curvature"] = np.full(raw.shape, self.loss._constant_curvature)
            for fact, claimed in claims.items():
                self._judge(fact, "the second derivative", claimed, bends.min(0), bends.max(0))

    def _judge(self, method, what, claimed, low, high):
        """Raise if ``claimed`` does not lie between two arrays of its shape."""
        sizes = high[high != 0]
        unit = np.median(np.abs(sizes)) if sizes.size else 1.0
        excess = np.maximum(low - claimed, claimed - high) - 1e-3 * (np.abs(claimed) + unit)
        row, c = np.unravel_index(excess.argmax(), excess.shape)
        if excess[row, c] <= 0:
            return
        raise ValueError(
            f"{type(self.loss).__name__}.{method} does not fit {self.name}: in {self.at(row)} it "
            f"says that {what} is {_shown(claimed[row, c])} where "
            f"{_shown((low + high)[row, c] / 2)} is found. Correct one of the two."
        )
