//! The seeds that a command runs.

use std::ops::RangeInclusive;

use super::error::CommandError;

/// `count` seeds from the first: at least one, and none beyond the greatest number.
pub(super) fn seeds(first: u64, count: u64) -> Result<RangeInclusive<u64>, CommandError> {
    let last = first.checked_add(count.saturating_sub(1)).ok_or_else(|| {
        CommandError::Usage(format!("{count} seeds from {first} on go beyond {}", u64::MAX))
    })?;
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_end_at_the_greatest_number() {
        assert_eq!(seeds(7, 3).unwrap(), 7..=9);
        assert_eq!(seeds(u64::MAX, 1).unwrap(), u64::MAX..=u64::MAX);
        let error = seeds(u64::MAX - 1, 3).unwrap_err().to_string();
        assert!(error.starts_with("3 seeds from 18446744073709551614 on go beyond"), "{error}");
    }
}
