//! The client id of a sink whose settings name none.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::hex::hex;

/// The 23 letters and digits that every broker allows (section 3.1.3.1).
pub(super) fn client_id(name: &str, journal: Uuid) -> String {
    let digest = Sha256::new()
        .chain_update(journal.as_bytes())
        .chain_update(name)
        .finalize();
    let digits = hex(digest.into_iter().take(6));
    format!("stompbridge{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_stable_and_its_own_and_allowed_everywhere() {
        let journals = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let id = client_id("site", journals[0]);
        assert_eq!(id, client_id("site", journals[0]));
        assert_ne!(id, client_id("site", journals[1]));
        assert_ne!(id, client_id("other", journals[0]));
        assert!(
            id.len() <= 23 && id.chars().all(|c| c.is_ascii_alphanumeric()),
            "{id}"
        );
    }
}
