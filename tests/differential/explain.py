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


WORDINGS = set()
"""The reasons that are about errors of both sides."""


def reason(share, is_wording=False):
    """Registers a test of a difference as the reason of its name."""

    def register(test):
        SHARES[test.__name__] = share
        REASONS.append(test)
        if is_wording:
            WORDINGS.add(test)
        return test

    return register


def explain(question, ours, theirs, difference):
    """The name of the reason for a difference, if there is one."""
    both_fail = ours["status"] == theirs["status"] == "error"
    for test in REASONS:
        # What is about the wording of errors explains no other difference.
        if test in WORDINGS and not both_fail:
            continue
        if test(question.query, ours, theirs, difference):
            return test.__name__
    return None


ORDERING = re.compile(r"^\(*(sort|sort_desc|sort_by_label|sort_by_label_desc|topk|bottomk)\b")


def is_ordered(query):
    """By which function the answer of an instant query is ordered, if the order means something."""
    found = ORDERING.match(query)
    return found and found.group(1).removesuffix("_desc")


def errors(ours, theirs):
    return ours.get("error", ""), theirs.get("error", "")


def shortened(answer):
    """The notes of an answer without those of a kind of which more than ten were to be shown: which ten, varies."""
    kinds = [answer.get(kind) or [] for kind in ("warnings", "infos")]
    return set(sum((notes for notes in kinds if len(notes) <= 10), []))


def only_notes(difference):
    return difference.startswith(("warnings", "infos"))


@reason(0.05, is_wording=True)
def series_of_a_match_group_are_sorted(_query, ours, theirs, _difference):
    """Of the series that make a match ambiguous Prometheus 3.5 names any two in any order, newer ones sort them."""
    start = "found duplicate series for the match group"
    return all(error.startswith(start) for error in errors(ours, theirs))


@reason(0.04)
def info_is_judged_by_scripts(query, _ours, _theirs, difference):
    """In `info` Prometheus 3.5 keeps names, refuses what newer versions decide, and gives series the labels of others.

    That it does at steps at which one of its series has no sample: it finds what belongs to a series by its place among
    those that have one. `info(x, {version=~".+"})` shows the wrong versions there, an aggregation of it wrong numbers.
    """
    return "info(" in query and difference.startswith(("series", "status", "error", "sample", "value"))


@reason(0.02)
def comparisons_forgot_that_a_name_was_to_go(query, ours, theirs, difference):
    """Prometheus 3.5 keeps names to be dropped later where two vectors are compared."""
    if not difference.startswith("series") or not re.search("[<>=]", query):
        return False
    return unnamed(ours) == unnamed(theirs)


def unnamed(answer):
    """The label sets of an answer without names."""
    sets = [{**one["metric"], "__name__": ""} for one in answer["data"]["result"]]
    return sorted(sorted(labels.items()) for labels in sets)


@reason(0.02)
def custom_bounds_are_reconciled(query, _ours, _theirs, _difference):
    """Prometheus 3.5 does not calculate with histograms of different custom bounds; newer ones do."""
    return "native_bounds" in query


@reason(0.08)
def notes_are_worded_and_placed_as_in_newer_versions(_query, ours, theirs, difference):
    """See `plain`."""
    return only_notes(difference) and plain(ours) == plain(theirs)


def plain(answer):
    """Notes without what changed after Prometheus 3.5.

    It names empty metrics, loses the name of a classic histogram after the first step, points at the beginning of the
    query for subqueries and at the whole of `topk` for its argument, and does not see counter resets that conflict.
    """
    found = set()
    for note in shortened(answer):
        if "conflicting counter resets" in note:
            continue
        note = re.sub(r" \(\d+:\d+\)$", "", note) if "ignored histogram" in note else note
        note = re.sub(r' for metric name "[^"]*"', "", note) if "for monotonicity" in note else note
        found.add(note.replace(' for metric name ""', ""))
    return found


