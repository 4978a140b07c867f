"""What a fit that ended above its tolerance says of the cause and the remedy."""

import numpy as np


def advice(settings, objective, epochs, correctable):
    """One or two sentences.

    Parameters
    ----------
    settings : Settings
    objective : Objective
    epochs : int
        Epochs made.
    correctable : bool
        Whether second-order steps could certify an optimum.
    """
    given = [
        name
        for name, own in (
            ("learning_rate", settings.learning_rate is not None),
            ("schedule", settings.schedule is not None),
            ("precondition", settings.precondition not in ("auto", "whiten")),
        )
        if own
    ]
    remedies = []
    if epochs >= settings.max_iter:
        remedies.append(f"increase max_iter (now {settings.max_iter})")
    if given:
        names = [f"{name}='auto'" for name in given]
        remedies.append("use " + " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])))
    if remedies:
        text = ", or ".join(remedies)
        return text[0].upper() + text[1:] + "."
    if not correctable:
        return (
            f"It ended after {epochs} epochs because the steps made no more progress. No "
            f"certificate of the optimum exists for {type(objective.loss).__name__} on data of "
            "this size and kind: compare with a larger max_iter and another random_state."
        )
    dtype = objective.X.dtype
    text = (
        f"It ended after {epochs} epochs because no step lowers the objective any "
        f"further in {dtype}."
    )
    if dtype == np.float32:
        return text + " Pass X as float64, or use a larger tol."
    return text + " Scale columns of very different sizes, increase alpha, or use a larger tol."
