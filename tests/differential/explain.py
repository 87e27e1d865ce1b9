"""Why two answers may differ: each reason has a name, a test and the greatest share of the queries it may explain.

Most are changes between the Prometheus that can be installed (3.5) and the newer one whose rules hold here. A reason
that explains more than its share hides something: the run fails then.
"""

import re

SHARES = {}
"""By name of the reason: the greatest part of all queries that it may explain."""

REASONS = []

PROMETHEUS_VARIES = "prometheus_contradicts_itself"
"""Of equal series, whose order is that of a hash table in Prometheus, any may be chosen."""

SHARES[PROMETHEUS_VARIES] = 0.02


def reason(share):
    """Registers a test of a difference as the reason of its name."""

    def register(test):
        SHARES[test.__name__] = share
        REASONS.append(test)
        return test

    return register


def explain(question, ours, theirs, difference):
    """The name of the reason for a difference, if there is one."""
    for test in REASONS:
        if test(question.query, ours, theirs, difference):
            return test.__name__
    return None


ORDERING = re.compile(r"^\(*(sort|sort_desc|sort_by_label|sort_by_label_desc|topk|bottomk)\b")


def is_ordered(query):
    """Whether the order of an instant query's answer means something."""
    return bool(ORDERING.match(query))


def errors(ours, theirs):
    return ours.get("error", ""), theirs.get("error", "")


def notes(answer):
    return set((answer.get("warnings") or []) + (answer.get("infos") or []))


def only_notes(difference):
    return difference.startswith(("warnings", "infos"))


@reason(0.05)
def series_of_a_match_group_are_sorted(_query, ours, theirs, _difference):
    """Of the series that make a match ambiguous Prometheus 3.5 names any two in any order, newer ones sort them."""
    start = "found duplicate series for the match group"
    return all(error.startswith(start) for error in errors(ours, theirs))


@reason(0.03)
def info_takes_the_newest_series(query, _ours, theirs, _difference):
    """Of two info series Prometheus 3.5 refuses both; newer ones take the newer sample, and name both if they tie."""
    return "info(" in query and theirs.get("error", "").startswith("found duplicate series for info metric ")


@reason(0.02)
def info_of_a_function_kept_the_name(query, _ours, _theirs, difference):
    """Prometheus 3.5 forgets in `info` that a name was to be dropped later."""
    return re.search(r"info\([a-z_]+\(", query) is not None and difference.startswith("series")


@reason(0.02)
def custom_bounds_are_reconciled(query, _ours, _theirs, _difference):
    """Prometheus 3.5 does not calculate with histograms of different custom bounds; newer ones do."""
    return "native_bounds" in query


@reason(0.05)
def notes_name_no_empty_metric(_query, ours, theirs, difference):
    """Newer versions leave out `for metric name ""`."""
    plain = {note.replace(' for metric name ""', "") for note in notes(theirs)}
    return only_notes(difference) and notes(ours) == plain


@reason(0.01)
def later_steps_of_a_histogram_kept_no_name(_query, ours, theirs, difference):
    """Prometheus 3.5 says again of each classic histogram what it said, without its name, from the second step on."""
    surplus = notes(theirs) - notes(ours)
    named = all('needed to be fixed for monotonicity' in note and 'for metric name ""' in note for note in surplus)
    return only_notes(difference) and notes(ours) < notes(theirs) and named


@reason(0.02)
def notes_about_subqueries_have_a_place(query, ours, theirs, difference):
    """What Prometheus 3.5 says about a subquery points at the beginning of the query."""
    placeless = [{re.sub(r" \(\d+:\d+\)$", "", note) for note in notes(side)} for side in (ours, theirs)]
    at_start = [note for note in notes(theirs) - notes(ours) if not note.endswith(" (1:1)")]
    return only_notes(difference) and ":" in query and placeless[0] == placeless[1] and not at_start


@reason(0.03)
def durations_may_be_calculated(_query, ours, theirs, _difference):
    """Newer versions read more where a duration stands, and say so; some characters there are refused otherwise."""
    left, right = errors(ours, theirs)
    left = left.replace("number, duration, step(), or range()", "number or duration")
    other_words = "in subquery or range selector, expected" in left or "expected ':'" in left
    return left == right or (other_words and ("unexpected colon" in right or "in duration expression: " in right))


@reason(0.01)
def texts_in_parentheses_are_texts(_query, _ours, theirs, _difference):
    """Prometheus 3.5 cannot answer them."""
    return "in StepInvariantExpr evaluation: *parser.StepInvariantExpr" in theirs.get("error", "")


@reason(0.01)
def parameters_that_are_no_numbers_say_so(_query, ours, theirs, _difference):
    """Newer versions refuse a `k` that is not a number or too large, 3.5 only where it comes to use it, and in other words."""
    left, right = errors(ours, theirs)
    refused = left.endswith(("value is NaN", "overflows int64"))
    return refused and right in ("", "Scalar value NaN overflows int64")


@reason(0.02)
def a_flag_is_named(_query, ours, theirs, _difference):
    """Beside Prometheus's words Mihari names its own flag."""
    left, right = errors(ours, theirs)
    return left.replace(" (Mihari takes it with --promql-profile=extended)", "") == right


@reason(0.01)
def brackets_without_an_end(_query, ours, theirs, _difference):
    """Where brackets are still open at the end newer versions speak of the duration."""
    left, right = errors(ours, theirs)
    return left.endswith("unexpected end of input in duration expression") and "unclosed left" in right


@reason(0.005)
def an_empty_query_has_no_place(query, ours, theirs, _difference):
    """Ours has one: the first."""
    return query.strip() == "" and all("no expression found in input" in error for error in errors(ours, theirs))


@reason(0.005)
def start_and_end_before_a_window_are_refused(query, ours, _theirs, _difference):
    """Prometheus 3.5 sees `@ 5` there, but not `@ end()`."""
    return errors(ours, {})[0].endswith("no @ modifiers allowed before range") and re.search(r"@ (start|end)\(\)", query) is not None