@reason(0.03, is_wording=True)
def durations_may_be_calculated(_query, ours, theirs, _difference):
    """Newer versions read more where a duration stands, and say so; some characters there are refused otherwise."""
    left, right = errors(ours, theirs)
    left = left.replace("number, duration, step(), or range()", "number or duration")
    other_words = re.search(r"in subquery (or range |selector|or range selector)", left) is not None or "expected ':'" in left
    return left == right or (other_words and ("unexpected colon" in right or "in duration expression: " in right))


@reason(0.01)
def texts_in_parentheses_are_texts(_query, _ours, theirs, _difference):
    """Prometheus 3.5 cannot answer them."""
    return "in StepInvariantExpr evaluation: *parser.StepInvariantExpr" in theirs.get("error", "")


@reason(0.01)
def parameters_that_are_no_numbers_say_so(_query, ours, theirs, _difference):
    """Newer versions refuse a `k` that is no number or too large, 3.5 only where it comes to use it, in other words."""
    left, right = errors(ours, theirs)
    refused = left.endswith(("value is NaN", "overflows int64"))
    return refused and right in ("", "Scalar value NaN overflows int64")


@reason(0.02, is_wording=True)
def a_flag_is_named(_query, ours, theirs, _difference):
    """Beside Prometheus's words Mihari names its own flag."""
    left, right = errors(ours, theirs)
    return left.replace(" (Mihari takes it with --promql-profile=extended)", "") == right


@reason(0.01, is_wording=True)
def items_have_names(_query, ours, theirs, _difference):
    """Prometheus 3.5 has forgotten the name of `@` and shows its number."""
    left, right = errors(ours, theirs)
    return left == re.sub(r'"<Item \d+>" ', "", right)


@reason(0.01, is_wording=True)
def steps_fail_in_order(_query, ours, theirs, _difference):
    """Prometheus stops at the first step that fails; here each kind of failure is looked for at all steps."""
    kinds = "found duplicate series for the match group", "multiple matches for labels"
    return all(error.startswith(kinds) for error in errors(ours, theirs))


@reason(0.01, is_wording=True)
def brackets_without_an_end(_query, ours, theirs, _difference):
    """Where brackets are still open at the end newer versions speak of the duration."""
    left, right = errors(ours, theirs)
    return left.endswith("unexpected end of input in duration expression") and "unclosed left" in right


@reason(0.005, is_wording=True)
def an_empty_query_has_no_place(query, ours, theirs, _difference):
    """Ours has one: the first."""
    return query.strip() == "" and all("no expression found in input" in error for error in errors(ours, theirs))


@reason(0.005)
def start_and_end_before_a_window_are_refused(query, ours, _theirs, _difference):
    """Prometheus 3.5 sees `@ 5` there, but not `@ end()`."""
    return errors(ours, {})[0].endswith("no @ modifiers allowed before range") and re.search(r"@ (start|end)\(\)", query) is not None


@reason(0.02)
def subqueries_have_a_place(query, ours, theirs, difference):
    """What Prometheus 3.5 says about a subquery points at the beginning of the query."""
    placeless = [{re.sub(r" \(\d+:\d+\)$", "", note) for note in plain(side)} for side in (ours, theirs)]
    surplus = plain(theirs) - plain(ours)
    return only_notes(difference) and placeless[0] == placeless[1] and all(note.endswith(" (1:1)") for note in surplus)


@reason(0.01)
def fractions_within_the_first_bucket(query, _ours, _theirs, difference):
    """Prometheus 3.5 interpolates within a first bucket that begins at minus infinity, which is never a number.

    `histogram_fraction(0, 1, latency_seconds_bucket{kind="infinity_only"})` shows it; newer versions have rules for it.
    """
    if "histogram_fraction(" not in query:
        return False
    is_alone = query.startswith("histogram_fraction(")
    return " and NaN of " in difference if is_alone else difference.startswith(("value", "order", "sample", "series"))


