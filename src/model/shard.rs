//! A share of a list's rows, so that several machines work on one list without overlap and without talking to each other.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// Most shards of a list. A quota of 20 writes a second has long been used up by then.
pub const MOST_SHARDS: u32 = 1_000;

/// One of so many shares, written `2/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Shard {
    index: u32,
    of: u32,
}

impl Shard {
    /// `None` where such a share does not exist.
    pub fn new(index: u32, of: u32) -> Option<Self> {
        ((1..=MOST_SHARDS).contains(&of) && (1..=of).contains(&index)).then_some(Self { index, of })
    }

    /// Which one, from 1.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Of how many.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether the user of this id is in it: by a hash of the id without case that is the same on every machine, so that
    /// an id and its repetitions are in one shard, and stay there when the list is sorted again.
    pub fn holds(self, id: &str) -> bool {
        let mut hasher = SipHasher13::new();
        hasher.write(id.to_ascii_lowercase().as_bytes());
        self.is(hasher.finish())
    }

    /// Whether a row without a usable id is in it: by its number.
    pub fn holds_row(self, row: u64) -> bool {
        self.is(row)
    }

    fn is(self, number: u64) -> bool {
        number % u64::from(self.of) == u64::from(self.index) - 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse::<u32>().ok();
        let parts = text.split_once('/').and_then(|(index, of)| Some((number(index)?, number(of)?)));
        parts.and_then(|(index, of)| Self::new(index, of)).ok_or_else(|| {
            format!("{text:?} is not a shard: such as 2/4, from 1/4 to 4/4, at most {MOST_SHARDS} of them")
        })
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_is_in_one_shard_and_the_same_on_every_machine() {
        for of in [1, 2, 7, 64] {
            let mut counts = vec![0_u64; of as usize];
            for row in 0..6_400 {
                let id = format!("User{row}@contoso.com");
                let shards: Vec<_> =
                    (1..=of).filter(|index| Shard::new(*index, of).expect("a shard").holds(&id)).collect();
                assert_eq!(shards.len(), 1, "{id}");
                assert!(Shard::new(shards[0], of).expect("a shard").holds(&id.to_uppercase()));
                counts[shards[0] as usize - 1] += 1;
            }
            let even = 6_400 / u64::from(of);
            assert!(counts.iter().all(|count| (even / 2..=even * 2).contains(count)), "{counts:?}");
        }
        // Machines with different versions must agree: these never change.
        let of = |id: &str| (1..=8).find(|index| Shard::new(*index, 8).expect("a shard").holds(id));
        assert_eq!(
            ["ann@contoso.com", "ben@contoso.com", "0a1b2c3d-0000-1111-2222-abcdefabcdef"].map(of),
            [Some(5), Some(2), Some(7)]
        );
    }

    #[test]
    fn shards_are_read_as_they_are_written() {
        let shard: Shard = "2/4".parse().expect("a shard");
        assert_eq!((shard.index(), shard.of(), shard.to_string()), (2, 4, "2/4".to_owned()));
        for bad in ["", "2", "0/4", "5/4", "1/0", "-1/4", "1/1001", "1/4/2", "a/b"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        let rows = (1..=10).filter(|row| Shard::new(1, 3).expect("a shard").holds_row(*row));
        assert_eq!(rows.collect::<Vec<_>>(), [3, 6, 9]);
    }
}
