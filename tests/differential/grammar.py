"""Makes expressions: typed right most of the time, over the series of `series.py`.

The same seed gives the same expressions. `extended` allows what Prometheus takes with its feature flags only.
"""

import random

METRICS = {
    "requests_total": (10, ["job", "instance", "code"]),
    "errors_total": (5, ["job", "instance"]),
    "cpu_seconds_total": (5, ["job", "instance", "mode"]),
    "temperature": (8, ["instance", "zone"]),
    "queue": (6, ["instance", "job"]),
    "up": (4, ["instance", "job"]),
    "odd": (5, ["kind"]),
    "constant": (2, ["instance"]),
    "large": (2, ["sign"]),
    "sparse": (3, ["every"]),
    "late": (2, ["job"]),
    "early": (1, ["job"]),
    "ended": (2, ["job"]),
    "flaky": (4, ["job"]),
    "once": (1, ["job"]),
    "latency_seconds_bucket": (7, ["kind", "job", "le"]),
    "native_seconds": (6, ["job", "instance"]),
    "native_gauge": (3, ["job"]),
    "native_custom": (4, ["job"]),
    "native_bounds": (0.5, ["job"]),
    "mixed_seconds": (4, ["job"]),
    "http.requests": (2, ["http.path", "job"]),
    "温度": (1, ["場所"]),
    "rule:requests:rate5m": (1, ["job"]),
    "no_labels": (2, []),
    "target_info": (2, ["job", "instance", "version"]),
    "build_info": (1, ["job", "instance"]),
    "owner": (2, ["instance", "team"]),
    "moment": (2, ["n"]),
    "absent_metric": (2, ["job"]),
}

VALUES = {
    "job": ["api", "web", "zoo"],
    "instance": ["a:1", "b:1", "c:1"],
    "code": ["200", "404", "500"],
    "mode": ["idle", "user"],
    "zone": ["x", "y"],
    "kind": ["plain", "written", "no_infinity", "negative", "nonsense", "twice", "any", "nan", "mostly_numbers"],
    "le": ["0.1", "1", "+Inf", "5"],
    "version": ["1.0", "1.1", ""],
    "team": ["aa", "bb"],
    "http.path": ["/", "/ü"],
    "場所": ["東京"],
    "sign": ["both", "small", "exact"],
    "every": ["4m", "6m"],
    "n": ["0", "3", "none"],
}

PATTERNS = [".*", ".+", "a.*", "[ab].*", "api|web", "", "4..|500", ".*:1", "(?i:API)", "x?"]

RARE_PATTERNS = [
    "\\\\w+", "\\\\d+", "\\\\W*", ".*\\\\b1", "\\\\Qapi\\\\E", "\\\\Qa:1", "[[a].*", "[a&&p]+i?", "[\\\\w-:]+", "a{1}.*", "{a}", "a**", "(?x)a pi",
    "(?P<x>a)pi", "\\\\pL+", "\\\\p{Han}+", "\\\\<.*", "[[:alpha:]]+", "(|a)pi", "a)|(b", "\\\\141.*", "(?i)WEB|zoo", "[z-a]", "\\\\x61.*",
]
"""Where RE2 and its kin differ; doubled backslashes are those of a text in quotes."""

SOURCES = [', "job"', ', "__name__"', ', "instance"', ', "nothing"', ', ""', ', "wert.ü"']
"""What `label_join` joins."""

SIMPLE = (
    "abs ceil floor sgn sqrt exp ln log2 log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh rad deg "
    "absent sort sort_desc timestamp day_of_month day_of_week day_of_year days_in_month hour minute month year "
    "histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar"
).split()
OVER_TIME = (
    "rate rate rate increase increase irate delta idelta deriv changes resets sum_over_time avg_over_time min_over_time "
    "max_over_time count_over_time last_over_time present_over_time absent_over_time stddev_over_time "
    "stdvar_over_time"
).split()
EXTENDED_OVER_TIME = "mad_over_time ts_of_max_over_time ts_of_min_over_time ts_of_last_over_time".split()
AGGREGATIONS = "sum sum sum avg avg min max count group stddev stdvar".split()
ARITHMETIC = ["+", "-", "*", "/", "%", "^", "atan2"]
COMPARISONS = ["==", "!=", ">", "<", ">=", "<="]
RANGES = ["15s", "30s", "1m", "1m", "5m", "5m", "2m10s", "10m", "20m", "90s", "1m30s500ms"]


