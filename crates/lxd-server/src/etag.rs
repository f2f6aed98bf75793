//! Versions of objects: `ETag` on answers, `If-Match` on changes.

use http::HeaderMap;
use http::header::IF_MATCH;
use lxd_types::{Error, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The version of an object: SHA-256 over the JSON of its fields that can be changed, in hexadecimal.
///
/// # Errors
/// The fields cannot be serialised.
pub fn etag(fields: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(fields)
        .map_err(|error| Error::internal(format!("Failed to hash the object: {error}")))?;
    Ok(of_json(&json))
}

/// The version of an object whose fields are there as JSON.
pub fn of_json(fields: &[u8]) -> String {
    hex::encode(Sha256::digest(fields))
}

/// Compares the header `If-Match`, when there is one, with the version of the present object.
///
/// # Errors
/// Precondition failed: the object changed since the client read it.
pub fn check(headers: &HeaderMap, fields: &impl Serialize) -> Result<()> {
    let Some(wanted) = headers.get(IF_MATCH) else { return Ok(()) };
    let wanted = String::from_utf8_lossy(wanted.as_bytes());
    let wanted = wanted.trim_matches('"');
    if wanted.is_empty() {
        return Ok(());
    }
    let present = etag(fields)?;
    if present == wanted {
        return Ok(());
    }
    Err(Error::precondition_failed(format!("ETag doesn't match: {present} vs {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_types::Kind;

    #[test]
    fn a_changed_object_is_refused() {
        let mut headers = HeaderMap::new();
        assert!(check(&headers, &1).is_ok());
        headers.insert(IF_MATCH, format!("\"{}\"", etag(&1).unwrap()).parse().unwrap());
        assert!(check(&headers, &1).is_ok());
        assert_eq!(check(&headers, &2).unwrap_err().kind(), Kind::PreconditionFailed);
    }
}
