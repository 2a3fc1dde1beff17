//! Gold is bought on one rollup and sold on another, if both together leave a profit.

use alloy_primitives::{Address, U256, address};

use crate::accounts::{ALICE, Account, BOB, OPERATOR};
use crate::contract::{Contract, word};
use crate::genesis::Genesis;
use crate::leg::Call;
use crate::scenario::{ExampleError, File, ROLLUPS};

/// The folder.
pub const FOLDER: &str = "arbitrage";
/// Dollars, on both rollups.
pub const DOLLARS: Address = address!("c000000000000000000000000000000000000005");
/// Gold, on both rollups.
pub const GOLD: Address = address!("c000000000000000000000000000000000000006");
/// The market of gold for dollars, on both rollups.
pub const POOL: Address = address!("c000000000000000000000000000000000000007");
/// The rollup where gold is bought, and the one where it is sold.
pub const CHAINS: [u64; 2] = [ROLLUPS[0], ROLLUPS[1]];

/// A dollar or an ounce of gold in units: both have six decimals.
pub const WHOLE: u64 = 1_000_000;
/// Units of dollars in each pool at first.
pub const DOLLAR_RESERVE: [u64; 2] = [2_000_000 * WHOLE, 2_100_000 * WHOLE];
/// Units of gold in each pool at first.
pub const GOLD_RESERVE: u64 = 1_000 * WHOLE;
/// Units of dollars and of gold that either trader has on each rollup at first.
pub const PURSE: [u64; 2] = [30_000 * WHOLE, 50 * WHOLE];
/// Units of gold that Alice buys on the first rollup and sells on the second.
pub const TRADED: u64 = 10 * WHOLE;
/// The most that she pays for it, in units of dollars.
pub const MAX_COST: u64 = 20_300 * WHOLE;
/// The least that she takes for it: a profit of at least 100 dollars.
pub const MIN_PROCEEDS: u64 = 20_400 * WHOLE;
/// The least that she takes in the failing variant: a profit of at least 400 dollars.
pub const GREEDY_PROCEEDS: u64 = 20_700 * WHOLE;
/// Units of gold that Bob sells on the second rollup, if he is ordered before her.
pub const RIVAL_SALE: u64 = 8 * WHOLE;
/// What he gets for it, in units of dollars.
pub const RIVAL_PROCEEDS: u64 = 16_617_062_311;

/// What differs between a rollup's states: dollars first, then gold.
#[derive(Clone, Copy)]
struct Market {
    reserves: [u64; 2],
    bob: [u64; 2],
    bob_nonce: u64,
}

/// The scenario's files.
pub fn files() -> Result<Vec<File>, ExampleError> {
    let (failing, rival) = (format!("{FOLDER}/failing"), format!("{FOLDER}/rival"));
    let [cheap, dear] = DOLLAR_RESERVE.map(Market::at_first);
    let purchase = [approve(ALICE, DOLLARS, MAX_COST)?, buy()?];
    Ok(vec![
        File::genesis(FOLDER, CHAINS[0], &cheap.genesis()?)?,
        File::genesis(FOLDER, CHAINS[1], &dear.genesis()?)?,
        File::leg(FOLDER, CHAINS[0], &purchase)?,
        File::leg(FOLDER, CHAINS[1], &sale(ALICE, TRADED, MIN_PROCEEDS)?)?,
        File::leg(&rival, CHAINS[1], &sale(BOB, RIVAL_SALE, 0)?)?,
        File::genesis(&rival, CHAINS[1], &dear.after_rival().genesis()?)?,
        File::leg(&failing, CHAINS[0], &purchase)?,
        File::leg(&failing, CHAINS[1], &sale(ALICE, TRADED, GREEDY_PROCEEDS)?)?,
    ])
}

impl Market {
    fn at_first(dollars: u64) -> Self {
        Self { reserves: [dollars, GOLD_RESERVE], bob: PURSE, bob_nonce: 0 }
    }

    fn after_rival(self) -> Self {
        let Self { reserves: [dollars, gold], bob: [bobs_dollars, bobs_gold], .. } = self;
        Self {
            reserves: [dollars - RIVAL_PROCEEDS, gold + RIVAL_SALE],
            bob: [bobs_dollars + RIVAL_PROCEEDS, bobs_gold - RIVAL_SALE],
            bob_nonce: 2,
        }
    }

    fn genesis(self) -> Result<Genesis, ExampleError> {
        let (token, pool) = (Contract::token()?, Contract::pool()?);
        let [dollars, gold] = self.reserves.map(U256::from);
        let storage = [
            (pool.slot("dollars")?, word(DOLLARS)),
            (pool.slot("gold")?, word(GOLD)),
            (pool.slot("dollarReserve")?, dollars),
            (pool.slot("goldReserve")?, gold),
        ];
        Ok(Genesis::default()
            .with_signer(ALICE, 0)
            .with_signer(BOB, self.bob_nonce)
            .with_contract(DOLLARS, &token, 0, &self.holdings(&token, 0)?)
            .with_contract(GOLD, &token, 0, &self.holdings(&token, 1)?)
            .with_contract(POOL, &pool, 0, &storage))
    }

    /// The storage of a token: 0 is dollars, 1 is gold.
    fn holdings(self, token: &Contract, which: usize) -> Result<[(U256, U256); 5], ExampleError> {
        let units = [self.reserves[which], PURSE[which], self.bob[which]];
        let holder = |account| token.entry("balanceOf", account);
        Ok([
            (token.slot("totalSupply")?, units.map(U256::from).into_iter().sum()),
            (token.slot("minter")?, word(OPERATOR.address)),
            (holder(POOL)?, U256::from(units[0])),
            (holder(ALICE.address)?, U256::from(units[1])),
            (holder(BOB.address)?, U256::from(units[2])),
        ])
    }
}

/// The first transaction of a trade: the pool may take what is traded away.
fn approve(from: Account, token: Address, units: u64) -> Result<Call, ExampleError> {
    let what = if token == GOLD { "gold" } else { "dollars" };
    let arguments = [word(POOL), U256::from(units)];
    Ok(Call {
        from,
        nonce: 0,
        to: token,
        input: Contract::token()?.call("approve(address,uint256)", &arguments)?,
        says: format!("let the pool take {units} units of {what}"),
    })
}

fn buy() -> Result<Call, ExampleError> {
    let arguments = [U256::from(TRADED), U256::from(MAX_COST)];
    Ok(Call {
        from: ALICE,
        nonce: 1,
        to: POOL,
        input: Contract::pool()?.call("buy(uint256,uint256)", &arguments)?,
        says: format!("buy {TRADED} units of gold for at most {MAX_COST} units of dollars"),
    })
}

fn sale(from: Account, gold: u64, least: u64) -> Result<[Call; 2], ExampleError> {
    let arguments = [U256::from(gold), U256::from(least)];
    let sell = Call {
        from,
        nonce: 1,
        to: POOL,
        input: Contract::pool()?.call("sell(uint256,uint256)", &arguments)?,
        says: format!("sell {gold} units of gold for at least {least} units of dollars"),
    };
    Ok([approve(from, GOLD, gold)?, sell])
}
