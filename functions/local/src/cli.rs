//! The command line: what can be said, and the help that teaches it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::Limits;
use promql::Profile;

use crate::demo;

/// Where a server listens unless told otherwise.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:9099";
/// Where commands find the server unless told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:9099";

/// Mihari (見張り, lookout): metrics in, PromQL out, alerts to the right person, reports on schedule.
///
/// Without a command it serves: it opens ./mihari-data, collects this machine's own metrics, evaluates the default
/// rules every minute and shows everything at http://127.0.0.1:9099. Point a Prometheus at it with
/// `remote_write: [{url: "http://127.0.0.1:9099/api/v1/write"}]`.
#[derive(Debug, Parser)]
#[command(name = "mihari", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The flags of `serve`, so that they also work without naming it.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all of Mihari in this process until Ctrl-C.
    Serve(ServeArgs),
    /// Ask a running server a PromQL question.
    Query(QueryArgs),
    /// Work with PromQL: run test scripts of queries.
    #[command(subcommand)]
    Promql(PromqlCommand),
    /// Work with rule files.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Have a running server write a report now.
    #[command(subcommand)]
    Report(ReportCommand),
    /// Answer alerts; ask why people were told of one or were not; deliver again what could not be delivered.
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// Make, list or revoke access tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Send, fetch or look at the configuration of a server or a stack: rules, routes, reports.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What this month costs on AWS, and what the month will cost; on one machine, what its work would cost there.
    Cost {
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Send the metrics of a make-believe dataset management system, to try things with.
    Demo(demo::DemoArgs),
}

/// How to serve.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// The folder that everything is kept in; made when it is not there.
    #[arg(long, env = "MIHARI_DATA_DIR", default_value = "mihari-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Where to listen. Anything but a loopback address needs a token first (`mihari token create`).
    #[arg(long, env = "MIHARI_LISTEN", default_value = DEFAULT_LISTEN, value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,
    /// A folder with rules/*.yml, alertmanager.yml, oncall.yml, forward.yml and reports.yml. Changes are picked up within a minute; a
    /// broken file is named and the last good one stays. Without it holds what `mihari config push` sent last, or else the
    /// built-in defaults.
    #[arg(long, env = "MIHARI_CONFIG", value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// The oldest sample that is taken, such as 7d or 100y. At most the raw retention.
    #[arg(long, env = "MIHARI_MAX_SAMPLE_AGE", default_value = "7d", value_parser = duration, value_name = "DURATION")]
    pub(crate) max_sample_age: Duration,
    /// How long raw samples are kept; rollups are kept a year.
    #[arg(long, env = "MIHARI_RAW_RETENTION", default_value = "7d", value_parser = duration, value_name = "DURATION")]
    pub(crate) raw_retention: Duration,
    /// The PromQL that queries and rules are written in: `extended` is all of it, experiments included; `prometheus` is
    /// what a stock Prometheus takes.
    #[arg(long, env = "MIHARI_PROMQL_PROFILE", default_value_t, value_name = "PROFILE")]
    pub(crate) promql_profile: Profile,
    /// How long one query may take.
    #[arg(long, env = "MIHARI_QUERY_TIMEOUT", default_value = "2m", value_parser = duration, value_name = "DURATION")]
    pub(crate) query_timeout: Duration,
    /// Most samples a query may select, and hold in memory at a moment.
    #[arg(long, env = "MIHARI_QUERY_SAMPLES_MAX", default_value_t = Limits::default().query_samples_max, value_name = "N")]
    pub(crate) query_samples_max: usize,
    /// Most series that one selector of a query may find.
    #[arg(long, env = "MIHARI_QUERY_SERIES_MAX", default_value_t = Limits::default().query_series_max, value_name = "N")]
    pub(crate) query_series_max: usize,
    /// Most steps of a range query.
    #[arg(long, env = "MIHARI_QUERY_POINTS_MAX", default_value_t = Limits::default().query_points_max, value_name = "N")]
    pub(crate) query_points_max: usize,
    /// The address people reach the pages at; stands in notifications. http://ADDR:PORT unless told otherwise, with
    /// this machine's name for 0.0.0.0.
    #[arg(long, env = "MIHARI_EXTERNAL_URL", value_name = "URL")]
    pub(crate) external_url: Option<String>,
    /// The language of notifications, reports and, where a browser asks for neither, pages.
    #[arg(long, env = "MIHARI_LANGUAGE", default_value = "ja", value_name = "LANGUAGE")]
    pub(crate) language: LanguageArg,
    /// The time zone of notifications, reports and pages, by its IANA name.
    #[arg(long, env = "MIHARI_TIME_ZONE", default_value = "Asia/Tokyo", value_name = "ZONE")]
    pub(crate) time_zone: String,
    /// The name to log in to the mail server with; the server itself stands in alertmanager.yml.
    #[arg(long, env = "MIHARI_SMTP_USERNAME", value_name = "NAME")]
    pub(crate) smtp_username: Option<String>,
    /// The password of the mail server; best given by its environment variable, since others see the command line.
    #[arg(long, env = "MIHARI_SMTP_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub(crate) smtp_password: Option<String>,
    /// Do not collect this machine's own metrics.
    #[arg(long, env = "MIHARI_NO_HOST_METRICS")]
    pub(crate) no_host_metrics: bool,
    /// Write the log as JSON, one object a line.
    #[arg(long, env = "MIHARI_LOG_JSON")]
    pub(crate) log_json: bool,
}

