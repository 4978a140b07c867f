"""verbose: lines that say how far a fit is."""

import time
from threading import Event, Thread

# After so long without a line, one says how far the epoch is.
MAX_SILENT_SECONDS = 5.0


class ProgressPrinter:
    """Prints a line per epoch, and one now and then while an epoch takes long.

    A context: lines within epochs are printed by a thread that lives as long as it.

    Parameters
    ----------
    settings : Settings
    iterate : Iterate
    curve : list of float
        F after each epoch so far.
    """

    def __init__(self, settings, iterate, curve):
        self.settings, self.iterate, self.curve = settings, iterate, curve
        self.start = self.last = self.began = time.monotonic()
        self.steps = 0
        self.thread, self.over = None, Event()

    def __enter__(self):
        self.thread = Thread(target=self._tick, daemon=True)
        self.thread.start()

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()

    def begin(self):
        """An epoch begins."""
        self.began = time.monotonic()
        self.steps = int(self.iterate.state.steps[0])

    def end(self, rate, validation):
        """An epoch has ended; ``validation`` is the curve of validation."""
        curve, now = self.curve, time.monotonic()
        parts = [f"{self.settings.name}epoch {len(curve):4d}  objective {curve[-1]:.8g}"]
        if validation:
            parts.append(f"validation {validation[-1]:.6g}")
        parts.append(f"rate {rate:.3g}")
        if self.settings.verbose > 1:
            parts.append(f"batch {self.iterate.trainer.batch_size}")
            parts.append(f"{now - self.began:.2g} s")
        if now - self.start > MAX_SILENT_SECONDS:
            parts.append(self._time(now, len(curve)))
        self._print("  ".join(parts), now)

    def _tick(self):
        while not self.over.wait(max(0.01, self.last + MAX_SILENT_SECONDS - time.monotonic())):
            now = time.monotonic()
            if now - self.last < MAX_SILENT_SECONDS:
                continue
            iterate, done = self.iterate, len(self.curve)
            updates = int(iterate.state.steps[0]) - self.steps
            share = updates * iterate.trainer.batch_size / iterate.objective.n
            share = min(1.0, max(0.0, share))
            self._print(
                f"{self.settings.name}epoch {done + 1:4d}  {share:.0%} done  "
                f"{self._time(now, done + share)}",
                now,
            )

    def _time(self, now, done):
        """How long the epochs that are done took, and at most how long the others will."""
        spent = now - self.start
        text = f"{format_duration(spent)} so far"
        if done > 0:
            left = spent / done * (self.settings.max_iter - done)
            text += f", at most {format_duration(left)} left"
        return text

    def _print(self, line, now):
        self.last = now
        print(line, flush=True)


def format_duration(seconds):
    """Seconds, minutes or hours, whichever is readable."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
