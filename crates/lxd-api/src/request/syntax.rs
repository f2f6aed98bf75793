//! What is wrong with a text that is no JSON, in the words that clients of LXD know.

/// The first mistake; `None` when the text begins with a correct value.
pub fn error(text: &[u8]) -> Option<String> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    if reader.at == text.len() {
        return Some("EOF".to_owned());
    }
    reader.value().err()
}

type Step = Result<(), String>;

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Result<u8, String> {
        self.text.get(self.at).copied().ok_or_else(|| "unexpected EOF".to_owned())
    }

    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Step {
        self.blanks();
        match self.peek()? {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            other => Err(wrong(other, "looking for beginning of value")),
        }
    }

    fn object(&mut self) -> Step {
        const KEY: &str = "looking for beginning of object key string";
        self.at += 1;
        self.blanks();
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            match self.peek()? {
                b'"' => self.string()?,
                other => return Err(wrong(other, KEY)),
            }
            self.blanks();
            match self.peek()? {
                b':' => self.at += 1,
                other => return Err(wrong(other, "after object key")),
            }
            self.value()?;
            self.blanks();
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                b'}' => return Ok(()),
                other => return Err(wrong(other, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Step {
        self.at += 1;
        self.blanks();
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value()?;
            self.blanks();
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                b']' => return Ok(()),
                other => return Err(wrong(other, "after array element")),
            }
        }
    }

    fn string(&mut self) -> Step {
        self.at += 1;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                0..0x20 => return Err(wrong(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Step {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    let digit = self.peek()?;
                    if !digit.is_ascii_hexdigit() {
                        return Err(wrong(digit, "in \\u hexadecimal character escape"));
                    }
                    self.at += 1;
                }
                Ok(())
            }
            other => Err(wrong(other, "in string escape code")),
        }
    }

    fn number(&mut self) -> Step {
        if self.peek()? == b'-' {
            self.at += 1;
            let next = self.peek()?;
            if !next.is_ascii_digit() {
                return Err(wrong(next, "in numeric literal"));
            }
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits();
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.one_digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.one_digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn one_digit(&mut self, place: &str) -> Step {
        let next = self.peek()?;
        if next.is_ascii_digit() { Ok(()) } else { Err(wrong(next, place)) }
    }

    fn literal(&mut self, word: &str) -> Step {
        for expected in word.bytes() {
            let found = self.peek()?;
            if found != expected {
                let place = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(wrong(found, &place));
            }
            self.at += 1;
        }
        Ok(())
    }
}

fn wrong(byte: u8, place: &str) -> String {
    let shown = match byte {
        b'\'' => "\\'".to_owned(),
        b'"' => "\"".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\\' => "\\\\".to_owned(),
        7 => "\\a".to_owned(),
        8 => "\\b".to_owned(),
        11 => "\\v".to_owned(),
        12 => "\\f".to_owned(),
        0..0x20 | 0x7f => format!("\\x{byte:02x}"),
        0x80..=0xa0 | 0xad => format!("\\u{byte:04x}"),
        other => char::from(other).to_string(),
    };
    format!("invalid character '{shown}' {place}")
}
