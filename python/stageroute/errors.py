"""Every error StageRoute raises, in one tree.

`StageRouteError` is the root. Each error that stands for a familiar built-in one
also derives from it, so ``except ValueError`` keeps working.
"""


class StageRouteError(Exception):
    """Root of all errors raised by this package."""


class InvalidInputError(StageRouteError, ValueError):
    """An argument breaks a rule; the message names argument, value and rule.

    No state has changed when this is raised.
    """


class DatasetError(InvalidInputError):
    """A file or array does not hold a valid outcome table."""


class UnknownModelError(InvalidInputError):
    """A model name that this router does not know, or no longer routes to."""


class NoModelError(StageRouteError, RuntimeError):
    """There is no live model to route to."""


class RefusedError(StageRouteError, RuntimeError):
    """No live model may serve this query now; the router counts it and goes on.

    Attributes
    ----------
    retry_after : float or None
        Seconds after which a model may serve it, where that is known.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimitedError(RefusedError):
    """Every model that may serve this query is at a limit of requests, tokens or concurrency."""


class ModelsDownError(RefusedError):
    """Every model that may serve this query is cooling down after failures."""


class HardLimitError(RefusedError):
    """What this query, or starting these models, could cost would break a hard limit on money."""


class ExcludedError(RefusedError):
    """`allowed`, `max_cost` or the number of tokens excludes every live model."""


class ProviderError(StageRouteError, RuntimeError):
    """A provider answered with an error in place of an answer; a client may raise it as well.

    Attributes
    ----------
    status_code : int or None
        HTTP status, where that is known.
    headers : mapping or None
        Of the answer: ``retry-after`` and ``x-ratelimit-*`` are read.
    """

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        headers: object = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.headers = headers


class StalePlanError(StageRouteError, ValueError):
    """A stage plan was overtaken by events; plan again."""


class DecisionError(StageRouteError, LookupError):
    """Feedback for a decision that cannot take it."""


class UnknownDecisionError(DecisionError):
    """The decision id was never issued by this router."""


class ExpiredDecisionError(DecisionError):
    """The decision is so old that its entry was evicted; its feedback is not counted."""


class AlreadyObservedError(DecisionError):
    """The decision's reward (or cost) was already observed; the first value stands."""


class ForkedRouterError(StageRouteError, RuntimeError):
    """The router belongs to the process that this one was forked from, and goes on there.

    Make a router in each process after the fork.
    """


class SolverError(StageRouteError, RuntimeError):
    """A solver stopped without a proven answer; no answer is made up in its place."""


class DeploymentConflictError(StageRouteError, ValueError):
    """No set of models satisfies all constraints on the live set.

    Attributes
    ----------
    constraints : tuple of str
        Constraints that conflict, such as ``"pinned a"`` or ``"memory_gb = 80"``: all of these
        together allow no set, and any one less would.
    """

    def __init__(self, message: str, constraints: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.constraints = constraints


class MissingExtraError(StageRouteError, ImportError):
    """An optional dependency is needed; the message says what to install."""


class ResultsError(StageRouteError, ValueError):
    """A folder of results cannot be read, or holds those of something else; it was not changed."""


class WorkerLostError(StageRouteError, RuntimeError):
    """A job ended its process again and again; what other jobs brought is kept."""


class ClusterError(StageRouteError, ConnectionError):
    """A cluster cannot be reached, or one of its nodes cannot do what is asked of it."""


class OverlapError(StageRouteError, ValueError):
    """A log says nothing of a model that a target policy uses, so there is no estimate.

    Attributes
    ----------
    models : tuple of str
        The models that it says nothing of.
    mass : float
        Share of the target's traffic that they would get.
    """

    def __init__(self, message: str, models: tuple[str, ...] = (), mass: float = 0.0) -> None:
        super().__init__(message)
        self.models = models
        self.mass = mass


class PolicyError(StageRouteError, RuntimeError):
    """A policy breaks a rule of the comparison (`stageroute.policies.RULES`).

    The message names policy, rule, stage and query, what was expected and what was seen.

    Attributes
    ----------
    policy, rule : str
        Their names.
    """

    def __init__(self, message: str, policy: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.policy = policy
        self.rule = rule


class JournalError(StageRouteError, OSError):
    """The journal cannot be read or written now; what it holds is intact."""


class JournalFullError(JournalError):
    """Records that could not be committed yet leave no room for another; nothing was recorded."""


class JournalLockedError(JournalError):
    """The journal is open already, here or in another process."""


class SnapshotError(StageRouteError, ValueError):
    """A journal or snapshot file cannot be used; it was not changed."""


class SnapshotVersionError(SnapshotError):
    """It was written by a later release, in a format that this one does not know."""


class SnapshotMismatchError(SnapshotError):
    """It belongs to a router of another configuration, or to another journal."""


class SnapshotCorruptError(SnapshotError):
    """It is damaged, incomplete, or something else altogether."""


class JournalGapError(SnapshotCorruptError):
    """Calls that were acknowledged are missing from a journal, or may be; nothing was changed.

    ``JournalSettings(allow_loss=True)`` goes on with what there is.

    Attributes
    ----------
    lost : int
        How many records are known to be missing, at least; 0 where that cannot be told.
    """

    def __init__(self, message: str, lost: int = 0) -> None:
        super().__init__(message)
        self.lost = lost
