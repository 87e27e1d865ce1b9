//! What stands beside the samples of a request: exemplars, and what is said about metrics.
//!
//! None of it refuses a request: what cannot be kept is passed over and counted, as Prometheus does. Only a message that
//! is none is an error.

use model::{Exemplar, Limits, Metadata, MetricType, Timestamp};

use super::read_label;
use crate::error::ProtobufError;
use crate::protobuf::{BYTES, FIXED64, Reader, VARINT, tag};
use crate::series::Checks;

/// `MetricMetadata` of 1.0.
mod metadata_field {
    pub(super) const TYPE: u64 = 1;
    pub(super) const FAMILY: u64 = 2;
    pub(super) const HELP: u64 = 4;
    pub(super) const UNIT: u64 = 5;
}

/// `Metadata` of 2.0.
mod metadata_v2_field {
    pub(super) const TYPE: u64 = 1;
    pub(super) const HELP_REF: u64 = 3;
    pub(super) const UNIT_REF: u64 = 4;
}

/// `Exemplar` of both versions; the labels are messages in 1.0 and references in 2.0.
mod exemplar_field {
    pub(super) const LABELS: u64 = 1;
    pub(super) const VALUE: u64 = 2;
    pub(super) const TIMESTAMP: u64 = 3;
}

const METADATA_FIELDS: &[(u64, &str, u8)] = &[
    (metadata_field::TYPE, "type", VARINT),
    (metadata_field::FAMILY, "metric_family_name", BYTES),
    (metadata_field::HELP, "help", BYTES),
    (metadata_field::UNIT, "unit", BYTES),
];
const METADATA_V2_FIELDS: &[(u64, &str, u8)] = &[
    (metadata_v2_field::TYPE, "type", VARINT),
    (metadata_v2_field::HELP_REF, "help_ref", VARINT),
    (metadata_v2_field::UNIT_REF, "unit_ref", VARINT),
];
const EXEMPLAR_FIELDS: &[(u64, &str, u8)] = &[
    (exemplar_field::LABELS, "labels", BYTES),
    (exemplar_field::VALUE, "value", FIXED64),
    (exemplar_field::TIMESTAMP, "timestamp", VARINT),
];

/// Reads what a request of 1.0 says about a metric; `None` when that is not kept.
pub(super) fn metadata(mut reader: Reader<'_>, limits: &Limits) -> Result<Option<Metadata>, ProtobufError> {
    let (mut metric_type, mut metric, mut help, mut unit): (_, &[u8], &[u8], &[u8]) = (0, &[], &[], &[]);
    while let Some(field) = reader.tag()? {
        if field == tag(metadata_field::TYPE, VARINT) {
            metric_type = reader.varint()?;
        } else if field == tag(metadata_field::FAMILY, BYTES) {
            metric = reader.bytes()?;
        } else if field == tag(metadata_field::HELP, BYTES) {
            help = reader.bytes()?;
        } else if field == tag(metadata_field::UNIT, BYTES) {
            unit = reader.bytes()?;
        } else {
            reader.skip(field, METADATA_FIELDS)?;
        }
    }
    Ok(checked(MetricType::from_number(metric_type), metric, [help, unit], limits))
}

/// What is said about a metric, unless it is too long, no text, or about nothing.
pub(super) fn checked(
    metric_type: MetricType,
    metric: &[u8],
    [help, unit]: [&[u8]; 2],
    limits: &Limits,
) -> Option<Metadata> {
    let size_bytes = metric.len() + help.len() + unit.len();
    if metric.is_empty() || size_bytes > limits.metadata_bytes_max {
        return None;
    }
    let text = |bytes| str::from_utf8(bytes).ok().map(str::to_owned);
    let metric = metric_type.family(str::from_utf8(metric).ok()?).to_owned();
    Some(Metadata { metric, metric_type, help: text(help)?, unit: text(unit)? })
}

/// What a series of 2.0 says about its metric: the type, and the references of help and unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MetadataRefs {
    pub(super) metric_type: u64,
    pub(super) help: u64,
    pub(super) unit: u64,
}

impl MetadataRefs {
    /// Reads a `Metadata` of 2.0.
    pub(super) fn read(mut reader: Reader<'_>) -> Result<Self, ProtobufError> {
        let mut read = Self::default();
        while let Some(field) = reader.tag()? {
            if field == tag(metadata_v2_field::TYPE, VARINT) {
                read.metric_type = reader.varint()?;
            } else if field == tag(metadata_v2_field::HELP_REF, VARINT) {
                read.help = reader.varint()?;
            } else if field == tag(metadata_v2_field::UNIT_REF, VARINT) {
                read.unit = reader.varint()?;
            } else {
                reader.skip(field, METADATA_V2_FIELDS)?;
            }
        }
        Ok(read)
    }
}

/// Reads an exemplar of 1.0; `None` when it is one that is not kept.
pub(super) fn exemplar(mut reader: Reader<'_>, checks: &Checks<'_>) -> Result<Option<Exemplar>, ProtobufError> {
    let mut pairs = Vec::new();
    let (mut value, mut timestamp) = (0.0, Timestamp::default());
    while let Some(field) = reader.tag()? {
        if field == tag(exemplar_field::LABELS, BYTES) {
            pairs.push(read_label(reader.message()?)?);
        } else {
            read_observation(field, &mut reader, (&mut value, &mut timestamp))?;
        }
    }
    Ok(checks.exemplar(pairs, value, timestamp))
}

/// Reads an exemplar of 2.0; `None` when it is one that is not kept.
pub(super) fn exemplar_v2(
    mut reader: Reader<'_>,
    symbols: &[&[u8]],
    checks: &Checks<'_>,
) -> Result<Option<Exemplar>, ProtobufError> {
    let mut references = Vec::new();
    let (mut value, mut timestamp) = (0.0, Timestamp::default());
    while let Some(field) = reader.tag()? {
        if field == tag(exemplar_field::LABELS, BYTES) {
            let mut packed = reader.message()?;
            while !packed.rest().is_empty() {
                references.push(packed.varint()?);
            }
        } else if field == tag(exemplar_field::LABELS, VARINT) {
            references.push(reader.varint()?);
        } else {
            read_observation(field, &mut reader, (&mut value, &mut timestamp))?;
        }
    }
    let symbol = |reference: u64| usize::try_from(reference).ok().and_then(|index| symbols.get(index)).copied();
    let (pairs, rest) = references.as_chunks::<2>();
    let pairs: Option<Vec<_>> = pairs.iter().map(|[name, text]| Some((symbol(*name)?, symbol(*text)?))).collect();
    Ok(pairs.filter(|_| rest.is_empty()).and_then(|pairs| checks.exemplar(pairs, value, timestamp)))
}

fn read_observation(
    field: u64,
    reader: &mut Reader<'_>,
    (value, timestamp): (&mut f64, &mut Timestamp),
) -> Result<(), ProtobufError> {
    if field == tag(exemplar_field::VALUE, FIXED64) {
        *value = reader.double()?;
    } else if field == tag(exemplar_field::TIMESTAMP, VARINT) {
        *timestamp = Timestamp::from_millis(reader.varint()?.cast_signed());
    } else {
        reader.skip(field, EXEMPLAR_FIELDS)?;
    }
    Ok(())
}
