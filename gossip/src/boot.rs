//! The boot of a machine, and its elapsed time at a stamp.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The id of a boot: a machine gets another one whenever it starts. It is written like a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BootId([u8; 16]);

/// A reading of the elapsed time during one boot. Two readings of one boot show the time between them
/// without a wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Which boot.
    pub id: BootId,
    /// The machine's elapsed time, in ms.
    pub elapsed_ms: u64,
}

/// The text is not the id of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the id of a boot is a UUID: 32 lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12"
)]
pub struct BadBootId;

impl FromStr for BootId {
    type Err = BadBootId;

    fn from_str(text: &str) -> Result<Self, BadBootId> {
        let digits = text.replace('-', "");
        let digits = u128::from_str_radix(&digits, 16).map_err(|_| BadBootId)?;
        // One id has one spelling.
        let id = Self(digits.to_be_bytes());
        if id.to_string() == text { Ok(id) } else { Err(BadBootId) }
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl From<BootId> for String {
    fn from(id: BootId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for BootId {
    type Error = BadBootId;

    fn try_from(text: String) -> Result<Self, BadBootId> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_one_spelling() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let id: BootId = text.parse().expect("an id");
        assert_eq!(id.to_string(), text);
        for other in [
            "0F8FAD5B-d9cb-469f-a165-70867728950e",
            "0f8fad5bd9cb469fa16570867728950e",
            "0f8fad5b-d9cb-469f-a165-70867728950e\n",
            "0f8fad5b-d9cb-469f-a165-70867728950",
            "",
        ] {
            assert_eq!(other.parse::<BootId>(), Err(BadBootId), "{other:?}");
        }
    }
}
