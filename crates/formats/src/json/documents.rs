use crate::Error;

/// Bytes of one document.
const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// How documents follow each other in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By the first byte: `[` begins an array, anything else the first of several documents.
    Auto,
    /// The elements of one array.
    Array,
    /// One behind the other, with blanks or line ends between them.
    Sequence,
}

/// Documents that were told apart, as they are written.
#[derive(Debug, Default)]
pub struct Pieces {
    text: Vec<u8>,
    /// Where each begins and ends in the text, and its line.
    spans: Vec<(usize, usize, u64)>,
}

impl Pieces {
    /// How many.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
    }

    /// Each document with its line.
    ///
    /// # Errors
    /// Each that is not UTF-8 is one.
    pub fn texts(&self) -> impl Iterator<Item = Result<(&str, u64), Error>> {
        self.spans.iter().map(|(start, end, line)| match std::str::from_utf8(&self.text[*start..*end]) {
            Ok(text) => Ok((text, *line)),
            Err(_) => Err(Error::new("the text is not UTF-8").line(*line).hint("Convert the file to UTF-8.")),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before anything.
    Start,
    /// A document may begin.
    Before,
    /// In an array, an element must begin.
    Item,
    /// In an array, behind an element.
    After,
    /// Inside a document that began with a bracket.
    Nested,
    /// Inside a string, which may be inside a document.
    Text,
    /// Behind a backslash in a string.
    Escaped,
    /// Inside a number or a word.
    Word,
    /// Behind the array.
    End,
}

/// Tells documents apart as bytes come, in whatever pieces. Whether each is JSON is found when it is read.
#[derive(Debug)]
pub struct Documents {
    form: Form,
    state: State,
    depth: usize,
    line: u64,
    start: usize,
    start_line: u64,
}

impl Documents {
    /// At the beginning of a file.
    pub fn new(form: Form) -> Self {
        Self { form, state: State::Start, depth: 0, line: 1, start: 0, start_line: 1 }
    }

    /// Takes bytes in until they are used up or `pieces` holds so many documents or bytes; says how many were used.
    ///
    /// # Errors
    /// What stands between documents and has no place there; a document that is too large.
    pub fn feed(&mut self, bytes: &[u8], pieces: &mut Pieces, documents_max: usize, bytes_max: usize) -> Result<usize, Error> {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            match self.state {
                State::Start | State::Before | State::Item | State::After | State::End if blank => {}
                State::Start => {
                    let array = self.form == Form::Array || (self.form == Form::Auto && byte == b'[');
                    if array && byte != b'[' {
                        return Err(Error::new("the file holds no array").line(self.line).hint("Leave `format` out."));
                    }
                    self.form = if array { Form::Array } else { Form::Sequence };
                    self.state = if array { State::Item } else { State::Before };
                    at += usize::from(array);
                    continue;
                }
                State::Before | State::Item => {
                    // An array may be empty; a comma before its end is caught as a document that begins with a bracket.
                    if byte == b']' && self.state == State::Item && pieces.is_empty() && self.start_line == 1 && self.start == 0 {
                        self.state = State::End;
                        at += 1;
                        continue;
                    }
                    if pieces.len() >= documents_max || pieces.text.len() >= bytes_max {
                        return Ok(at);
                    }
                    (self.start, self.start_line) = (pieces.text.len(), self.line);
                    self.depth = 0;
                    self.state = match byte {
                        b'{' | b'[' => {
                            self.depth = 1;
                            State::Nested
                        }
                        b'"' => State::Text,
                        b',' | b']' | b'}' | b':' => {
                            return Err(
                                Error::new(format!("`{}` where a document should begin", char::from(byte))).line(self.line)
                            );
                        }
                        _ => State::Word,
                    };
                    pieces.text.push(byte);
                }
                State::After => {
                    self.state = match byte {
                        b',' => State::Item,
                        b']' => State::End,
                        _ => return Err(Error::new("`,` or `]` should follow an element").line(self.line)),
                    };
                }
                State::End => return Err(Error::new("there is text behind the array").line(self.line)),
                State::Text => {
                    pieces.text.push(byte);
                    self.state = match byte {
                        b'\\' => State::Escaped,
                        b'"' if self.depth == 0 => self.end(pieces),
                        b'"' => State::Nested,
                        _ => State::Text,
                    };
                }
                State::Escaped => {
                    pieces.text.push(byte);
                    self.state = State::Text;
                }
                State::Nested => {
                    pieces.text.push(byte);
                    match byte {
                        b'"' => self.state = State::Text,
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => {
                            self.depth -= 1;
                            if self.depth == 0 {
                                self.state = self.end(pieces);
                            }
                        }
                        _ => {}
                    }
                }
                State::Word => {
                    let ends = blank || (self.form == Form::Array && matches!(byte, b',' | b']'));
                    if ends {
                        self.state = self.end(pieces);
                        continue;
                    }
                    pieces.text.push(byte);
                }
            }
            if byte == b'\n' {
                self.line += 1;
            }
            at += 1;
            if pieces.text.len() - self.start.min(pieces.text.len()) > DOCUMENT_BYTES_MAX {
                return Err(
                    Error::new(format!("a document is longer than {} MiB", DOCUMENT_BYTES_MAX >> 20)).line(self.start_line)
                );
            }
        }
        Ok(at)
    }

    fn end(&self, pieces: &mut Pieces) -> State {
        pieces.spans.push((self.start, pieces.text.len(), self.start_line));
        if self.form == Form::Array { State::After } else { State::Before }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// A document or array that has no end.
    pub fn finish(&mut self, pieces: &mut Pieces) -> Result<(), Error> {
        match self.state {
            State::Start | State::Before | State::End => Ok(()),
            State::Word if self.form == Form::Sequence => {
                self.state = self.end(pieces);
                Ok(())
            }
            State::Item | State::After => Err(Error::new("the file ends inside of its array").line(self.line)),
            _ => Err(Error::new("the file ends inside of the document that begins here").line(self.start_line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &[u8], piece: usize) -> Result<Vec<(u64, String)>, Error> {
        let (mut documents, mut pieces, mut out) = (Documents::new(Form::Auto), Pieces::default(), Vec::new());
        for chunk in text.chunks(piece.max(1)) {
            let mut left = chunk;
            while !left.is_empty() {
                let used = documents.feed(left, &mut pieces, 2, 1 << 20)?;
                left = &left[used..];
                if !left.is_empty() {
                    for text in pieces.texts() {
                        let (text, line) = text?;
                        out.push((line, text.to_owned()));
                    }
                    pieces.clear();
                }
            }
        }
        documents.finish(&mut pieces)?;
        for text in pieces.texts() {
            let (text, line) = text?;
            out.push((line, text.to_owned()));
        }
        Ok(out)
    }

    fn check(text: &str, expected: &[(u64, &str)]) {
        let expected: Vec<(u64, String)> = expected.iter().map(|(l, t)| (*l, (*t).to_owned())).collect();
        for piece in [1, 2, 5, 1000] {
            assert_eq!(split(text.as_bytes(), piece).unwrap(), expected, "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn documents_are_told_apart_in_whatever_pieces_they_come() {
        check("{\"a\":\"}\"}\n{\"b\":[1]}", &[(1, "{\"a\":\"}\"}"), (2, "{\"b\":[1]}")]);
        check(
            "[ {\"a\":1},\n 2, \"x\\\"]\", [3] ,{}]\n",
            &[(1, "{\"a\":1}"), (2, "2"), (2, "\"x\\\"]\""), (2, "[3]"), (2, "{}")],
        );
        check("1 2\n\"x\"", &[(1, "1"), (1, "2"), (2, "\"x\"")]);
        check("[]", &[]);
        check(" \n", &[]);
        check("{\n\"a\":1\n}\n{}", &[(1, "{\n\"a\":1\n}"), (4, "{}")]);
    }

    #[test]
    fn a_file_that_is_cut_is_an_error() {
        for (text, message) in [
            ("{\"a\":1}\n{\"a\":", "line 2: the file ends inside of the document that begins here"),
            ("[{\"a\":1}\n", "line 2: the file ends inside of its array"),
            ("[1,2] 3", "line 1: there is text behind the array"),
            ("[1 2]", "line 1: `,` or `]` should follow an element"),
            ("[1,]", "line 1: `]` where a document should begin"),
            ("[,1]", "line 1: `,` where a document should begin"),
        ] {
            assert_eq!(split(text.as_bytes(), 3).unwrap_err().to_string(), message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_pieces_change_nothing(text in "[\\[\\]{}\",:1a\\\\ \\n]{0,40}", piece in 1_usize..9) {
            let whole = split(text.as_bytes(), 1000);
            let pieces = split(text.as_bytes(), piece);
            prop_assert_eq!(whole.is_ok(), pieces.is_ok());
            if let (Ok(a), Ok(b)) = (whole, pieces) {
                prop_assert_eq!(a, b);
            }
        }
    }
}