/// A language by its tag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LanguageArg {
    /// Japanese.
    Ja,
    /// English.
    En,
}

/// Where the server is, and who asks.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// The server; http://127.0.0.1:9099 unless told otherwise.
    #[arg(long, env = "MIHARI_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Instead of a server: the stack on AWS of this name. Needs the command line `aws`, whose region and credentials
    /// count, and no token.
    #[arg(long, value_name = "NAME")]
    pub(crate) stack: Option<String>,
    /// The access token, when the server asks for one.
    #[arg(long, env = "MIHARI_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The tenant to ask about, on a server without tokens.
    #[arg(long, env = "MIHARI_TENANT", value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Print JSON instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

impl ServerArgs {
    /// The server's address.
    pub(crate) fn url(&self) -> &str {
        self.url.as_deref().unwrap_or(DEFAULT_URL)
    }

    /// Whether a server or stack was named, rather than this machine's own.
    pub(crate) const fn is_named(&self) -> bool {
        self.url.is_some() || self.stack.is_some()
    }
}

/// What to ask.
#[derive(Args, Debug)]
pub(crate) struct QueryArgs {
    /// The PromQL expression, such as `up` or `sum(rate(node_cpu_seconds_total[5m])) by (mode)`.
    pub(crate) expr: String,
    /// The time to answer for: seconds since 1970 or RFC 3339; now when nothing is said.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["start", "end", "step"])]
    pub(crate) time: Option<String>,
    /// The first step of a range query.
    #[arg(long, value_name = "TIME", requires = "end")]
    pub(crate) start: Option<String>,
    /// The last step of a range query.
    #[arg(long, value_name = "TIME", requires = "start")]
    pub(crate) end: Option<String>,
    /// From one step to the next.
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub(crate) step: String,
    /// Where the server is.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// What to do with PromQL.
#[derive(Debug, Subcommand)]
pub(crate) enum PromqlCommand {
    /// Run test scripts: `load` series, `eval instant at` or `eval range from` a query, and what it must answer, in the
    /// format of Prometheus's own query tests. Exit code 1 when an answer is another.
    Test {
        /// Files of scripts, usually *.test.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print JSON instead of text for people.
        #[arg(long)]
        json: bool,
    },
}

/// What to do with rule files.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Read rule files as the server would, and say what is wrong with them. Exit code 1 when something is.
    Check(RulesCheckArgs),
    /// Run unit tests of rules: files in the format of `promtool test rules`. Exit code 1 when one fails.
    Test(RulesTestArgs),
}

