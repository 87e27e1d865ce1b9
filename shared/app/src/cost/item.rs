//! Everything that is billed.

/// One kind of thing that a bill counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Invocations of functions.
    FunctionRequest,
    /// Memory times time of functions, in MB times milliseconds.
    FunctionMemoryTime,
    /// Requests at the HTTP API, of 512 KB each.
    HttpRequest,
    /// Bytes that leave.
    BytesOut,
    /// Invocations by a schedule.
    Schedule,
    /// Write units of the table, of 1 KB each.
    TableWrite,
    /// Read units of the table, strongly consistent, of 4 KB each.
    TableRead,
    /// What the table keeps: bytes times hours.
    TableByteHours,
    /// Objects stored, and pages of listings.
    ObjectPut,
    /// Objects, or parts of them, read.
    ObjectGet,
    /// What the object store keeps: bytes times hours.
    ObjectByteHours,
    /// Messages published, of 64 KB each.
    TopicPublish,
    /// Requests at the queue, of 64 KB each.
    QueueRequest,
    /// Mails, by recipient.
    Mail,
    /// Text messages, by recipient.
    Sms,
    /// Metrics asked for from CloudWatch.
    CloudwatchMetric,
    /// Alarms on ourselves: metrics they read times hours.
    Alarm,
}

/// Hours of a month, as AWS counts them.
pub(super) const MONTH_HOURS: f64 = 730.0;
const GB: f64 = 1_073_741_824.0;

impl Item {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::FunctionRequest,
        Self::FunctionMemoryTime,
        Self::HttpRequest,
        Self::BytesOut,
        Self::Schedule,
        Self::TableWrite,
        Self::TableRead,
        Self::TableByteHours,
        Self::ObjectPut,
        Self::ObjectGet,
        Self::ObjectByteHours,
        Self::TopicPublish,
        Self::QueueRequest,
        Self::Mail,
        Self::Sms,
        Self::CloudwatchMetric,
        Self::Alarm,
    ];

    /// Its name in the price table and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FunctionRequest => "function_request",
            Self::FunctionMemoryTime => "function_memory_time",
            Self::HttpRequest => "http_request",
            Self::BytesOut => "bytes_out",
            Self::Schedule => "schedule",
            Self::TableWrite => "table_write",
            Self::TableRead => "table_read",
            Self::TableByteHours => "table_byte_hours",
            Self::ObjectPut => "object_put",
            Self::ObjectGet => "object_get",
            Self::ObjectByteHours => "object_byte_hours",
            Self::TopicPublish => "topic_publish",
            Self::QueueRequest => "queue_request",
            Self::Mail => "mail",
            Self::Sms => "sms",
            Self::CloudwatchMetric => "cloudwatch_metric",
            Self::Alarm => "alarm",
        }
    }

    /// The service whose bill it stands on.
    pub const fn service(self) -> &'static str {
        match self {
            Self::FunctionRequest | Self::FunctionMemoryTime => "Lambda",
            Self::HttpRequest => "API Gateway",
            Self::BytesOut => "Data transfer",
            Self::Schedule => "EventBridge Scheduler",
            Self::TableWrite | Self::TableRead | Self::TableByteHours => "DynamoDB",
            Self::ObjectPut | Self::ObjectGet | Self::ObjectByteHours => "S3",
            Self::TopicPublish | Self::Sms => "SNS",
            Self::QueueRequest => "SQS",
            Self::Mail => "SES",
            Self::CloudwatchMetric | Self::Alarm => "CloudWatch",
        }
    }

    /// How many of it one price is for: the price table has AWS's units.
    pub(super) const fn per_price(self) -> f64 {
        match self {
            Self::FunctionRequest
            | Self::HttpRequest
            | Self::Schedule
            | Self::TableWrite
            | Self::TableRead
            | Self::ObjectPut
            | Self::ObjectGet
            | Self::TopicPublish
            | Self::QueueRequest => 1e6,
            Self::FunctionMemoryTime => 1024.0 * 1000.0,
            Self::BytesOut => GB,
            Self::TableByteHours | Self::ObjectByteHours => GB * MONTH_HOURS,
            Self::Mail | Self::CloudwatchMetric => 1e3,
            Self::Sms => 1.0,
            Self::Alarm => MONTH_HOURS,
        }
    }

    /// Its number in stored rows, which never changes.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::FunctionRequest => 1,
            Self::FunctionMemoryTime => 2,
            Self::HttpRequest => 3,
            Self::BytesOut => 4,
            Self::Schedule => 5,
            Self::TableWrite => 6,
            Self::TableRead => 7,
            Self::TableByteHours => 8,
            Self::ObjectPut => 9,
            Self::ObjectGet => 10,
            Self::ObjectByteHours => 11,
            Self::TopicPublish => 12,
            Self::QueueRequest => 13,
            Self::Mail => 14,
            Self::Sms => 15,
            Self::CloudwatchMetric => 16,
            Self::Alarm => 17,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|item| item.code() == code)
    }
}
