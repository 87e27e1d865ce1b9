//! The table of texts.

use model::Language;

/// Declares the keys and both texts of each: Japanese, then English.
macro_rules! texts {
    ($($(#[$doc:meta])* $key:ident => $ja:literal, $en:literal;)*) => {
        /// The key of a text; what it says is in the table of this file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the text itself says what a key is for")]
        pub enum Text { $($(#[$doc])* $key,)* }

        impl Text {
            /// Every key.
            pub const ALL: &'static [Self] = &[$(Self::$key,)*];

            /// The text, with places `{0}`, `{1}` for values in some.
            pub const fn in_language(self, language: Language) -> &'static str {
                match language {
                    Language::Japanese => match self { $(Self::$key => $ja,)* },
                    Language::English => match self { $(Self::$key => $en,)* },
                }
            }
        }
    };
}

texts! {
    // The frame of every page.
    SkipToContent => "本文へ移動", "Skip to content";
    MainNavigation => "主なページ", "Main pages";
    NavOverview => "概要", "Overview";
    NavAlerts => "アラート", "Alerts";
    NavExplore => "探索", "Explore";
    NavReports => "レポート", "Reports";
    NavStatus => "稼働状況", "Status";
    Tenant => "テナント", "Tenant";
    SignedInAs => "{0} としてログイン中", "Signed in as {0}";
    SignOut => "ログアウト", "Sign out";
    LanguageChoice => "言語", "Language";
    TimeZone => "タイムゾーン", "Time zone";
    Apply => "適用", "Apply";
    TimesShownIn => "時刻の表示：{0}（{1}）", "Times are shown in {0} ({1})";
    TimeRange => "表示期間", "Time range";
    CustomRange => "期間を指定", "Custom range";
    From => "開始", "From";
    To => "終了", "To";
    Last15m => "15分", "15m";
    Last1h => "1時間", "1h";
    Last6h => "6時間", "6h";
    Last24h => "24時間", "24h";
    Last7d => "7日", "7d";
    UpdatedAt => "{0} 現在", "As of {0}";
    LiveOn => "自動更新中", "Live";
    LivePaused => "更新を停止中", "Paused";
    LiveLost => "接続が切れました。再接続しています…", "Connection lost, trying again…";
    Pause => "更新を止める", "Pause updates";
    Resume => "更新を再開", "Resume updates";
    NoScript => "自動更新と値の読み取りには JavaScript が必要です。それ以外はこのまま使えます。",
        "Without JavaScript this page does not refresh by itself; everything else works.";

    // States; always together with a shape.
    StateCritical => "重大", "Critical";
    StateWarning => "警告", "Warning";
    StateInfo => "情報", "Info";
    StateOk => "正常", "OK";
    StateUnknown => "データなし", "No data";
    StateFiring => "発報中", "Firing";
    StatePending => "保留中", "Pending";
    StateInactive => "待機中", "Inactive";
    StateResolved => "解消", "Resolved";
    StateFailing => "評価失敗", "Failing";

    // Charts.
    ShowAsTable => "表で見る", "Show as table";
    ChartTableCaption => "{0}の値", "Values of {0}";
    Time => "時刻", "Time";
    Minimum => "最小", "Min";
    Mean => "平均", "Mean";
    Maximum => "最大", "Max";
    Last => "最新", "Last";
    Percentile95 => "95パーセンタイル", "95th percentile";
    NoDataInRange => "この期間のデータはありません", "No data in this range";
    ChartDescription => "{0} から {1} まで、{2} 系列。{3}", "From {0} to {1}, {2} series. {3}";
    SeriesLeftOut => "ほか {0} 系列は省略", "{0} more series are not shown";
    HistogramsAsMean => "ヒストグラムは観測値の平均で表示しています。分位数は次のクエリで求められます", "Native histograms are shown as the mean of their observations. For a quantile, ask";
    SeriesLast => "{0}：最新 {1}", "{0}: last {1}";

    // Overview.
    AlertsFiring => "{0} 件のアラートが発報中", "Alerts firing: {0}";
    NothingFiring => "発報中のアラートはありません", "No alert is firing";
    RulesWatching => "{0} 件のアラートルールで監視しています", "Alert rules on watch: {0}";
    PendingCount => "保留中 {0} 件", "Pending: {0}";
    FailingCount => "評価に失敗したルール {0} 件", "Rules that fail to evaluate: {0}";
    AllAlerts => "すべてのアラート", "All alerts";
    MoreAlerts => "ほか {0} 件", "{0} more";
    Since => "{0} から", "since {0}";
    CurrentValues => "現在の値", "Right now";
    Cpu => "CPU 使用率", "CPU usage";
    Memory => "メモリ使用率", "Memory usage";
    Swap => "スワップ使用率", "Swap usage";
    Disk => "ディスク使用率", "Disk usage";
    DiskThroughput => "ディスク入出力", "Disk throughput";
    Network => "ネットワーク入出力", "Network throughput";
    Load => "ロードアベレージ（1分）", "Load average (1 min)";
    Connections => "TCP 接続数", "TCP connections";
    ResponseTime => "応答時間", "Response time";
    Requests => "リクエスト数", "Requests";
    ErrorRate => "エラー率", "Error rate";
    SamplesReceived => "受信サンプル数", "Samples received";
    Read => "読み込み", "read";
    Write => "書き込み", "write";
    Receive => "受信", "received";
    Transmit => "送信", "sent";
    Average => "平均", "mean";
    Of => "{0} ／ {1}", "{0} of {1}";
    ResourcesSection => "リソース", "Resources";
    PerformanceSection => "パフォーマンス", "Performance";
    WaitingForSecondCollection => "2 回目の収集を待っています", "Waiting for the second collection";
    ReceivingSection => "受信状況", "What is being received";
    ActiveSeries => "系列数", "Series";
    SamplesPerSecond => "サンプル／秒", "Samples per second";
    StorageUsed => "使用ストレージ", "Storage used";
    BytesPerSample => "1 サンプルあたり", "Per sample";
    NewestSample => "最新のサンプル", "Newest sample";
    Ago => "{0}前", "{0} ago";
    NotYet => "まだありません", "None yet";
    Job => "ジョブ", "Job";
    Instance => "インスタンス", "Instance";
    SeriesCount => "系列", "Series";
    Freshness => "最終受信", "Last received";
    Up => "応答", "Up";
    UpYes => "あり", "Yes";
    UpNo => "なし", "No";
    FreshNow => "受信中", "Fresh";
    FreshLate => "遅れ", "Late";
    FreshGone => "途絶", "Gone";
    NoSources => "まだ何も届いていません。Prometheus の remote_write を {0} に向けてください。",
        "Nothing has arrived yet. Point a Prometheus remote_write at {0}.";
    SourcesLeftOut => "ほか {0} 件", "{0} more";

    // Alerts.
    ActiveAlerts => "有効なアラート", "Active alerts";
    NoActiveAlerts => "有効なアラートはありません", "No active alerts";
    History => "履歴", "History";
    NoHistory => "この期間に状態の変化はありません", "No changes of state in this range";
    HistoryTimeline => "アラートの時系列図", "Timeline of alerts";
    HistoryDescription => "{0} から {1} まで、{2} 件のアラート。内容は下の表にもあります。",
        "From {0} to {1}, alerts: {2}. The table below says the same.";
    Alert => "アラート", "Alert";
    Change => "変化", "Change";
    Labels => "ラベル", "Labels";
    Value => "値", "Value";
    Severity => "重要度", "Severity";
    Rules => "アラートルール", "Alert rules";
    HoldFor => "継続時間", "For";
    EveryInterval => "{0} ごとに評価", "Evaluated every {0}";
    LastEvaluation => "最終評価 {0}", "last evaluated {0}";
    NoRules => "ルールはまだありません", "There are no rules yet";

    // Explore.
    Query => "PromQL クエリ", "PromQL query";
    RunQuery => "実行", "Run";
    Results => "結果", "Results";
    QueryRefused => "クエリを実行できませんでした", "The query was refused";
    Series => "系列", "Series";

    // Reports.
    DailyReports => "日次レポート", "Daily reports";
    ReportDate => "対象日", "Day";
    ReportStatus => "区分", "State";
    ReportFinal => "確定", "Final";
    ReportSoFar => "途中経過", "So far";
    ReportDownloadHtml => "HTML を保存", "Download HTML";
    ReportDownloadJson => "JSON を保存", "Download JSON";
    LinkToCopy => "共有リンク（7日間有効）", "Link to share (7 days)";
    LinkCopied => "コピーしました", "Copied";
    LinkAltered => "リンクが途中で切れているか、書き換えられています。送り主にもう一度確認してください。",
        "The link is not whole, or was changed on its way. Ask whoever sent it for it again.";
    LinkExpired => "リンクの有効期限が切れています。送り主に新しいリンクを依頼してください。",
        "The link has expired. Ask whoever sent it for a new one.";
    LinkUsed => "このリンクは使用済みです。続きはアラートのページで操作してください。",
        "The link was used already. Go on at the page of alerts.";
    // Answers to alerts.
    AnswerTitle => "アラートへの対応", "Answer alerts";
    AnswerAck => "対応を開始する", "Acknowledge";
    AnswerSilence => "1時間通知を停止する", "Silence for an hour";
    AnswerEscalate => "次の担当者に連絡する", "Escalate";
    AnswerAssign => "担当者を割り当てる", "Assign";
    AnswerWhom => "担当者", "Assign to";
    AnswerOnce => "このリンクで操作できるのは一度だけです。", "The link works once.";
    AnswerDone => "記録しました。", "Done, and recorded.";
    AnswerOver => "対象のアラートはすでに終息しています。", "The alerts are over already.";
    AnsweredBy => "{0} が対応中", "acknowledged by {0}";
    AssignedTo => "担当: {0}", "assigned to {0}";
    NobodyAnswered => "未対応", "nobody has answered";
    PromiseBroken => "応答期限を超過", "the promised response time has passed";
    HistoryEvents => "通知と対応の記録", "Notifications and answers";
    HistorySearch => "検索", "Search";
    HistoryRule => "ルール", "Rule";
    HistoryKind => "種類", "Kind";
    HistoryAuthor => "実行者", "Author";
    HistoryWhat => "内容", "What happened";
    HistoryMatcher => "ラベル条件（例 instance=web-1）", "Label matcher (such as instance=web-1)";
    Detection => "検知から通知までの時間（24時間）", "From sample to notification (24 h)";
    DetectionSource => "データの送信元", "Source";
    DetectionCount => "通知回数", "Notifications";
    DetectionMedian => "中央値", "Median";
    DetectionLongest => "最大値", "Longest";
    RuleRecords => "ルールの評価", "What the rules were worth";
    RuleFired => "発生", "Fired";
    RuleActionable => "対応した割合", "Acted on";
    RuleFlaps => "再発（1時間以内）", "Flaps (within 1 h)";
    RuleBreaches => "応答期限超過", "Promises broken";
    RuleAcknowledge => "平均応答時間", "Mean time to acknowledge";
    RuleResolve => "平均解決時間", "Mean time to resolve";
    // Why people were told of an alert, or were not.
    WhyTitle => "通知の状況と理由", "Why people were told, or were not";
    WhyNone => "該当するアラートはありません。", "There are no alerts to tell of.";
    WhyMore => "ほかに {0} 件あります。ラベル条件で絞り込めます。", "{0} more: a label matcher narrows them.";
    WhyFires => "{0} から発報中です。", "It has been firing since {0}.";
    WhyEnded => "{0} に終息しました。", "It ended at {0}.";
    WhySilenced => "{0} のサイレンスにより {1} まで通知しません：{2}", "Silenced by {0} until {1}: {2}";
    WhyInhibited => "別のアラートが発報中のため抑制しています：{0}", "Inhibited while another alert fires: {0}";
    WhyReceiver => "宛先 {0}", "Receiver {0}";
    WhyGroup => "グループ {0}（アラート {1} 件）", "Group {0}, alerts: {1}";
    WhyOutOfHours => "時間帯 {0} により {1} まで通知しません。", "Muted by time interval {0} until {1}.";
    WhyOutOfHoursLong => "時間帯 {0} により1週間以上通知しません。", "Muted by time interval {0} for more than a week.";
    WhyWaits => "{0} までアラートを集めてから通知します（group_wait）。", "Alerts are collected until {0} (group_wait).";
    WhyNextLook => "次に確認するのは {0} です（group_interval）。", "It looks at its alerts next at {0} (group_interval).";
    WhyRepeat => "{0} より後の最初の確認で再通知します（repeat_interval）。",
        "Reminded at the first look after {0} (repeat_interval).";
    WhyTells => "次の確認で通知します：{0}", "Told at the next look: {0}";
    WhyTellsAgain => "届いていない可能性があるため再送します：{0}", "Told again, as it may not have arrived: {0}";
    WhyNotTold => "通知しません：{0}", "Not told: {0}";
    WhyToldFiring => "{0} に発報を通知しました：{1}", "Told at {0} that it fires: {1}";
    WhyToldResolved => "{0} に終息を通知しました：{1}", "Told at {0} that it ended: {1}";
    WhyToldOthers => "{0} に同じグループの別のアラートを通知しました：{1}", "Told at {0} about others of the group: {1}";
    WhyPending => "送信中（{0} 回目）：{1}", "Under way, try {0}: {1}";
    WhyTriedAgain => "送信に {0} 回失敗し、{1} に再試行します：{2}", "Failed {0} times, tried again at {1}: {2}";
    WhyAskedToWait => "送信先の求めにより {0} まで待ちます：{1}", "Its destination asked to wait until {0}: {1}";
    WhyGivenUp => "{0} 回失敗して中断しました（デッドレター）：{1}", "Given up after {0} tries, a dead letter: {1}";
    ReasonFirst => "最初の通知", "first notification";
    ReasonNewAlerts => "アラートの追加", "new alerts added";
    ReasonAllResolved => "すべて終息", "all alerts resolved";
    ReasonSomeResolved => "一部が終息", "some alerts resolved";
    ReasonRepeat => "再通知の間隔が経過", "repeat interval elapsed";
    ReasonMuteEnded => "停止時間帯の終了", "mute ended";
    ReasonOnCall => "当番への連絡", "on call";
    ReasonEscalated => "エスカレーション", "escalated";
    ReasonAcknowledged => "担当者の応答", "somebody takes it on";
    ReasonAssigned => "担当者の割り当て", "assigned";
    ReasonDigest => "未対応の一覧", "unanswered";
    QuietNothingFires => "発報中のアラートがなく、通知済みのものもありません", "nothing fires and nothing was announced";
    QuietNothingNew => "前回の通知から変化がありません", "nothing new since the last notification";
    QuietMuted => "グループのアラートはすべて停止または抑制されています", "all alerts of the group are muted";
    QuietResolvedUnwanted => "終息の通知は設定で無効です（send_resolved）", "send_resolved is off";
    QuietUnderWay => "前の通知を送信中です", "the notification before is still under way";
    QuietAskedToWait => "送信先の求めにより {0} まで待ちます", "the destination asked to be left alone until {0}";
    QuietRouteGone => "ルートが設定から削除されました", "the route is gone";
    QuietNoAlerts => "グループにアラートがありません", "the group has no alerts";
    ReportOf => "{0} のレポート", "report of {0}";
    MailReportIntro => "{0}（{1}）の日次レポートができました。", "The daily report of {0} ({1}) is ready.";
    MailReportAlerts => "アラート: 発報 {0} 件、解消 {1} 件、継続中 {2} 件",
        "Alerts: {0} fired, {1} resolved, {2} still firing";
    MailReportOpen => "レポートを開く", "Open the report";
    MailReportLink => "このリンクは {0} 日間有効で、トークンなしで開けます。",
        "This link works for {0} days and needs no token.";
    NoReports => "レポートはまだありません。日次レポートは毎日 {0} に前日分が作成されます。",
        "No reports yet. A daily report of the day before is written every day at {0}.";
    ReportsForOthers => "あなたのロール向けのレポートはありません",
        "There are no reports for your role";
    ReportDisabled => "日次レポートは設定で無効になっています", "Daily reports are switched off in the configuration";
    Formats => "形式", "Formats";

    // Status.
    Storage => "ストレージ", "Storage";
    StorageKind => "種類", "Kind";
    KindWal => "先行書き込みログ", "Write-ahead log";
    KindChunks => "チャンク", "Chunks";
    KindBlocks => "時間ブロック", "Hour blocks";
    KindRollups => "ロールアップ {0}", "Rollups {0}";
    Samples => "サンプル数", "Samples";
    Size => "サイズ", "Size";
    Total => "合計", "Total";
    Cost => "今月のAWS費用", "Cost on AWS this month";
    CostNotYet => "費用の集計はまだありません。最初の数値は1分ほどで表示されます。",
        "Nothing is counted yet. The first figures show within a minute or so.";
    CostMonthToDate => "今月これまで", "Month to date";
    CostForecast => "月末の見込み", "Forecast for the month";
    CostThirtyDays => "この調子で30日", "30 days at this rate";
    CostPerMillion => "100万サンプルあたり", "A million samples";
    CostNote => "{0} の定価、無料枠なし。{1} から集計しています。1台で動かしている場合は、同じ処理をAWSで行ったときの費用です。",
        "List prices of {0} without free tiers, counted since {1}. On a single machine: what the same work would cost on AWS.";
    CostByService => "サービス別の費用", "Cost by service";
    CostService => "サービス", "Service";
    CostByFunction => "関数別の費用", "Cost by function";
    CostFunction => "関数", "Function";
    CostDollars => "費用", "Cost";
    CostStanding => "待機時の固定費", "Standing by";

    Retention => "保存期間", "Retention";
    RetentionRaw => "生データ", "Raw samples";
    RetentionRollups => "ロールアップ", "Rollups";
    Version => "バージョン", "Version";
    Address => "アドレス", "Address";
    Process => "プロセス", "This process";

    ConfigRefused => "新しい設定ファイルに誤りがあります。直前の正しい設定で動いています。",
        "The newest configuration files have mistakes; the last good ones stay in force.";

    // Login and errors.
    Login => "ログイン", "Sign in";
    LoginToken => "アクセストークン", "Access token";
    LoginHint => "「mihari token create」で作成したトークンを入力してください。",
        "Enter a token made with “mihari token create”.";
    LoginFailed => "トークンが正しくないか、失効しています", "This token is wrong or no longer valid";
    ErrorInvalid => "リクエストに誤りがあります", "The request is not valid";
    ErrorForbidden => "このページを見る権限がありません", "You may not see this page";
    ErrorNotFound => "ページが見つかりません", "There is no such page";
    ErrorUnavailable => "一時的に応答できません", "Not available right now";
    ErrorInternal => "内部エラーが発生しました", "Something broke on our side";
    BackToOverview => "概要へ戻る", "Back to the overview";
    PanelFailed => "読み込めませんでした：{0}", "Could not be loaded: {0}";

    // The daily report.
    ReportTitle => "日次パフォーマンスレポート", "Daily performance report";
    ReportAudience => "対象：運用チーム", "For the operations team";
    ReportPeriod => "対象期間", "Period";
    ReportGenerated => "作成", "Written";
    ReportSoFarNote => "この日はまだ終わっていません。{0} までの途中経過です。",
        "This day is not over: these are the figures up to {0}.";
    PerformanceSummary => "パフォーマンス概要", "Performance summary";
    AlertStatistics => "アラート統計", "Alert statistics";
    ResourceUsage => "リソース使用率", "Resource usage";
    MainMetrics => "主要メトリクス", "Main metrics";
    Metric => "メトリクス", "Metric";
    DayBefore => "前日", "Day before";
    ChangeFromDayBefore => "前日比", "Change";
    Unchanged => "変化なし", "no change";
    OverThreshold => "しきい値超過", "Over threshold";
    OverFor => "{0} 超：{1}", "over {0}: {1}";
    NotExceeded => "超過なし", "never";
    AlertsFired => "発報", "Fired";
    AlertsResolved => "解消", "Resolved";
    AlertsStillFiring => "継続中", "Still firing";
    FiringTime => "発報時間", "Time firing";
    LongestFiring => "最長", "Longest";
    AlertsNone => "この日に発報したアラートはありません", "No alert fired on this day";
    AlertsMore => "前日より {0} 件多い", "{0} more than the day before";
    AlertsFewer => "前日より {0} 件少ない", "{0} fewer than the day before";
    AlertsSame => "前日と同数", "As many as the day before";
    OnCallResponse => "オンコールの応答", "On-call response";
    NothingToAnswer => "応答が必要なアラートはありませんでした", "No alert asked for an answer";
    PromisesKept => "すべて目標時間内に応答しました。", "Every answer came as promised.";
    PromisesBroken => "応答期限超過 {0} 件（対象 {1} 件）", "Promises broken: {0} of {1}";
    Promise => "応答目標", "Promise";
    PromiseWithin => "{0}以内に応答", "answer within {0}";
    PromiseThen => "{0}未応答で次の担当者へ", "unanswered: next tier after {0}";
    ResponsesAnswered => "応答", "Answered";
    ResponsesInTime => "期限内", "In time";
    ResponsesEscalated => "エスカレーション", "Escalated";
    ResponseAcknowledge => "応答まで（平均）", "To acknowledge (mean)";
    ResponseResolve => "解決まで（平均）", "To resolve (mean)";
    ResponseLongest => "最長 {0}", "longest {0}";
    SummaryQuiet => "重大なしきい値の超過はありませんでした。", "No critical threshold was exceeded.";
    SummaryExceeded => "重大なしきい値を超えた項目：{0}", "Critical thresholds were exceeded by: {0}";
    ReportNoData => "この日のデータはありません", "There is no data for this day";
    MeanLine => "{0}（前日）", "{0} (day before)";
}