class Grammar:
    """A source of expressions."""

    def __init__(self, seed, extended, start, end):
        self.chance = random.Random(f"{seed}/{extended}")
        self.extended = extended
        self.start, self.end = start, end

    def expression(self):
        """One expression; about one in twenty is spoilt."""
        kind = self.chance.choices(
            [self.vector, self.scalar, self.range_vector, self.string], weights=[40, 3, 2, 0.3]
        )[0]
        text = kind(self.chance.choice([1, 2, 2, 3, 3, 4])) if kind != self.string else self.string()
        return self.spoil(text) if self.chance.random() < 0.05 else text

    def one_of(self, *choices):
        return self.chance.choice(choices)

    def maybe(self, probability, text):
        return text if self.chance.random() < probability else ""

    # Leaves.

    def metric(self):
        names = list(METRICS)
        return self.chance.choices(names, weights=[METRICS[name][0] for name in names])[0]

    def selector(self, name=None):
        name = name or self.metric()
        matchers = []
        for label in METRICS[name][1]:
            if self.chance.random() < 0.22:
                matchers.append(self.matcher(label))
        plain = name.replace("_", "").replace(":", "").isascii() and "." not in name
        if not plain:
            matchers.insert(0, f'"{name}"')
        elif self.chance.random() < 0.04:
            matchers.append(f'__name__="{name}"')
            return "{" + ", ".join(matchers) + "}"
        if self.chance.random() < 0.02:
            return self.one_of('{__name__=~"queue|up"}', '{__name__=~".*_total", job="api"}', '{job="api", instance="a:1"}')
        if self.chance.random() < 0.02:
            other = self.one_of("", f'__name__!="{name}"', '__name__=~".+"', f'__name__="{name}"', '"up"')
            return "{" + ", ".join([f'"{name}"', *filter(None, [other]), *matchers]) + "}"
        braces = "{" + ", ".join(matchers) + "}" if matchers else self.maybe(0.03, "{}")
        return (name if plain else "") + braces

    def matcher(self, label):
        shown = label if label.replace("_", "").isalnum() and label.isascii() else f'"{label}"'
        operator = self.one_of("=", "=", "=", "!=", "=~", "!~")
        known = VALUES.get(label, ["x"])
        patterns = RARE_PATTERNS if self.chance.random() < 0.2 else PATTERNS
        value = self.chance.choice(patterns) if "~" in operator else self.chance.choice(known)
        return f'{shown}{operator}"{value}"'

    def duration(self):
        return self.one_of("1s", "15s", "30s", "1m", "2m", "7m", "1h", "0s", "90", "1.5", "1m30s")

    def modifiers(self):
        """`offset` and `@`, in any order."""
        parts = []
        if self.chance.random() < 0.12:
            sign = self.maybe(0.3, "-")
            parts.append(f"offset {sign}{self.duration()}")
        if self.chance.random() < 0.07:
            at = self.chance.randint(self.start - 300, self.end + 300)
            parts.append("@ " + self.one_of(str(at), f"{at}.5", "start()", "end()", "0"))
        self.chance.shuffle(parts)
        return "".join(" " + part for part in parts)

    def instant_selector(self):
        return self.selector() + self.modifiers()

    def window(self):
        if self.extended and self.chance.random() < 0.15:
            return self.calculated_duration()
        return self.chance.choice(RANGES)

    def calculated_duration(self):
        return self.one_of("30s * 2", "5m - 1m", "2 * 1m + 30s", "(1m + 1m) * 2", "10m / 4", "2 ^ 5", "1m % 50s", "-(-1m)")

    def range_vector(self, depth=1):
        if depth > 1 and self.chance.random() < 0.25:
            inner = self.vector(depth - 1)
            step = self.one_of("", "15s", "30s", "1m", "37s")
            if self.extended and self.chance.random() < 0.1:
                step = self.one_of("5s * 3", "1m / 2", "45s - 15s")
            if self.chance.random() < 0.05:
                inner = self.scalar(1)
            return f"{self.grouped(inner)}[{self.window()}:{step}]{self.modifiers()}"
        return f"{self.selector()}[{self.window()}]{self.modifiers()}"

    def string(self):
        return self.one_of('"text"', "'quoted'", "`raw`", '("x")')

    def number(self):
        return self.one_of(
            "0", "1", "2", "3", "-1", "0.5", "0.9", "1e3", "-2.5", "NaN", "Inf", "-Inf", "0x1F", "1_000", "5m", "017", ".5", "1e-9"
        )

    def scalar(self, depth=1):
        choices = [self.number] * 6
        choices += [lambda: "time()", lambda: "pi()", lambda: f"scalar({self.selector('no_labels')})"]
        if depth > 0:
            choices += [
                lambda: f"scalar({self.vector(depth - 1)})",
                lambda: f"{self.scalar(depth - 1)} {self.one_of(*ARITHMETIC)} {self.scalar(depth - 1)}",
                lambda: f"{self.scalar(depth - 1)} {self.one_of(*COMPARISONS)} bool {self.scalar(depth - 1)}",
                lambda: f"-{self.grouped(self.scalar(depth - 1))}",
            ]
        return self.chance.choice(choices)()

    def grouped(self, text):
        return f"({text})"

    # Vectors.

    def vector(self, depth=2):
        if depth <= 0:
            return self.leaf()
        kinds = [
            (self.leaf, 5),
            (lambda: f"{self.one_of(*SIMPLE)}({self.vector(depth - 1)})", 4),
            (lambda: self.over_time(depth), 8),
            (lambda: self.aggregation(depth), 7),
            (lambda: self.ranked(depth), 3),
            (lambda: self.with_number(depth), 5),
            (lambda: self.matched(depth), 6),
            (lambda: self.set_operation(depth), 3),
            (lambda: f"-{self.grouped(self.vector(depth - 1))}", 1),
            (lambda: self.several_arguments(depth), 6),
            (lambda: self.of_histograms(depth), 5),
            (lambda: self.join(), 3),
        ]
        if self.extended:
            kinds.append((lambda: self.experimental(depth), 4))
        return self.chance.choices([kind for kind, _ in kinds], weights=[weight for _, weight in kinds])[0]()

    def leaf(self):
        if self.chance.random() < 0.1:
            return f"vector({self.scalar(1)})"
        return self.instant_selector()

    def over_time(self, depth):
        functions = OVER_TIME + (EXTENDED_OVER_TIME if self.extended else [])
        window = self.range_vector(depth)
        extra = self.chance.random()
        if extra < 0.06:
            return f"quantile_over_time({self.quantile()}, {window})"
        if extra < 0.11:
            return f"predict_linear({window}, {self.one_of('60', '-30', '3600', self.scalar(1))})"
        if extra < 0.13 and self.extended:
            return f"double_exponential_smoothing({window}, {self.one_of('0.3', '0.9', '1', '0')}, {self.one_of('0.1', '0.7')})"
        return f"{self.chance.choice(functions)}({window})"

    def quantile(self):
        return self.one_of("0", "0.1", "0.5", "0.9", "0.99", "1", "-1", "2", "NaN", self.scalar(1))

    def labels(self):
        known = ["job", "instance", "code", "zone", "kind", "le", "__name__", "mode", "absent"]
        return ", ".join(self.chance.sample(known, self.chance.randint(0, 3)))

    def grouping(self):
        return self.one_of("", f" by ({self.labels()})", f" without ({self.labels()})")

    def aggregation(self, depth):
        operator, grouping = self.chance.choice(AGGREGATIONS), self.grouping()
        inner = self.vector(depth - 1)
        return f"{operator}{grouping} ({inner})" if self.chance.random() < 0.6 else f"{operator}({inner}){grouping}"

    def ranked(self, depth):
        inner, grouping = self.vector(depth - 1), self.grouping()
        operators = ["topk", "bottomk", "quantile", "count_values"] + (["limitk", "limit_ratio"] if self.extended else [])
        operator = self.chance.choice(operators)
        parameter = self.one_of("1", "2", "5", "0", "-1", "2.7", self.scalar(1))
        if operator == "quantile":
            parameter = self.quantile()
        elif operator == "limit_ratio":
            parameter = self.one_of("0.5", "-0.5", "0.1", "1", "0", "1.5", "-2", "-0.9")
        elif operator == "count_values":
            parameter = self.one_of('"value"', '"job"', '"wert.ü"', '""')
        return f"{operator}{grouping} ({parameter}, {inner})"

    def operator(self):
        if self.chance.random() < 0.55:
            return self.chance.choice(ARITHMETIC)
        return self.chance.choice(COMPARISONS) + self.maybe(0.35, " bool")

    def with_number(self, depth):
        inner, number = self.grouped(self.vector(depth - 1)), self.scalar(1)
        sides = [inner, number] if self.chance.random() < 0.6 else [number, inner]
        return f"{sides[0]} {self.operator()} {sides[1]}"

    def matching(self):
        if self.chance.random() < 0.4:
            return ""
        return f" {self.one_of('on', 'ignoring')} ({self.labels()})"

    def matched(self, depth):
        """Two vectors: often of the same metric, so that they match."""
        left = self.vector(depth - 1)
        right = left if self.chance.random() < 0.4 else self.vector(depth - 1)
        matching = self.matching()
        group = ""
        if matching and self.chance.random() < 0.35:
            group = f" {self.one_of('group_left', 'group_right')}" + self.one_of(" ()", " ()", " (job)", " (team, zone)")
        return f"{self.grouped(left)} {self.operator()}{matching}{group} {self.grouped(right)}"

    def join(self):
        """What dashboards do: labels of one metric onto another."""
        many = self.one_of(
            self.selector("requests_total"), self.selector("queue"), f"rate({self.selector('requests_total')}[5m])",
            f"sum by (job, instance) (rate({self.selector('requests_total')}[{self.window()}]))",
        )
        return self.one_of(
            f"{many} * on (instance) group_left (team) owner",
            f"owner * on (instance) group_right () {many}",
            f'{many} * on (job, instance) group_left (version) target_info{{version!=""}}',
            f"{many} * ignoring (code, team) group_left owner",
            f"{many} / ignoring (code) group_left sum without (code) ({many})",
            f"sum by (code) ({self.selector('requests_total')}) / on () group_left () sum(requests_total)",
            f"{many} > on (job, instance) group_left () (up or queue)",
            f"{many} unless on (instance) (up == 0)",
        )

    def set_operation(self, depth):
        left, right = self.vector(depth - 1), self.vector(depth - 1)
        return f"{self.grouped(left)} {self.one_of('and', 'or', 'unless')}{self.matching()} {self.grouped(right)}"

    def several_arguments(self, depth):
        inner = self.vector(depth - 1)
        target = self.one_of('"new"', '"job"', '"instance"', '"__name__"', '"wert.ü"')
        return self.one_of(
            f"clamp({inner}, {self.scalar(1)}, {self.scalar(1)})",
            f"clamp_min({inner}, {self.scalar(1)})",
            f"clamp_max({inner}, {self.scalar(1)})",
            f"round({inner})",
            f"round({inner}, {self.one_of('0.1', '5', '0', '-2', self.scalar(1))})",
            f'label_replace({inner}, {target}, "{self.one_of("$1", "x$1y", "", "${1}", "$name", "$2")}", '
            f'"{self.one_of("job", "instance", "absent", "__name__")}", "{self.one_of("(.*)", "(a).*", "(?P<name>.+):1", "b", "")}")',
            f'label_join({inner}, {target}, "{self.one_of("-", "", ",")}", "job", "{self.one_of("instance", "code", "absent")}")',
            f'label_join({inner}, {target}, "-"{"".join(self.chance.choices(SOURCES, k=self.chance.randint(0, 3)))})',
            f"absent({self.selector('absent_metric')}{self.modifiers()})",
            f"absent_over_time({self.selector('absent_metric')}[{self.window()}])",
            f"{self.one_of('day_of_month', 'hour', 'year', 'days_in_month', 'minute', 'day_of_week', 'month')}({self.one_of('', 'moment')})",
        )

    def of_histograms(self, depth):
        buckets = self.one_of(
            self.selector("latency_seconds_bucket"),
            f"rate({self.selector('latency_seconds_bucket')}[{self.window()}])",
            f"sum by (le) (rate({self.selector('latency_seconds_bucket')}[{self.window()}]))",
            f"sum by (le, job) ({self.selector('latency_seconds_bucket')})",
            self.native(),
            self.native(),
            f"latency_seconds_bucket or {self.native()}",
            self.vector(depth - 1),
        )
        bounds = self.one_of("0, 1", "-1, 0.5", "0.2, 3", "-Inf, Inf", "1, 0", "NaN, 1", "0.5, 0.5", "1, 5")
        return self.one_of(
            f"histogram_quantile({self.quantile()}, {buckets})",
            f"histogram_quantile({self.quantile()}, {buckets})",
            f"histogram_fraction({bounds}, {buckets})",
            f"histogram_count({self.native()})",
            f"histogram_{self.one_of('sum', 'avg', 'stddev', 'stdvar', 'count')}({self.native()})",
            self.native(),
            f"{self.native()} {self.one_of('+', '-', '*', '/', '==', '!=', '>', '^', '%', 'atan2')} {self.one_of(self.native(), self.number())}",
            f"{self.one_of(self.native(), self.number())} {self.one_of('==', '!=', '>', '<=')} bool {self.native()}",
            f"{self.native()} {self.one_of('and', 'or', 'unless')}{self.matching()} {self.one_of(self.native(), self.selector())}",
        )

    def native(self):
        name = self.one_of("native_seconds", "native_gauge", "native_custom", "mixed_seconds")
        selector, function = self.selector(name), self.chance.choice(OVER_TIME)
        return self.one_of(
            selector,
            f"{function}({selector}[{self.window()}])",
            f"{self.one_of('rate', 'increase')}({selector}[{self.window()}])",
            f"{self.one_of('sum', 'avg', 'sum', 'count')}{self.grouping()} ({selector})",
            f"sum{self.grouping()} (rate({selector}[{self.window()}]))",
        )

    def experimental(self, depth):
        inner = self.vector(depth - 1)
        by = ", ".join(f'"{label}"' for label in self.chance.sample(["job", "instance", "code", "zone"], 2))
        plain = self.selector(self.one_of("requests_total", "queue", "up", "errors_total"))
        return self.one_of(
            f"sort_by_label({inner}, {by})",
            f"sort_by_label_desc({inner}, {by})",
            f"info({plain})",
            f'info({plain}, {{version=~".+"}})',
            f'info({plain}, {{__name__="build_info"}})',
            f'info({plain}, {{__name__=~".+_info", {self.one_of("revision", "data", "version")}=~".*"}})',
            f'info(rate({plain}[5m]), {{data="a"}})',
            f"mad_over_time({self.range_vector(depth)})",
        )

    # What is no expression, or none with an answer.

    def spoil(self, text):
        position = self.chance.randint(0, len(text))
        return self.one_of(
            text[:position],
            text[:position] + self.one_of("(", ")", "[", "]", "{", "}", ",", "@", '"', "!", "5m", " by ", "=~") + text[position:],
            f"rate({text})",
            f"sum({text}, 1)",
            f"unknown_function({text})",
            f"{text} offset",
            f"{text}[5m]",
            f"{text} and 1",
            f"({text}) + on (job) group_left (job) ({text})",
            f'label_replace({text}, "~", "$1", "job", "(.*)")',
            f'label_replace({text}, "x", "$1", "job", "(")',
            f"topk({text}, up)",
            f"histogram_quantile({text})",
            f"1 == {text}",
            f"{text} == 1 == bool 2",
            '{__name__=~".*"}',
            "{}",
            f"abs({text}, 1)",
            f"{text} @ foo",
            f"-{text}[1m:]",
        )
