//! A short text that needs no memory of its own.

use smallstr::SmallString;

/// Up to 36 bytes in place: a GUID, a time. Longer ones have memory of their own. Those of a user are made by one thread
/// and dropped by another, which costs an allocator more than all that is done with them.
pub type Text = SmallString<[u8; 36]>;
