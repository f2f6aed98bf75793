//! Reading of request bodies, with limits.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt};
use http_body_util::{BodyExt, BodyStream};
use hyper::body::{Body, Incoming};
use lxd_types::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The longest JSON body that is read, in bytes. Longer ones answer 413.
pub const JSON_LIMIT: usize = 4 * 1024 * 1024;

/// Bodies that nobody wants are read up to this size.
const DRAINED: u64 = 64 * 1024;
/// How long a client may take to send one.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request's body until somebody reads it. When nobody does it is drained: a connection with unread bytes would be
/// closed under a client that is still sending, and that client would send its request again.
#[derive(Debug, Default)]
pub struct Unread(Option<Incoming>);

impl Unread {
    /// The body of a request.
    pub fn new(body: Incoming) -> Self {
        Self(Some(body))
    }

    /// The body, the first time.
    pub fn take(&mut self) -> Option<Incoming> {
        self.0.take()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) {
            tokio::spawn(drain(body));
        }
    }
}

/// Reads a small body that nobody wants.
pub async fn drain(body: Incoming) {
    if body.size_hint().upper().is_some_and(|size| size <= DRAINED) {
        let _ = tokio::time::timeout(PATIENCE, body.collect()).await;
    }
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// Too large, or the client went away.
pub async fn read(mut body: Incoming, limit: usize) -> Result<Bytes> {
    let too_large = || Error::too_large(format!("The request body is larger than {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::bad_request(format!("Failed to read body: {error}")))?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > limit {
                return Err(too_large());
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

/// Parses a JSON object; `null` stands for an empty one, and what comes after it is ignored.
///
/// # Errors
/// Bad request, in the reference's words; a string with a NUL, which no name, path or text of ours can have.
pub fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    if has_nul(text)
        && let Some(place) = lxd_api::first_value(text).ok().and_then(|value| place_of_nul(&value))
    {
        return Err(Error::bad_request(format!("{place} must not contain NUL characters")));
    }
    lxd_api::from_request(text).map_err(|error| Error::bad_request(error.0))
}

/// The body as a stream of blocks, e.g. to hash and unpack an image while it arrives. The stream ends with
/// an error when the client goes away: what was written so far must then be removed.
pub fn stream(body: Incoming) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let frames = TryStreamExt::map_err(BodyStream::new(body), io::Error::other);
    frames.try_filter_map(|frame| async move { Ok(frame.into_data().ok()) })
}

/// Applies a PATCH body to the fields of an object: a member that is given replaces the present one, but
/// maps (`config`, `devices`) are merged key by key (manual 3.5.1).
///
/// # Errors
/// The body is no JSON object, or a member has the wrong type.
pub fn patch<T: Serialize + DeserializeOwned>(present: &T, text: &[u8]) -> Result<T> {
    json::<T>(text)?;
    let mut changes = lxd_api::first_value(text).map_err(|error| Error::bad_request(error.0))?;
    drop_nulls(&mut changes);
    let mut object = serde_json::to_value(present).map_err(|error| Error::internal(error.to_string()))?;
    let (Value::Object(object_members), Value::Object(changes)) = (&mut object, changes) else {
        return json(text);
    };
    for (name, change) in changes {
        match (object_members.get_mut(&name), change) {
            (Some(Value::Object(present)), Value::Object(change)) => present.extend(change),
            (_, change) => {
                object_members.insert(name, change);
            }
        }
    }
    serde_json::from_value(object).map_err(|error| Error::bad_request(error.to_string()))
}

/// The path of the first member with a NUL in its name or text.
fn place_of_nul(value: &Value) -> Option<String> {
    let below = |name: String, value: &Value| {
        place_of_nul(value).map(|rest| if rest.is_empty() { name.clone() } else { format!("{name}.{rest}") })
    };
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| below(at.to_string(), item)),
        Value::Object(members) => members.iter().find_map(|(name, member)| match name.contains('\0') {
            true => Some(name.replace('\0', "\\0")),
            false => below(name.clone(), member),
        }),
        _ => None,
    }
}

/// Whether a string of a JSON text has an escaped NUL. As it is no parser takes one.
fn has_nul(text: &[u8]) -> bool {
    let escape = memchr::memmem::Finder::new(br"\u0000");
    escape.find_iter(text).any(|at| {
        let before = text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        // An escaped backslash is followed by letters and digits that mean themselves.
        before % 2 == 0
    })
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, member| !member.is_null());
        members.values_mut().for_each(drop_nulls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lxd_api::profile::ProfilePut;

    #[test]
    fn a_patch_merges_maps_and_replaces_the_rest() {
        let present: ProfilePut =
            json(br#"{"config":{"a":"1","b":"2"},"description":"old","devices":{"d":{"type":"none"}}}"#)
                .unwrap();
        let new = patch(&present, br#"{"config":{"b":"3"},"devices":{"e":{"type":"disk"}}}"#).unwrap();
        let expected: ProfilePut = json(
            br#"{"config":{"a":"1","b":"3"},"description":"old",
                "devices":{"d":{"type":"none"},"e":{"type":"disk"}}}"#,
        )
        .unwrap();
        assert_eq!(new, expected);
        assert_eq!(patch(&present, br#"{"description":"new"}"#).unwrap().description, "new");
        assert!(has_nul(br#"{"a":"b\u0000"}"#) && has_nul(br#"{"\\\u0000":1}"#));
        assert!(!has_nul(br#"{"a":"b\\u0000"}"#) && !has_nul(br#"{"a":"u0000\u0001"}"#));
        let refused = |text: &str| json::<ProfilePut>(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused(r#"{"description":"a\u0000b"}"#), "description must not contain NUL characters");
        assert_eq!(
            refused(r#"{"devices":{"d":{"x\u0000":""}}}"#),
            "devices.d.x\\0 must not contain NUL characters"
        );
        assert!(patch(&present, b"[]").is_err() && patch(&present, br#"{"config":1}"#).is_err());
    }
}
