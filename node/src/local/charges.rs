//! What bundles cost on a network on this machine, and who deposited.

use fairveil_keygen::{Deposits, definition::Accounting};

use super::{
    LocalError,
    genesis::{DEVELOPMENT_ACCOUNTS, DEVELOPMENT_WEI},
};

/// Fees of a network on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Charges {
    pub(crate) deposits: Deposits,
    pub(crate) fee_per_byte: u64,
    pub(crate) rollup_share_percent: u8,
}

impl Charges {
    /// Charges by the byte, with what the development accounts deposited and these `PAYER:AMOUNT`.
    pub(crate) fn development(
        fee_per_byte: u64,
        rollup_share_percent: u8,
        deposits: &[String],
    ) -> Result<Self, LocalError> {
        let wrong = |argument: &str, why: &str| {
            LocalError::Other(format!(
                "--deposit {argument}: {why}; give 0xPAYER:AMOUNT, e.g. \
                 0x70997970c51812dc3a010c7d01b50e0d17dc79c8:1000000"
            ))
        };
        let accounts = DEVELOPMENT_ACCOUNTS.map(|account| account.to_string());
        let wei = DEVELOPMENT_WEI.to_string();
        let mut entries: Vec<(&str, &str)> =
            accounts.iter().map(|account| (account.as_str(), wei.as_str())).collect();
        for argument in deposits {
            let entry = argument.split_once(':').ok_or_else(|| wrong(argument, "no amount"))?;
            Deposits::new([entry]).map_err(|error| wrong(argument, &error.to_string()))?;
            // A development account's deposit is what was asked for.
            entries.retain(|(payer, _)| !payer.eq_ignore_ascii_case(entry.0));
            entries.push(entry);
        }
        let deposits = Deposits::new(entries).map_err(|e| LocalError::Other(e.to_string()))?;
        Ok(Self { deposits, fee_per_byte, rollup_share_percent })
    }

    /// What the definition says of it.
    pub(crate) fn accounting(&self) -> Accounting {
        Accounting {
            deposits: self.deposits.digest(),
            fee_per_byte: self.fee_per_byte,
            rollup_share_percent: self.rollup_share_percent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYER: &str = "0x1111111111111111111111111111111111111111";

    #[test]
    fn development_accounts_and_named_payers_have_deposits() {
        let rich = DEVELOPMENT_ACCOUNTS[0].to_string();
        let given = [format!("{PAYER}:25"), format!("{}:7", rich.to_lowercase())];
        let charges = Charges::development(3, 50, &given).expect("valid");
        let amounts = charges.deposits.amounts();
        assert_eq!(amounts.len(), DEVELOPMENT_ACCOUNTS.len() + 1);
        let of = |payer: &str| amounts.get(&payer.parse().expect("a payer")).copied();
        assert_eq!((of(PAYER), of(&rich)), (Some(25), Some(7)));
        assert_eq!(of(&DEVELOPMENT_ACCOUNTS[9].to_string()), Some(DEVELOPMENT_WEI));
        assert_eq!(charges.accounting().deposits, charges.deposits.digest());
    }

    #[test]
    fn what_is_wrong_with_a_deposit_is_named() {
        for (argument, why) in [
            (PAYER.to_owned(), "no amount"),
            (format!("{PAYER}:x"), "expected 1 to 2^128 - 1"),
            (format!("{PAYER}:0"), "expected 1 to 2^128 - 1"),
            ("0x11:5".to_owned(), "is not 0x and 40 hex digits"),
        ] {
            let error = Charges::development(1, 50, std::slice::from_ref(&argument));
            let said = error.expect_err("refused").to_string();
            assert!(said.contains(why) && said.contains(&argument), "{said}");
        }
    }
}