/// Which rule files to read.
#[derive(Args, Clone, Debug)]
pub(crate) struct RulesCheckArgs {
    /// Files, or folders whose *.yml and *.yaml files are read.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What else to look for: rules that stand there twice, or nothing.
    #[arg(long, value_name = "CHECK", default_value = "duplicate-rules")]
    pub(crate) lint: RulesLint,
    /// Exit with code 3 when the lint finds something.
    #[arg(long)]
    pub(crate) lint_fatal: bool,
    /// Accept fields that rule files do not have.
    #[arg(long)]
    pub(crate) ignore_unknown_fields: bool,
    /// The PromQL they are written in: that of the server, extended or prometheus.
    #[arg(long, env = "MIHARI_PROMQL_PROFILE", default_value_t, value_name = "PROFILE")]
    pub(crate) promql_profile: Profile,
    /// Print JSON instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `rules check` looks for beside mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RulesLint {
    /// Every check there is.
    All,
    /// Rules of one name with the same labels.
    DuplicateRules,
    /// Nothing.
    None,
}

/// Which unit tests to run.
#[derive(Args, Clone, Debug)]
pub(crate) struct RulesTestArgs {
    /// Files with tests.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Run only tests whose name matches one of these regular expressions.
    #[arg(long, value_name = "REGEX")]
    pub(crate) run: Vec<String>,
    /// Show what differs, in colour, instead of all that was expected and found.
    #[arg(long)]
    pub(crate) diff: bool,
    /// Print every series at the end of each test.
    #[arg(long)]
    pub(crate) debug: bool,
    /// Accept fields that rule files do not have.
    #[arg(long)]
    pub(crate) ignore_unknown_fields: bool,
    /// The PromQL they are written in: that of the server, extended or prometheus.
    #[arg(long, env = "MIHARI_PROMQL_PROFILE", default_value_t, value_name = "PROFILE")]
    pub(crate) promql_profile: Profile,
    /// Write the outcome to this file too, as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

/// Which report to write.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// The daily report: performance, alerts, resources, main metrics.
    Daily {
        /// The day, such as 2026-11-22, in the server's time zone; yesterday when nothing is said.
        #[arg(long, value_name = "DAY")]
        day: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// What to ask about alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// Say why people were told of alerts, or were not: the route, the group and its clocks, silences, inhibition,
    /// calendars, what each receiver was told already.
    Explain {
        /// Labels, such as alertname=cpu_usage instance=web-1: all alerts that have these. Where there is none, what would
        /// become of one.
        #[arg(required = true, value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List notifications that were given up and not told since: the dead letters.
    DeadLetters {
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Deliver dead letters again. Exit code 1 when one still cannot be delivered.
    Redrive {
        /// Which, as `dead-letters` names them.
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
        ids: Vec<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the alerts that somebody must answer: who did, whose they are, how long nobody has.
    List {
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Take alerts on: nobody else is called.
    Ack(AnswerArgs),
    /// Give alerts to a person, who is called.
    Assign {
        /// The short name of the person in oncall.yml.
        #[arg(long, value_name = "PERSON")]
        to: String,
        /// Which alerts, and who does it.
        #[command(flatten)]
        answer: AnswerArgs,
    },
    /// Call the next tier now.
    Escalate(AnswerArgs),
    /// Silence alerts for a while, by the labels that they have in common.
    Silence {
        /// How long.
        #[arg(long, value_name = "DURATION", default_value = "1h")]
        duration: String,
        /// Which alerts, and who does it.
        #[command(flatten)]
        answer: AnswerArgs,
    },
    /// Tell what happened to alerts: changes, notifications, answers, silences, the newest first.
    History {
        /// Only of alerts with such labels, such as instance=web-1 or severity=~critical|warning.
        #[arg(value_name = "MATCHER")]
        matchers: Vec<String>,
        /// Only of this rule.
        #[arg(long, value_name = "NAME")]
        rule: Option<String>,
        /// Only of this kind: transition, notification, acknowledged, assigned, escalated, breached, called, silenced.
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// From when on: seconds since 1970 or RFC 3339; the last day when nothing is said.
        #[arg(long, value_name = "TIME")]
        start: Option<String>,
        /// Until when.
        #[arg(long, value_name = "TIME")]
        end: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Say who is on call.
    Oncall {
        /// When: seconds since 1970 or RFC 3339; now when nothing is said.
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Where the server is.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Which alerts to answer, and who does it.
#[derive(Args, Debug)]
pub(crate) struct AnswerArgs {
    /// Matchers, such as alertname=cpu_usage instance=web-1: all firing alerts that fulfil every one.
    #[arg(required = true, value_name = "MATCHER")]
    pub(crate) matchers: Vec<String>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Who, for the history. A token says it by its name.
    #[arg(long, env = "USER", value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// Where the server is.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it: the only time it is shown. From the first one on, everybody needs one.
    Create {
        /// A person's or a machine's name; it is the author in histories.
        #[arg(long)]
        name: String,
        /// What it allows: write, read, admin, separated by commas.
        #[arg(long, default_value = "write,read", value_name = "SCOPES")]
        scopes: String,
        /// Its bearer's work, which decides pages and reports: ops, tech or exec.
        #[arg(long, default_value = "ops")]
        role: String,
        /// Where they are kept.
        #[command(flatten)]
        place: Place,
    },
    /// List tokens: names and rights, never the tokens themselves.
    List {
        /// Where they are kept.
        #[command(flatten)]
        place: Place,
    },
    /// Make a token worthless, and every session that was opened with it.
    Revoke {
        /// The token's name.
        #[arg(long)]
        name: String,
        /// Where they are kept.
        #[command(flatten)]
        place: Place,
    },
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a folder of configuration, and say what it asks for that is not done. Exit code 1 and the place of every
    /// mistake when something in it is wrong.
    Check {
        /// The folder.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check a folder of configuration and put it into force; everything runs by it within a minute. Exit code 1 and
    /// the place of every mistake when something in it is wrong: then nothing changes.
    Push {
        /// The folder: rules/*.yml, alertmanager.yml and its *.tmpl, oncall.yml, forward.yml, reports.yml; those of other
        /// tenants below tenants/ID/.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Who pushes, for the history. A token says it by its name.
        #[arg(long, env = "USER", value_name = "NAME")]
        author: Option<String>,
        /// Where it is kept.
        #[command(flatten)]
        place: Place,
    },
    /// Write the configuration in force, or the built-in defaults before the first push, into a folder.
    Pull {
        /// The folder; made when it is not there.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Replace files of the folder that differ.
        #[arg(long)]
        overwrite: bool,
        /// Where it is kept.
        #[command(flatten)]
        place: Place,
    },
    /// Say what is in force, who pushed it, and what is wrong with it; or print one of its files.
    Show {
        /// The file to print, such as alertmanager.yml.
        #[arg(value_name = "FILE")]
        file: Option<String>,
        /// Where it is kept.
        #[command(flatten)]
        place: Place,
    },
}

/// Where tokens and configuration are kept: with the server or stack that is named, else in the data folder, or with
/// the server that runs on it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// The data folder, when neither --url nor --stack is given; while a server runs on it, that one is asked.
    #[arg(long, env = "MIHARI_DATA_DIR", default_value = "mihari-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// The server to ask while it runs.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

fn duration(text: &str) -> Result<Duration, model::duration::DurationError> {
    model::duration::parse(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_serve_work_with_and_without_its_name() {
        for words in [&["mihari", "--listen", "127.0.0.1:1"][..], &["mihari", "serve", "--listen", "127.0.0.1:1"]] {
            let cli = Cli::try_parse_from(words).unwrap();
            let serve = match cli.command {
                Some(Command::Serve(args)) => args,
                _ => cli.serve,
            };
            assert_eq!(serve.listen.port(), 1);
            assert_eq!(serve.max_sample_age, Duration::from_secs(7 * 86_400));
        }
    }
}
