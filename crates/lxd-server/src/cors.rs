//! Pages of other origins (`core.https_allowed_*`): what browsers are told, and which one may ask.

use http::HeaderValue;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap, HeaderName,
};
use lxd_types::{Config, ConfigExt, Flag};

/// Keys and the headers that they are the values of, in answers to pages.
const HEADERS: &[(&str, HeaderName)] = &[
    ("core.https_allowed_origin", ACCESS_CONTROL_ALLOW_ORIGIN),
    ("core.https_allowed_methods", ACCESS_CONTROL_ALLOW_METHODS),
    ("core.https_allowed_headers", ACCESS_CONTROL_ALLOW_HEADERS),
];

/// Adds what the configuration says; `from_page`: the request named its origin.
pub fn add(config: &Config, from_page: bool, headers: &mut HeaderMap) {
    if config.flag("core.https_allowed_credentials", Flag::DefaultFalse) {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if !from_page {
        return;
    }
    for (key, header) in HEADERS {
        // A value that no header may have is left out: the browser then refuses.
        if let Some(value) = config.get(*key).and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(header.clone(), value);
        }
    }
}

/// True when the administrator allowed this very origin. `*` allows any page to read what everybody may read, but not to
/// act in the name of a browser's certificate (security.md D5).
pub fn names(config: &Config, origin: Option<&HeaderValue>) -> bool {
    let allowed = config.get("core.https_allowed_origin");
    matches!((allowed, origin), (Some(allowed), Some(origin)) if origin.as_bytes() == allowed.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_for_pages_and_credentials_for_all() {
        let config: Config = [
            ("core.https_allowed_origin", "https://a.example"),
            ("core.https_allowed_methods", "GET, POST"),
            ("core.https_allowed_headers", "X\nY"),
            ("core.https_allowed_credentials", "true"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let mut headers = HeaderMap::new();
        add(&config, false, &mut headers);
        assert_eq!(headers.len(), 1);
        add(&config, true, &mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert!(headers.len() == 3 && !headers.contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
        add(&Config::new(), true, &mut HeaderMap::new());
    }

    #[test]
    fn only_the_named_origin_may_act() {
        let config = |value: &str| [("core.https_allowed_origin".to_owned(), value.to_owned())].into();
        let origin = HeaderValue::from_static("https://a.example");
        assert!(names(&config("https://a.example"), Some(&origin)));
        for (allowed, origin) in [("*", Some(&origin)), ("https://a.example.org", Some(&origin)), ("", None)]
        {
            assert!(!names(&config(allowed), origin));
        }
        assert!(!names(&Config::new(), Some(&origin)));
    }
}