@reason(0.01)
def empty_buckets_are_seen(query, _ours, _theirs, difference):
    """A histogram that Prometheus reads back has the buckets of its whole chunk, also empty ones that nobody sent.

    `mixed_seconds * NaN` shows them; times infinity they are no numbers, and at the first sample of another chunk
    `changes` counts a change although the histograms are the same. An instant query at both samples shows that they
    are, and that there are other buckets in the product with NaN. `native_seconds == avg without (__name__)
    (native_seconds)` finds them different where an aggregation has left the empty buckets out.
    """
    if re.search("native_|mixed_", query) is None:
        return False
    is_change = "changes(" in query and difference.startswith("value")
    is_comparison = re.search("[!=]=", query) is not None and difference.startswith("sample") and "'count'" in difference
    return is_change or is_comparison or (difference.startswith("histogram buckets") and "'NaN'" in difference)


@reason(0.005)
def gauges_are_counted_without_buckets(query, _ours, _theirs, difference):
    """`histogram_count` and its like read no buckets in Prometheus 3.5, unless they are the whole query.

    Whether the histograms of a gauge start again then depends on their counts alone: `histogram_count(increase(
    native_gauge[2m]))` and the same in parentheses have different answers there. Ours looks at buckets in both.
    """
    function = r"histogram_(count|sum|avg)\b.*(rate|increase)\(native_gauge"
    return re.search(function, query) is not None and difference.startswith(("value", "sample", "series", "histogram"))


@reason(0.005)
def names_come_back_from_subqueries(query, ours, theirs, difference):
    """In a subquery Prometheus 3.5 forgets that a name was to go: `last_over_time(abs(queue)[5m:])` has one."""
    is_kept = re.search(r"(last|first)_over_time\(\(*[a-z_]+\(.*\[.*:", query) is not None
    return is_kept and difference.startswith("series") and unnamed(ours) == unnamed(theirs)


@reason(0.005)
def limits_of_limits(query, _ours, _theirs, difference):
    """What `limitk` has left comes in the order of a heap of its values in Prometheus, here in that of the labels."""
    return query.count("limitk") > 1 and difference.startswith("series")


@reason(0.01)
def deviations_from_no_number_are_none(query, _ours, _theirs, difference):
    """In newer versions `mad_over_time` of a window with NaN is NaN."""
    start = "value: NaN" if query.startswith("mad_over_time(") else "value"
    return "mad_over_time(" in query and difference.startswith(start)


@reason(0.005)
def parameters_change_over_constants(query, _ours, _theirs, difference):
    """Whether an aggregation is the same at every step Prometheus 3.5 decides by what is aggregated alone.

    `quantile(time() % 2, vector(1))` has one value over a whole range there.
    """
    return re.search(r"(quantile|topk|bottomk|limitk|limit_ratio)\b.*(vector\(|@)", query) is not None and difference.startswith(
        ("value", "series", "sample")
    )


@reason(0.005)
def logarithms_of_the_smallest_numbers(query, _ours, _theirs, difference):
    """Below 2.3e-308 Go on x86 is far off: `ln(vector(5e-324))` is -709.1 there, and -744.4 is right."""
    return re.search(r"\b(ln|log2|log10)\(.*large", query) is not None and difference.startswith("value")


@reason(0.005)
def functions_have_another_last_digit(query, _ours, _theirs, difference):
    """Powers, logarithms and the like are not exact; a label that is made of them shows their last digit.

    So do remainders, and angles of 1e15 and more: `large % time() ^ pi()`.
    """
    function = r"\^|atan2|\b(a?(sin|cos|tan)h?|exp|ln|log2|log10)\("
    if re.search(function, query) is None:
        return False
    is_remainder = re.search(r"%|\b(sin|cos|tan)\(", query) is not None and difference.startswith("value")
    return is_remainder or ("count_values" in query and difference.startswith("series"))


@reason(0.005)
def series_that_never_meet_may_be_made_equal(query, ours, theirs, _difference):
    """Where `label_replace` and `label_join` make two series one that have no sample at the same step, they are joined.

    Prometheus 3.5 refuses such a range, though it answers each of its steps.
    """
    is_refused = theirs.get("error") == "vector cannot contain metrics with the same labelset"
    return "label_" in query and is_refused and ours["status"] == "success"
