//! `multipart/form-data` as image uploads use it: the parts `metadata` and `rootfs` (or `rootfs.img`), one after
//! the other. A streaming parser: it holds at most one block and the beginning of a delimiter.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::ImageError;

/// Longest header of a part.
const HEAD_LIMIT: usize = 16 << 10;

/// What the parser found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A part begins.
    Part {
        /// Its `name`.
        name: String,
        /// Its `filename`, empty when it has none.
        filename: String,
    },
    /// Content of the present part.
    Data(Bytes),
    /// The form's end; what follows is ignored.
    End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// Behind a delimiter.
    Delimited,
    /// In the header of a part.
    Head,
    /// In its content.
    Content,
    /// Behind the end.
    Ended,
}

/// The parser: [`Form::feed`] it with blocks, ask [`Form::next_event`] until it answers none.
#[derive(Debug)]
pub struct Form {
    /// `\r\n--BOUNDARY`.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
}

impl Form {
    /// A parser for this `Content-Type`; none when it is another type.
    ///
    /// # Errors
    /// A form without a usable boundary.
    pub fn new(content_type: &str) -> Result<Option<Self>, ImageError> {
        let mut parameters = content_type.split(';').map(str::trim);
        if !parameters.next().unwrap_or_default().eq_ignore_ascii_case("multipart/form-data") {
            return Ok(None);
        }
        let boundary = parameters
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(key, _)| key.eq_ignore_ascii_case("boundary"))
            .map(|(_, value)| value.trim_matches('"'))
            .filter(|value| (1..=70).contains(&value.len()))
            .ok_or(ImageError::BadForm("no boundary"))?;
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first delimiter may stand at the very beginning: pretend that a line ended before.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        Ok(Some(Self { delimiter, buffer, state: State::Preamble }))
    }

    /// Takes the next block of the body.
    pub fn feed(&mut self, block: &[u8]) {
        self.buffer.extend_from_slice(block);
    }

    /// Whether the end of the form was seen.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// The next event; none when more of the body is needed.
    ///
    /// # Errors
    /// The body is no valid form.
    pub fn next_event(&mut self) -> Result<Option<Event>, ImageError> {
        loop {
            match self.state {
                State::Preamble => match find(&self.buffer, &self.delimiter) {
                    Some(at) => self.pass(at + self.delimiter.len(), State::Delimited),
                    None if self.buffer.len() > HEAD_LIMIT => {
                        return Err(ImageError::BadForm("it does not begin with a boundary"));
                    }
                    None => return Ok(None),
                },
                State::Delimited => match self.buffer.get(..2) {
                    None => return Ok(None),
                    Some(b"--") => {
                        self.state = State::Ended;
                        return Ok(Some(Event::End));
                    }
                    Some(b"\r\n") => self.pass(2, State::Head),
                    Some(_) => return Err(ImageError::BadForm("text behind a boundary")),
                },
                State::Head => return self.head(),
                State::Content => return Ok(self.content()),
                State::Ended => return Ok(None),
            }
        }
    }

    fn pass(&mut self, length: usize, state: State) {
        self.buffer.advance(length);
        self.state = state;
    }

    fn head(&mut self) -> Result<Option<Event>, ImageError> {
        let Some(end) = find(&self.buffer, b"\r\n\r\n") else {
            if self.buffer.len() > HEAD_LIMIT {
                return Err(ImageError::BadForm("the header of a part is too long"));
            }
            return Ok(None);
        };
        let head = self.buffer.split_to(end);
        self.pass(4, State::Content);
        let head = std::str::from_utf8(&head).map_err(|_| ImageError::BadForm("a header is not text"))?;
        let disposition = head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case("content-disposition"))
            .map(|(_, value)| value)
            .ok_or(ImageError::BadForm("a part without Content-Disposition"))?;
        let parameter = |wanted: &str| {
            disposition
                .split(';')
                .filter_map(|parameter| parameter.trim().split_once('='))
                .find(|(key, _)| key.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        Ok(Some(Event::Part { name: parameter("name"), filename: parameter("filename") }))
    }

    /// Content up to the next delimiter, or up to what could be its beginning.
    fn content(&mut self) -> Option<Event> {
        if let Some(at) = find(&self.buffer, &self.delimiter) {
            let data = self.buffer.split_to(at).freeze();
            self.pass(self.delimiter.len(), State::Delimited);
            return Some(Event::Data(data));
        }
        let sure = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
        (sure > 0).then(|| Event::Data(self.buffer.split_to(sure).freeze()))
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XyZ";

    type Parts = Vec<(String, String, Vec<u8>)>;

    fn parse(body: &[u8], step: usize) -> Result<(Parts, bool), ImageError> {
        let mut form = Form::new(TYPE)?.unwrap();
        let mut parts = Parts::new();
        for block in body.chunks(step) {
            form.feed(block);
            while let Some(event) = form.next_event()? {
                match event {
                    Event::Part { name, filename } => parts.push((name, filename, Vec::new())),
                    Event::Data(data) => parts.last_mut().unwrap().2.extend_from_slice(&data),
                    Event::End => {}
                }
            }
        }
        Ok((parts, form.is_ended()))
    }

    #[test]
    fn parts_are_found_whatever_the_blocks() {
        let body = b"--XyZ\r\nContent-Disposition: form-data; name=\"metadata\"; filename=\"m.tar\"\r\n\
            Content-Type: application/octet-stream\r\n\r\nme\r\n--Xyta\r\n\
            --XyZ\r\ncontent-disposition: form-data; name=rootfs; filename=\"r\"\r\n\r\n\r\n--XyZ--\r\n";
        for step in 1..body.len() {
            let (parts, ended) = parse(body, step).unwrap();
            assert!(ended);
            assert_eq!(parts[0], ("metadata".into(), "m.tar".into(), b"me\r\n--Xyta".to_vec()));
            assert_eq!(parts[1], ("rootfs".into(), "r".into(), Vec::new()));
        }
    }

    #[test]
    fn wrong_forms_are_errors() {
        assert!(Form::new("application/octet-stream").unwrap().is_none());
        assert!(Form::new("multipart/form-data").is_err());
        assert!(parse(b"--XyZfoo", 3).is_err());
        assert!(parse(&vec![b'x'; 20_000], 1000).is_err());
        assert!(parse(b"--XyZ\r\nfoo: bar\r\n\r\n", 1000).is_err());
        assert!(!parse(b"--XyZ\r\nContent-Disposition: a; name=b\r\n\r\ncut", 1000).unwrap().1);
    }

    #[test]
    fn any_bytes_are_survived() {
        proptest::proptest!(|(bytes: Vec<u8>, step in 1..50_usize)| {
            let mut body = b"--XyZ\r\n".to_vec();
            body.extend(bytes);
            let _ = parse(&body, step);
        });
    }
}
