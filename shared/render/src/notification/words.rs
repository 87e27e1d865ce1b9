//! The words of notifications that stand in no template.

use model::Language;

/// A value that the rule does not give.
pub(super) const fn not_given(language: Language) -> &'static str {
    match language {
        Language::Japanese => "（記載なし）",
        Language::English => "(not given)",
    }
}

/// So many others.
pub(super) fn more(language: Language, count: usize) -> String {
    match language {
        Language::Japanese => format!("ほか{count}件"),
        Language::English => format!("and {count} more"),
    }
}

/// How many alerts fire and how many ended.
pub(super) fn counts(language: Language, firing: usize, resolved: usize) -> String {
    match (language, firing, resolved) {
        (Language::Japanese, firing, 0) => format!("発生中 {firing}件"),
        (Language::Japanese, 0, resolved) => format!("解決 {resolved}件"),
        (Language::Japanese, firing, resolved) => format!("発生中 {firing}件、解決 {resolved}件"),
        (Language::English, firing, 0) => format!("{firing} firing"),
        (Language::English, 0, resolved) => format!("{resolved} resolved"),
        (Language::English, firing, resolved) => format!("{firing} firing, {resolved} resolved"),
    }
}

/// Why a notification is sent; Alertmanager's words where there are no better ones.
pub(super) fn reason(language: Language, reason: &str) -> &str {
    match (language, reason) {
        (Language::Japanese, "first notification") => "最初の通知",
        (Language::Japanese, "new alerts added") => "新しいアラートの追加",
        (Language::Japanese, "all alerts resolved") => "すべてのアラートの解決",
        (Language::Japanese, "some alerts resolved") => "一部のアラートの解決",
        (Language::Japanese, "repeat interval elapsed") => "継続中のアラートの再通知",
        (Language::Japanese, "mute ended") => "通知停止時間帯の終了",
        (Language::Japanese, "on call") => "オンコール担当者への連絡",
        (Language::Japanese, "escalated") => "期限内に応答がないためのエスカレーション",
        (Language::English, "escalated") => "nobody answered in time",
        (Language::Japanese, "acknowledged") => "担当者の応答",
        (Language::English, "acknowledged") => "somebody takes it on",
        (Language::Japanese, "assigned") => "担当者の割り当て",
        (Language::English, "assigned") => "assigned to you",
        (Language::Japanese, "unanswered") => "応答のないアラートの一覧",
        (Language::English, "unanswered") => "nobody answered these yet",
        (Language::Japanese | Language::English, other) => other,
    }
}

/// Who takes an alert on.
pub(super) fn answered_by(language: Language, by: &str) -> String {
    match language {
        Language::Japanese => format!("対応者: {by}"),
        Language::English => format!("acknowledged by {by}"),
    }
}

/// The line with the rule's summary, which holds the measured value.
pub(super) const fn summary(language: Language) -> &'static str {
    match language {
        Language::Japanese => "概要",
        Language::English => "Summary",
    }
}

/// The line that names the labels.
pub(super) const fn labels(language: Language) -> &'static str {
    match language {
        Language::Japanese => "ラベル",
        Language::English => "Labels",
    }
}

/// The line that links to the expression.
pub(super) const fn graph(language: Language) -> &'static str {
    match language {
        Language::Japanese => "グラフ",
        Language::English => "Graph",
    }
}

/// The line that links to what to do.
pub(super) const fn runbook(language: Language) -> &'static str {
    match language {
        Language::Japanese => "手順書",
        Language::English => "Runbook",
    }
}

/// The link to the page of alerts.
pub(super) const fn all_alerts(language: Language) -> &'static str {
    match language {
        Language::Japanese => "アラート一覧",
        Language::English => "All alerts",
    }
}

/// The line that says why.
pub(super) const fn why(language: Language) -> &'static str {
    match language {
        Language::Japanese => "通知の理由",
        Language::English => "Reason",
    }
}

/// Where whoever is called answers.
pub(super) const fn answer(language: Language) -> &'static str {
    match language {
        Language::Japanese => "対応する",
        Language::English => "Answer",
    }
}

/// What a button does.
pub(super) fn button(language: Language, action: &str) -> &str {
    match (language, action) {
        (Language::Japanese, "ack") => "対応開始",
        (Language::English, "ack") => "Acknowledge",
        (Language::Japanese, "silence") => "1時間停止",
        (Language::English, "silence") => "Silence 1 h",
        (Language::Japanese, "escalate") => "エスカレーション",
        (Language::English, "escalate") => "Escalate",
        (Language::Japanese | Language::English, other) => other,
    }
}
