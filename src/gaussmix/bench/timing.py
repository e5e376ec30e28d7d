"""How long something takes, how sure that is, and when it has been timed often enough.

The best of several times counts: other work on a machine only ever adds to one. How far the second
best lies from it tells how sure it is. What one iteration takes is the difference between two fits
that differ in iterations alone; if the noise may have made it, they are put further apart.
"""

FIRST_FIT = 3  # iterations of the first fit, and the least that the longer of the two may have
LONG_FIT = 0.6  # seconds that the longer of two fits should take
MOST_ITERATIONS = 50
PATIENCE = 6.0  # seconds of timed fits after which no more are made, of whole calls half of it
MOST_PATIENCE = 18.0  # the same while the time is not resolved
NOISE = 0.05  # of a time that was taken once
RESOLVED = 0.15  # part of the time that may be uncertain without its being taken again
USABLE = 0.35  # the most that may be


class Timing:
    """The times of one call, or of fits of two lengths.

    Parameters
    ----------
    repeats : int
        Times that each length is timed, unless it is slow or the difference is not resolved.
    iterated : bool
        Whether an iteration is timed, by difference, or the whole call.
    first : float
        Seconds that the first call took; a fit made `FIRST_FIT` iterations in them.
    """

    def __init__(self, repeats: int, iterated: bool, first: float) -> None:
        self._repeats = repeats
        self._spent = first
        self._laps = 0
        self._times: dict[int, list[float]] = {1: []} if iterated else {1: [first]}
        if iterated and first >= LONG_FIT:
            self._times[FIRST_FIT] = [first]
        elif iterated:
            self._times[min(MOST_ITERATIONS, int(FIRST_FIT * LONG_FIT / max(first, 1e-9)))] = []

    def wanted(self) -> list[int]:
        """Return the numbers of iterations to be timed next, none if enough is known."""
        fewest = min(map(len, self._times.values()))
        if fewest and self._has_enough(fewest):
            return []
        if fewest >= self._repeats and len(self._times) > 1:
            self._lengthen()
            fewest = 0
        self._laps += 1
        return [n_iter for n_iter, times in self._times.items() if len(times) == fewest]

    def note(self, n_iter: int, seconds: float, spent: float | None = None) -> None:
        """Note a call of so many iterations, the best of a turn that took `spent` seconds."""
        self._times[n_iter].append(seconds)
        self._spent += seconds if spent is None else spent

    def _has_enough(self, fewest: int) -> bool:
        if self.uncertainty <= RESOLVED:
            patience = PATIENCE if len(self._times) > 1 else PATIENCE / 2
            return fewest >= self._repeats or self._spent >= patience
        return self._laps >= 4 * self._repeats or self._spent >= MOST_PATIENCE

    def _lengthen(self) -> None:
        longer = 2 * max(self._times)
        self._times = {1: self._times[1], longer: []}

    @property
    def seconds(self) -> float:
        """Best time of the call or of an iteration, NaN if other work on the machine hid it."""
        return self._difference() if self.uncertainty <= USABLE else float("nan")

    @property
    def uncertainty(self) -> float:
        """How far off the time may be, as a part of it."""
        span = max(1, max(self._times) - 1)
        noise = sum(map(_noise, self._times.values())) / span
        return noise / self._difference() if self._difference() > 0 else float("inf")

    def _difference(self) -> float:
        best = {n_iter: min(times) for n_iter, times in self._times.items()}
        longer = max(best)
        return best[1] if longer == 1 else (best[longer] - best[1]) / (longer - 1)


def _noise(times: list[float]) -> float:
    best, *others = sorted(times)
    return others[0] - best if others else NOISE * best
