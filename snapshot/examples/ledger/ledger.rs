//! The domain: the ledger, and the transfer that changes it.

use std::collections::BTreeMap;
use std::fmt;

use icn_snapshot::StateMachine;
use icn_wal::Lsn;
use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

/// The one account that may go below zero: it owes the sum of all others.
pub(crate) const EQUITY: &str = "equity";

/// The first byte of every record. It distinguishes this layout from a later one.
const VERSION: u8 = 1;

/// The mutation: moves `amount` from one account to another, so the books always balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: u32,
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.from, self.to, self.amount)
    }
}

/// `Ok` for a transfer that was made, else why it was refused.
pub(crate) type TransferOutcome = Result<(), &'static str>;

/// The state. Persistent maps are cloned in constant time, so a snapshot does not stop the writer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) accounts: OrdMap<String, i64>,
    /// Every transfer that was made, and the LSN of its record.
    pub(crate) journal: Vector<(u64, Transfer)>,
}

impl StateMachine for Ledger {
    type Mutation = Transfer;
    type Outcome = TransferOutcome;
    const SCHEMA: u32 = 1;

    fn encode(transfer: &Transfer, out: &mut Vec<u8>) {
        out.push(VERSION);
        rmp_serde::encode::write(out, transfer).expect("a Vec accepts all bytes");
    }

    fn decode(bytes: &[u8]) -> Result<Transfer, String> {
        let Some((&VERSION, mut rest)) = bytes.split_first() else {
            return Err(format!("its version is {:?}, not {VERSION}", bytes.first()));
        };
        let transfer = rmp_serde::from_read(&mut rest).map_err(|error| error.to_string())?;
        if rest.is_empty() { Ok(transfer) } else { Err("it is too long".into()) }
    }

    // A refusal is an outcome, because a replay refuses the same transfer again.
    fn apply(&mut self, lsn: Lsn, transfer: Transfer) -> TransferOutcome {
        let Transfer { from, to, amount } = &transfer;
        let holds = |name| self.accounts.get(name).copied().unwrap_or_default();
        let given = holds(from).checked_sub((*amount).into());
        let taken = holds(to).checked_add((*amount).into());
        let (Some(given), Some(taken)) = (given, taken) else {
            return Err("the amount overflows an account");
        };
        if from == to || *amount == 0 {
            return Err("nothing would move");
        }
        if given < 0 && from != EQUITY {
            return Err("the account does not hold that much");
        }
        self.accounts.insert(from.clone(), given);
        self.accounts.insert(to.clone(), taken);
        self.journal.push_back((lsn.get(), transfer));
        Ok(())
    }
}

impl Ledger {
    /// Checks that each account is the sum of its transfers, and that all accounts together are zero.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut sums = BTreeMap::<&str, i64>::new();
        for (_, Transfer { from, to, amount }) in &self.journal {
            *sums.entry(from).or_default() -= i64::from(*amount);
            *sums.entry(to).or_default() += i64::from(*amount);
        }
        if !self.accounts.iter().map(|(name, sum)| (name.as_str(), *sum)).eq(sums) {
            return Err("an account differs from the sum of its transfers".into());
        }
        let total: i128 = self.accounts.values().map(|sum| i128::from(*sum)).sum();
        if total != 0 {
            return Err(format!("the sum of all accounts is {total}"));
        }
        let short = self.accounts.iter().find(|(name, sum)| **sum < 0 && *name != EQUITY);
        short.map_or(Ok(()), |(name, sum)| Err(format!("{name} holds {sum}")))
    }
}
