"""Processes that check cases, and may crash or hang."""

import multiprocessing
import time

from fuzz.oracles import check


def serve(pipe, seconds):
    """Answer cases with their failures, in a process of its own, until the pipe is closed."""
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        try:
            found = check(case, seconds)
        except Exception as error:
            found = [(f"the fuzz itself: {type(error).__name__}: {error}"[:120], "")], None
        pipe.send(found)


class Worker:
    """A process that checks cases one by one, and is replaced if one kills or blocks it.

    Parameters
    ----------
    seconds : float
        Limit of time per case.
    """

    def __init__(self, seconds):
        self.seconds = seconds
        self.start()

    def start(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, self.seconds), daemon=True)
        self.process.start()
        other.close()

    def send(self, case):
        self.deadline = time.monotonic() + 15 * self.seconds  # of a process that may have to wait
        self.pipe.send(case)

    def answer(self):
        """What came of the case, or None if it is not known yet."""
        if self.pipe.poll(0.02):
            try:
                return self.pipe.recv()
            except (EOFError, ConnectionResetError):
                self.process.join()
                code = self.process.exitcode
                self.start()
                return [(f"crash: exit code {code}", "")], None
        if time.monotonic() > self.deadline:
            self.process.kill()
            self.process.join()
            self.start()
            return [("hang that no signal ends", "")], None
        return None

    def run(self, case):
        """Check one case and wait for the answer."""
        self.send(case)
        while (found := self.answer()) is None:
            pass
        return found


def run_all(todo, jobs, seconds):
    """Yield each case with its failures and refusal, as they come; prints progress."""
    workers = [Worker(seconds) for _ in range(jobs)]
    queue, done, failed, start = iter(todo), 0, 0, time.monotonic()
    busy = {}
    shown = start
    while True:
        for worker in workers:
            if worker not in busy:
                case = next(queue, None)
                if case is not None:
                    worker.send(case)
                    busy[worker] = case
        if not busy:
            break
        for worker in list(busy):
            found = worker.answer()
            if found is not None:
                done, failed = done + 1, failed + bool(found[0])
                yield (busy.pop(worker), *found)
        if time.monotonic() - shown > 15:
            shown = time.monotonic()
            print(f"[{shown - start:5.0f} s] {done} cases, {failed} failed", flush=True)
    for worker in workers:
        worker.process.terminate()
