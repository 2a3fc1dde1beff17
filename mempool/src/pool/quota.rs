//! Who may take how much of the pool.
//!
//! Sources are the traders together and each peer. Half of the pool is divided among them for
//! good; of the other half a source may take as much as it leaves free. So one source alone can
//! fill three quarters at most, nobody is ever turned out, and whoever floods the pool cannot
//! reach the part of the others. An address, in turn, may take as much as it leaves to traders.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fairveil_crypto::SequencerIndex;
use fairveil_crypto::envelope::Payer;
use serde::{Deserialize, Serialize};

use crate::rejection::{Rejection, RejectionCode};

/// Where a sealed bundle came from first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// A trader, at this address.
    Trader(IpAddr),
    /// Another sequencer.
    Peer(SequencerIndex),
}

impl Source {
    /// The address without the part that one host can choose freely: /64 of IPv6.
    pub(crate) fn aggregated(self) -> Self {
        match self {
            Self::Trader(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(mapped) => Self::Trader(IpAddr::V4(mapped)),
                None => {
                    let mask = u128::from(u64::MAX) << 64;
                    Self::Trader(IpAddr::V6((u128::from(address) & mask).into()))
                }
            },
            other => other,
        }
    }

    fn class(self) -> Option<SequencerIndex> {
        match self {
            Self::Trader(_) => None,
            Self::Peer(peer) => Some(peer),
        }
    }
}

/// Bundles and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) bundles: u64,
    pub(crate) bytes: u64,
}

/// What every source and payer holds of the pool.
#[derive(Debug)]
pub(crate) struct Quotas {
    guaranteed: Amount,
    shared: Amount,
    payer_bundles: u64,
    used: Amount,
    by_class: BTreeMap<Option<SequencerIndex>, Amount>,
    by_address: BTreeMap<IpAddr, Amount>,
    by_payer: BTreeMap<Payer, u64>,
}

impl Quotas {
    /// A pool of `total` for `members` sequencers: the peers and, as the last source, traders.
    pub(crate) fn new(total: Amount, payer_bundles: u64, members: u16) -> Self {
        let classes = u64::from(members.max(1));
        let share = |amount: u64| amount / 2 / classes;
        let guaranteed = Amount { bundles: share(total.bundles), bytes: share(total.bytes) };
        let shared = Amount {
            bundles: total.bundles - guaranteed.bundles * classes,
            bytes: total.bytes - guaranteed.bytes * classes,
        };
        Self {
            guaranteed,
            shared,
            payer_bundles,
            used: Amount::default(),
            by_class: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_payer: BTreeMap::new(),
        }
    }

    /// Whether a bundle of `bytes` fits, in the order payer_limit, pool_full.
    pub(crate) fn check(&self, source: Source, payer: &Payer, bytes: u64) -> Result<(), Rejection> {
        let of_payer = self.by_payer.get(payer).copied().unwrap_or(0) + 1;
        if of_payer > self.payer_bundles {
            let code = RejectionCode::PayerLimit;
            return Err(Rejection::numbers(code, of_payer, self.payer_bundles));
        }
        let room = self.room(source);
        for (actual, limit) in [(1, room.bundles), (bytes, room.bytes)] {
            if actual > limit {
                return Err(Rejection::numbers(RejectionCode::PoolFull, actual, limit));
            }
        }
        Ok(())
    }

    /// What this source may still take.
    pub(crate) fn room(&self, source: Source) -> Amount {
        let of = |what: fn(&Amount) -> u64| self.room_of(source, what);
        Amount { bundles: of(|amount| amount.bundles), bytes: of(|amount| amount.bytes) }
    }

    pub(crate) fn charge(&mut self, source: Source, payer: Payer, bytes: u64) {
        let add = |amount: &mut Amount| {
            amount.bundles += 1;
            amount.bytes += bytes;
        };
        add(&mut self.used);
        add(self.by_class.entry(source.class()).or_default());
        if let Source::Trader(address) = source {
            add(self.by_address.entry(address).or_default());
        }
        *self.by_payer.entry(payer).or_default() += 1;
    }

    pub(crate) fn release(&mut self, source: Source, payer: Payer, bytes: u64) {
        let subtract = |amount: &mut Amount| {
            amount.bundles -= 1;
            amount.bytes -= bytes;
            amount.bundles == 0
        };
        subtract(&mut self.used);
        if self.by_class.get_mut(&source.class()).is_some_and(subtract) {
            self.by_class.remove(&source.class());
        }
        if let Source::Trader(address) = source
            && self.by_address.get_mut(&address).is_some_and(subtract)
        {
            self.by_address.remove(&address);
        }
        if let Some(count) = self.by_payer.get_mut(&payer) {
            *count -= 1;
            if *count == 0 {
                self.by_payer.remove(&payer);
            }
        }
    }

