"""Who is told of a fit and of its epochs: an estimator's callbacks, or a search that pauses."""

from sklearn_lossopt._compat import has_callbacks


def callback_kwargs(estimator, X, y, weight):
    """What callbacks get with every event of a fit; the weights may be None."""
    metadata = None if weight is None else {"sample_weight": weight}
    return dict(estimator=estimator, X=X, y=y, metadata=metadata)


class MembersReporter:
    """Tells an estimator's callbacks of a fit, whose subtasks are the fits of its members.

    Parameters
    ----------
    estimator : estimator
    X, weight : array-like
        The data; weights may be None.
    """

    def __init__(self, estimator, X, weight):
        self.estimator, self.X, self.weight = estimator, X, weight
        self.root = None

    def member_context(self, number, y, max_iter):
        """The context of a member's fit, which is about to begin; the first one's begins all."""
        if self.root is None:
            self.task = callback_kwargs(self.estimator, self.X, y, self.weight)
            self.root = self.estimator._init_callback_context(
                max_subtasks=self.estimator.n_members, sequential_subtasks=False
            )
            self.root.call_on_fit_task_begin(**self.task)
        return self.root.subcontext(task_name="member", task_id=number, max_subtasks=max_iter)

    def end_fit(self):
        """All members are fitted, and the estimator has its attributes."""
        self.root.call_on_fit_task_end(**self.task, reconstruction_attributes={})


class CallbackReporter:
    """Tells callbacks of the fit of one model and of its epochs, which are subtasks of it.

    Parameters
    ----------
    model : estimator
    X, weight : array-like
        The data; weights may be None.
    parent : MembersReporter or None
        Tells of the fit that this one is a part of. Its estimator has the callbacks then.
    number : int
        Of the model among its members.

    Attributes
    ----------
    wants_epochs : bool
        Whether there is a callback to tell.
    """

    def __init__(self, model, X, weight, parent, number):
        self.model, self.X, self.weight = model, X, weight
        self.parent, self.number = parent, number
        self.wants_epochs = has_callbacks(model if parent is None else parent.estimator)

    def begin_fit(self, attributes, objective, max_iter, y):
        """A fit of ``objective`` in up to ``max_iter`` epochs begins; ``attributes`` makes the
        fitted attributes of a FitResult, and y are valid targets."""
        self.attributes = attributes
        # Callbacks know the estimator by its identity.
        estimator = self.model if self.parent is None else self.parent.estimator
        self.task = callback_kwargs(estimator, self.X, y, self.weight)
        if self.parent is None:
            # Without callbacks too: tasks of a pipeline or a search are linked by it.
            self.root = estimator._init_callback_context(max_subtasks=max_iter)
        else:
            self.root = self.parent.member_context(self.number, y, max_iter)
        self.root.call_on_fit_task_begin(**self.task)

    def end_fit(self):
        """The fit has ended, and the model has its attributes."""
        self.root.call_on_fit_task_end(**self.task, reconstruction_attributes=self._own())

    def begin(self, result):
        """An epoch begins; ``result`` makes the FitResult of a fit that ended now."""
        self.context = self.root.subcontext(task_name="epoch")
        self.context.call_on_fit_task_begin(**self._callback_kwargs(result))

    def end(self, result):
        """An epoch has ended; returns whether a callback asks for the end of the fit."""
        return self.context.call_on_fit_task_end(**self._callback_kwargs(result))

    def _callback_kwargs(self, result):
        # A function, which is called only for a callback that wants the fitted estimator.
        return {
            **self.task,
            "reconstruction_attributes": lambda: self._own() | self.attributes(result()),
        }

    def _own(self):
        """What makes a copy of the estimator that callbacks know one of the model."""
        if self.parent is None:
            return {}
        return {"n_members": 1, "random_state": self.model.random_state, **self.model._fitted()}


class SnapshotRecorder:
    """Keeps what fits that ended after some epochs would have found.

    Parameters
    ----------
    epochs : tuple of int, default=()
        The numbers of those epochs.

    Attributes
    ----------
    found : dict
        The fitted attributes, by the number of the epoch.
    made : int
        Epochs that the fit has made, if any are to be recorded.
    """

    def __init__(self, epochs=()):
        self.wants_epochs, self.epochs, self.found, self.made = bool(epochs), epochs, {}, 0

    def begin_fit(self, attributes, objective, max_iter, y):
        """As for CallbackReporter, like the methods below."""
        self.attributes = attributes

    def end_fit(self):
        """Nothing is to be recorded."""

    def begin(self, result):
        """Nothing is to be recorded."""

    def end(self, result):
        """Record the epoch if it is one of those asked for; the fit is not to end."""
        self.made += 1
        if self.made in self.epochs:
            self.found[self.made] = self.attributes(result())
        return False
