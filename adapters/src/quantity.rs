//! Numbers as Ethereum's JSON-RPC writes them: `0x`, and hex digits without leading zeros.
//!
//! Read strictly: a decimal number or a longer form is a mistake that must not be taken for another
//! number.

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of up to 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(pub(crate) u64);

/// A number of up to 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LongQuantity(pub(crate) U256);

const FORM: &str = "a quantity: 0x and hex digits without leading zeros";

fn parse(text: &str) -> Option<U256> {
    let digits = text.strip_prefix("0x")?;
    let canonical = digits == "0" || !digits.starts_with('0');
    let hex = !digits.is_empty() && digits.len() <= 64;
    let hex = hex && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    U256::from_str_radix(digits, 16).ok().filter(|_| canonical && hex)
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

impl<'de> Deserialize<'de> for LongQuantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let invalid = || de::Error::invalid_value(de::Unexpected::Str(&text), &FORM);
        parse(&text).map(Self).ok_or_else(invalid)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let LongQuantity(number) = LongQuantity::deserialize(deserializer)?;
        let wide = || de::Error::custom(format_args!("{number:#x} has more than 64 bits"));
        u64::try_from(number).map(Self).map_err(|_| wide())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn only_the_canonical_form_is_read() {
        for number in [0, 1, 10, 0x1f0, u64::MAX] {
            let text = json!(Quantity(number));
            assert_eq!(from_value::<Quantity>(text).unwrap(), Quantity(number));
        }
        assert_eq!(json!(Quantity(0x1f0)), "0x1f0");
        assert_eq!(json!(Quantity(0)), "0x0");
        for wrong in ["", "0x", "12", "0x01", "0x00", "0xg", "0x1_0", "0x+1", "0X1", "x1"] {
            from_value::<Quantity>(json!(wrong)).unwrap_err();
            from_value::<LongQuantity>(json!(wrong)).unwrap_err();
        }
        from_value::<Quantity>(json!(12)).unwrap_err();
        let wide = format!("0x1{}", "0".repeat(16));
        let error = from_value::<Quantity>(json!(wide)).unwrap_err();
        assert_eq!(error.to_string(), format!("{wide} has more than 64 bits"));
        let long = from_value::<LongQuantity>(json!(wide)).unwrap();
        assert_eq!(long.0, U256::from(1) << 64);
        from_value::<LongQuantity>(json!(format!("0x1{}", "0".repeat(64)))).unwrap_err();
    }
}
