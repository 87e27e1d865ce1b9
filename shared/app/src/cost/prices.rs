//! The price table.

use std::collections::BTreeMap;

use super::{Item, Usage};

/// Prices of one region, in US dollars.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    region: String,
    prices: BTreeMap<Item, f64>,
}

/// Why a price table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// It is not the YAML that is expected.
    #[error("price table: {0}")]
    Malformed(String),
    /// A price is missing.
    #[error("price table of {region}: no price for {item}")]
    Missing {
        /// The table's region.
        region: String,
        /// What has no price.
        item: &'static str,
    },
    /// A price is below zero or no number.
    #[error("price table of {region}: {item} has the price {price}")]
    Impossible {
        /// The table's region.
        region: String,
        /// What has it.
        item: &'static str,
        /// The price.
        price: f64,
    },
}

impl Prices {
    /// The list prices of us-east-1.
    pub fn us_east_1() -> Self {
        let prices = Self::parse(include_str!("../../../../infra/prices/us-east-1.yml"));
        prices.expect("a test reads the table")
    }

    /// Reads a table in the form of `infra/prices/us-east-1.yml`.
    ///
    /// # Errors
    /// When it is no such table, or a price is missing or impossible.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let table: Self = serde_saphyr::from_str(text).map_err(|error| PriceError::Malformed(error.to_string()))?;
        for item in Item::ALL {
            let (region, item_name) = (table.region.clone(), item.as_str());
            match table.prices.get(&item) {
                None => return Err(PriceError::Missing { region, item: item_name }),
                Some(price) if !price.is_finite() || *price < 0.0 => {
                    return Err(PriceError::Impossible { region, item: item_name, price: *price });
                }
                Some(_) => {}
            }
        }
        Ok(table)
    }

    /// The region whose prices they are.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// What an amount of something costs, in dollars.
    #[expect(clippy::cast_precision_loss, reason = "a bill has fewer digits")]
    pub fn dollars(&self, item: Item, amount: u64) -> f64 {
        self.prices.get(&item).copied().unwrap_or(0.0) * amount as f64 / item.per_price()
    }

    /// What all of it costs together, in dollars.
    pub fn total(&self, usage: &Usage) -> f64 {
        usage.amounts().map(|(item, amount)| self.dollars(item, amount)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = include_str!("../../../../infra/prices/us-east-1.yml");

    #[track_caller]
    fn check(item: Item, amount: u64, dollars: f64) {
        let found = Prices::us_east_1().dollars(item, amount);
        assert!((found - dollars).abs() < dollars * 1e-9, "{item:?}: {found}, not {dollars}");
    }

    #[test]
    fn amounts_cost_what_the_table_says() {
        check(Item::TableWrite, 1_000_000, 0.625);
        check(Item::TableRead, 8_000_000, 1.0);
        check(Item::ObjectPut, 1000, 0.005);
        check(Item::FunctionMemoryTime, 1024 * 1000 * 3, 3.0 * 0.000_013_333_4);
        check(Item::ObjectByteHours, (1 << 30) * 730, 0.023);
        check(Item::BytesOut, 10 << 30, 0.9);
        check(Item::Mail, 1, 0.0001);
        check(Item::Alarm, 5 * 730, 0.5);
    }

    #[test]
    fn a_table_that_lacks_something_or_is_wrong_is_refused() {
        for (from, to, expected) in [
            ("  object_get: 0.40", "", "price table of us-east-1: no price for object_get"),
            ("sms: 0.00645", "sms: -1", "price table of us-east-1: sms has the price -1"),
            ("sms: 0.00645", "sms: .nan", "price table of us-east-1: sms has the price NaN"),
            ("schedule: 1.00", "shedule: 1.00", "price table: "),
        ] {
            let changed = TABLE.replace(from, to);
            assert_ne!(changed, TABLE);
            let message = Prices::parse(&changed).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn items_have_the_same_name_everywhere_and_numbers_of_their_own() {
        for item in Item::ALL {
            assert_eq!(serde_json::to_string(&item).unwrap(), format!("{:?}", item.as_str()));
            assert_eq!(Item::from_code(item.code()), Some(item));
        }
    }
}
