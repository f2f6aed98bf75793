//! The only place that knows which HTTP status a [`Kind`] has.

use http::StatusCode;
use lxd_types::{Error, Kind};

/// The HTTP status of a kind of error (architecture section 6).
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::BadRequest | Kind::Cancelled => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict | Kind::Busy => StatusCode::CONFLICT,
        Kind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The envelope of an error, as the reference writes it: with two line ends.
pub fn envelope(error: &Error) -> String {
    let text = serde_json::to_string(&error.chain()).unwrap_or_else(|_| "\"\"".to_owned());
    format!(
        "{{\"type\":\"error\",\"status\":\"\",\"status_code\":0,\"operation\":\"\",\
         \"error_code\":{},\"error\":{text},\"metadata\":null}}\n\n",
        status(error.kind()).as_u16()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_that_of_the_reference() {
        let expected = "{\"type\":\"error\",\"status\":\"\",\"status_code\":0,\"operation\":\"\",\
                        \"error_code\":404,\"error\":\"not found\",\"metadata\":null}\n\n";
        assert_eq!(envelope(&Error::not_found("not found")), expected);
        assert_eq!(expected.len(), 114);
    }
}
