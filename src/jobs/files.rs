//! Files that the user names: what may be replaced, and what is never touched.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::Error;

/// Whether a file exists under this name. A link, a folder and a device are rejected, because a new file
/// would replace them.
///
/// # Errors
/// `Error::Usage`; `Error::File` if the path cannot be examined.
pub(crate) fn is_file(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(Error::Usage(format!(
            "{} is a link, a folder or a device: name a file; nothing was written",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::file("look at", path, source)),
    }
}
