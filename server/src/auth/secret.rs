//! The key that the server's own tokens are signed with.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Name of the key's file in the data folder.
pub const FILE: &str = "jwt-secret";

/// Fewest bytes of a key: HS256 calls for as many as its hash has.
pub const MIN_BYTES: usize = 32;

/// 256 random bits as text.
#[must_use]
pub fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Reads the data folder's key.
///
/// # Errors
/// When it is not there, cannot be read or is too short.
pub fn load(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join(FILE);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = text.trim();
    anyhow::ensure!(
        text.len() >= MIN_BYTES,
        "{} holds fewer than {MIN_BYTES} bytes: delete it to have a new one made",
        path.display()
    );
    Ok(text.to_owned())
}

/// Makes the data folder where it is missing, for its owner only: it holds keys and logs.
///
/// # Errors
/// When it cannot be made.
pub fn make_data_dir(data_dir: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .with_context(|| format!("cannot make the data folder {}", data_dir.display()))
}

/// Reads the data folder's key, and makes one (mode 0600) at the first start.
///
/// # Errors
/// When it cannot be read or written.
pub fn load_or_create(data_dir: &Path) -> anyhow::Result<String> {
    make_data_dir(data_dir)?;
    let path = data_dir.join(FILE);
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    match created {
        Ok(mut file) => {
            let secret = random_text();
            file.write_all(secret.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(secret)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(data_dir),
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_start_makes_a_key_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        assert!(load(&data_dir).is_err());
        let made = load_or_create(&data_dir).unwrap();
        for (path, mode) in [(data_dir.clone(), 0o700), (data_dir.join(FILE), 0o600)] {
            let found = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
        }
        assert_eq!(load_or_create(&data_dir).unwrap(), made);
        assert_eq!(load(&data_dir).unwrap(), made);
    }

    #[test]
    fn a_key_that_is_too_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "short").unwrap();
        assert!(load_or_create(folder.path()).is_err());
    }
}
