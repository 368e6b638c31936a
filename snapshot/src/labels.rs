//! Labels that an operator gives to a snapshot.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

const KEY_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 256;

/// At most 16 pairs of key and value. A key has 1 to 64 of `a`–`z`, `0`–`9`, `.`, `_` and `-`; a value has
/// at most 256 bytes and no control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels(BTreeMap<String, String>);

/// A label exceeds the limits of [`Labels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a label is key=value. A key has 1 to 64 of a-z 0-9 . _ -, a value up to 256 bytes. A snapshot has up to 16 labels"
)]
pub struct BadLabel;

impl Labels {
    /// The most labels of a snapshot.
    pub const COUNT_MAX: usize = 16;

    /// Adds a label or replaces the value of its key.
    ///
    /// # Errors
    /// [`BadLabel`] beyond the limits; the labels are unchanged.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), BadLabel> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let right = (1..=KEY_BYTES_MAX).contains(&key.len())
            && key.bytes().all(allowed)
            && value.len() <= VALUE_BYTES_MAX
            && !value.chars().any(char::is_control)
            && (self.0.len() < Self::COUNT_MAX || self.0.contains_key(key));
        if !right {
            return Err(BadLabel);
        }
        self.0.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// Adds or replaces a label given as `key=value`.
    ///
    /// # Errors
    /// [`BadLabel`] beyond the limits or without a `=`; the labels are unchanged.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), BadLabel> {
        let (key, value) = pair.split_once('=').ok_or(BadLabel)?;
        self.set(key, value)
    }

    /// All labels, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (key, value) in self.iter() {
            write!(f, "{between}{key}={value}")?;
            between = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_beyond_their_limits_are_refused() {
        let mut labels = Labels::default();
        for bad in ["", "a", "=b", "A=b", "a b=c", "a=\n", "ä=1"] {
            assert_eq!(labels.set_pair(bad), Err(BadLabel), "{bad:?}");
        }
        assert_eq!(labels.set("a", &"x".repeat(257)), Err(BadLabel));
        assert_eq!(labels.set(&"k".repeat(65), ""), Err(BadLabel));
        for number in 0..16 {
            labels.set(&format!("key-{number}"), "a = b").expect("room for 16");
        }
        assert_eq!(labels.set("one.more", ""), Err(BadLabel));
        labels.set_pair("key-3=other=").expect("a changed value needs no room");
        assert_eq!(labels.iter().nth(9), Some(("key-3", "other=")));
    }
}
