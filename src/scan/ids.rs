//! A set of object ids that costs 16 bytes for each, however long they are.

use std::collections::HashSet;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

/// A set of ids, which compare without case, by 128-bit hashes whose keys nobody outside knows.
#[derive(Debug)]
pub struct Ids {
    keys: (u64, u64),
    hashes: HashSet<u128>,
}

impl Default for Ids {
    fn default() -> Self {
        Self { keys: (fastrand::u64(..), fastrand::u64(..)), hashes: HashSet::new() }
    }
}

impl Ids {
    /// Adds an id; whether it was new.
    pub fn insert(&mut self, id: &str) -> bool {
        self.hashes.insert(self.hash(id))
    }

    /// Takes an id out; whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        self.hashes.remove(&self.hash(id))
    }

    fn hash(&self, id: &str) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(id.to_ascii_lowercase().as_bytes());
        hasher.finish128().as_u128()
    }
}