    pub(crate) const fn used(&self) -> Amount {
        self.used
    }

    fn room_of(&self, source: Source, what: fn(&Amount) -> u64) -> u64 {
        let guaranteed = what(&self.guaranteed);
        let beyond = |amount: &Amount| what(amount).saturating_sub(guaranteed);
        let lent: u64 = self.by_class.values().map(beyond).sum();
        let free = what(&self.shared).saturating_sub(lent);
        let mine = self.by_class.get(&source.class()).copied().unwrap_or_default();
        let own = guaranteed.saturating_sub(what(&mine));
        let room = own + free.saturating_sub(beyond(&mine)).div_ceil(2);
        match source {
            Source::Peer(_) => room,
            Source::Trader(address) => {
                let mine = self.by_address.get(&address).map_or(0, what);
                room.saturating_sub(mine)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn payer(number: u16) -> Payer {
        let mut bytes = [0; 20];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        Payer::from_bytes(bytes)
    }

    fn trader(number: u8) -> Source {
        Source::Trader(IpAddr::from([10, 0, 0, number]))
    }

    fn peer(number: u16) -> Source {
        Source::Peer(SequencerIndex::new(number).unwrap())
    }

    fn quotas() -> Quotas {
        Quotas::new(Amount { bundles: 100, bytes: 100_000 }, 1_000, 5)
    }

    fn fill(quotas: &mut Quotas, source: Source, bytes: u64) -> u64 {
        let mut count = 0;
        while quotas.check(source, &payer(7), bytes).is_ok() {
            quotas.charge(source, payer(7), bytes);
            count += 1;
        }
        count
    }

    #[test]
    fn a_flood_of_one_peer_leaves_every_other_source_its_part() {
        let mut quotas = quotas();
        assert_eq!(fill(&mut quotas, peer(2), 10), 35);
        assert_eq!(quotas.room(peer(2)), Amount { bundles: 0, bytes: quotas.room(peer(2)).bytes });
        for other in [peer(3), peer(4), peer(5)] {
            assert!(fill(&mut quotas, other, 10) >= 10);
        }
        let traders: u64 = (1..20).map(|number| fill(&mut quotas, trader(number), 10)).sum();
        assert!(traders >= 10, "{traders}");
        assert!(quotas.used().bundles <= 100);
    }

    #[test]
    fn bytes_are_shared_like_bundles() {
        let mut quotas = quotas();
        let count = fill(&mut quotas, peer(2), 9_999);
        assert!((1..=4).contains(&count), "{count}");
        assert!(quotas.check(peer(3), &payer(1), 9_999).is_ok());
        let rejection = quotas.check(peer(2), &payer(1), 9_999).unwrap_err();
        assert_eq!(rejection.code, RejectionCode::PoolFull);
    }

    #[test]
    fn one_address_leaves_as_much_to_the_others_as_it_takes() {
        let mut quotas = quotas();
        let first = fill(&mut quotas, trader(1), 10);
        let second = fill(&mut quotas, trader(2), 10);
        assert!(first >= 10 && second >= 5, "{first} {second}");
        assert!(fill(&mut quotas, peer(2), 10) >= 10);
    }

    #[test]
    fn many_addresses_together_never_reach_the_part_of_peers() {
        let mut quotas = quotas();
        for number in 0..200 {
            fill(&mut quotas, trader(number), 10);
        }
        for other in 1..5 {
            assert!(fill(&mut quotas, peer(other), 10) >= 10);
        }
        assert!(quotas.used().bundles <= 100);
    }

    #[test]
    fn the_payer_is_judged_before_the_pool_and_releases_give_back() {
        let mut quotas = Quotas::new(Amount { bundles: 2, bytes: 1_000 }, 1, 1);
        quotas.charge(trader(1), payer(1), 10);
        let rejection = quotas.check(trader(1), &payer(1), 10_000).unwrap_err();
        assert_eq!(rejection, Rejection::numbers(RejectionCode::PayerLimit, 2, 1));
        quotas.release(trader(1), payer(1), 10);
        assert_eq!(quotas.check(trader(1), &payer(1), 10), Ok(()));
        assert_eq!(quotas.used(), Amount::default());
        assert!(quotas.by_class.is_empty() && quotas.by_address.is_empty());
        assert!(quotas.by_payer.is_empty());
    }

    #[test]
    fn hosts_do_not_multiply_by_their_ipv6_suffix() {
        let source = |text: &str| Source::Trader(text.parse().unwrap()).aggregated();
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
    }
}
