use super::{Documents, Form, Node, Pieces, Value, parse};
use crate::{Error, csv::fitted, error::quoted, typed};
use arrow::{
    array::{ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Fields, SchemaRef},
};
use std::{borrow::Cow, collections::HashMap, sync::Arc};

/// Bytes of text in one batch.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// What is to be read of files that are written alike.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The columns of the table that the files make.
    pub schema: SchemaRef,
    /// Those that are asked for.
    pub projection: Vec<usize>,
    /// How documents follow each other.
    pub form: Form,
    /// Whether documents are one column, rather than one column for each of their keys.
    pub whole: bool,
    /// Whether a key that the table does not have is no error.
    pub ignore_unknown: bool,
    /// Rows in a batch.
    pub rows_max: usize,
}

/// Reads one file as its bytes come.
#[derive(Debug)]
pub struct Reader {
    wanted: Wanted,
    documents: Documents,
    pieces: Pieces,
    /// Bytes at the beginning that may be a byte order mark.
    head: Option<Vec<u8>>,
}

impl Reader {
    /// A reader at the beginning of a file.
    pub fn new(wanted: Wanted) -> Self {
        Self { documents: Documents::new(wanted.form), wanted, pieces: Pieces::default(), head: Some(Vec::new()) }
    }

    /// Takes in bytes; puts each batch that is full into `out`.
    ///
    /// # Errors
    /// What is wrong with the file, at its line. The reader is of no use afterwards.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<RecordBatch>) -> Result<(), Error> {
        if let Some(mut head) = self.head.take() {
            head.extend_from_slice(bytes);
            if head.len() < 3 {
                self.head = Some(head);
                return Ok(());
            }
            return self.take(head.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(&head), out);
        }
        self.take(bytes, out)
    }

    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<RecordBatch>) -> Result<(), Error> {
        while !bytes.is_empty() {
            let used = self.documents.feed(bytes, &mut self.pieces, self.wanted.rows_max.max(1), BATCH_BYTES_MAX)?;
            bytes = &bytes[used..];
            if !bytes.is_empty() {
                self.flush(out)?;
            }
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), Error> {
        if let Some(head) = self.head.take() {
            self.take(&head, out)?;
        }
        self.documents.finish(&mut self.pieces)?;
        self.flush(out)
    }

    /// Turns the documents at hand into a batch. One that is begun is never among them: nothing is asked for before it ended.
    fn flush(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), Error> {
        let mut pieces = std::mem::take(&mut self.pieces);
        let made = if pieces.is_empty() { Ok(None) } else { self.batch(&pieces).map(Some) };
        pieces.clear();
        self.pieces = pieces;
        out.extend(made?);
        Ok(())
    }

    fn batch(&self, pieces: &Pieces) -> Result<RecordBatch, Error> {
        let mut nodes = Vec::with_capacity(pieces.len());
        let mut lines = Vec::with_capacity(pieces.len());
        for piece in pieces.texts() {
            let (text, line) = piece?;
            nodes.push(parse(text).map_err(|mut e| {
                // Its line counts from the document's beginning.
                e.place.line = Some(line + e.place.line.unwrap_or(1) - 1);
                e
            })?);
            lines.push(line);
        }
        let rows: Vec<Option<&Node<'_>>> = nodes.iter().map(Some).collect();
        let Wanted { schema, projection, ignore_unknown, .. } = &self.wanted;
        let placed = |f: Failed| f.error.line(lines.get(f.row).copied().unwrap_or(1));
        let builder = Builder { ignore_unknown: *ignore_unknown };
        let columns: Vec<ArrayRef> = if self.wanted.whole {
            let field = schema.fields().first().map(|f| f.data_type().clone()).unwrap_or(DataType::Utf8);
            let column = builder.column(&field, &rows, "json").map_err(placed)?;
            projection.iter().map(|_| Arc::clone(&column)).collect()
        } else {
            let wanted: Vec<bool> = (0..schema.fields().len()).map(|i| projection.contains(&i)).collect();
            let mut made = builder.fields(schema.fields(), &wanted, &rows, "").map_err(placed)?;
            projection.iter().filter_map(|i| made.get_mut(*i).and_then(Option::take).or_else(|| None)).collect()
        };
        let schema = schema.project(projection).map_err(|e| Error::new(e.to_string()))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(Arc::new(schema), columns, &options).map_err(|e| Error::new(e.to_string()))
    }
}

/// An error of a document that is so many behind the first.
struct Failed {
    row: usize,
    error: Error,
}

struct Builder {
    ignore_unknown: bool,
}

impl Builder {
    /// The columns of objects; those that are not `wanted` are left out. `path` names the column they are inside of.
    fn fields(
        &self,
        fields: &Fields,
        wanted: &[bool],
        rows: &[Option<&Node<'_>>],
        path: &str,
    ) -> Result<Vec<Option<ArrayRef>>, Failed> {
        let places: HashMap<&str, usize> = fields.iter().enumerate().map(|(i, f)| (f.name().as_str(), i)).collect();
        let mut cells: Vec<Vec<Option<&Node<'_>>>> =
            wanted.iter().map(|wanted| if *wanted { vec![None; rows.len()] } else { Vec::new() }).collect();
        for (row, node) in rows.iter().enumerate() {
            let Some(Value::Object(items)) = node.map(|n| &n.value) else { continue };
            for (key, node) in items {
                match places.get(key.as_ref()) {
                    Some(place) if wanted[*place] => cells[*place][row] = Some(node),
                    Some(_) => {}
                    None if self.ignore_unknown => {}
                    None => {
                        let message = format!("the key {} is not among those of the documents looked at first", quoted(key));
                        let hint = "Look at all of it: sample_size => -1, and sample_files => -1 where there are several files.";
                        let error = Error::new(message).hint(hint);
                        return Err(Failed { row, error: if path.is_empty() { error } else { error.column(path) } });
                    }
                }
            }
        }
        let column = |(i, field): (usize, &Arc<Field>)| {
            let path = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
            wanted[i].then(|| self.column(field.data_type(), &cells[i], &path)).transpose()
        };
        fields.iter().enumerate().map(column).collect()
    }

    fn column(&self, data_type: &DataType, cells: &[Option<&Node<'_>>], path: &str) -> Result<ArrayRef, Failed> {
        let is_null = |cell: &Option<&Node<'_>>| cell.is_none_or(|n| n.value == Value::Null);
        let failed = |row: usize, error: Error| Failed { row, error: error.column(path) };
        match data_type {
            DataType::Struct(fields) => {
                for (row, node) in cells.iter().enumerate().filter_map(|(i, c)| Some((i, (*c)?))) {
                    if !matches!(node.value, Value::Object(_) | Value::Null) {
                        return Err(failed(row, Error::new(format!("{} is no object", quoted(node.raw))).hint(hint())));
                    }
                }
                let children = self.fields(fields, &vec![true; fields.len()], cells, path)?;
                let nulls: NullBuffer = cells.iter().map(|c| !is_null(c)).collect();
                let children = children.into_iter().flatten().collect();
                let made = StructArray::try_new(fields.clone(), children, Some(nulls));
                made.map(|a| Arc::new(a) as ArrayRef).map_err(|e| failed(0, Error::new(e.to_string())))
            }
            DataType::List(item) => {
                let (mut items, mut rows, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(cells.len()));
                for (row, cell) in cells.iter().enumerate() {
                    let count = match cell.map(|n| &n.value) {
                        None | Some(Value::Null) => 0,
                        Some(Value::Array(values)) => {
                            items.extend(values.iter().map(Some));
                            rows.extend(std::iter::repeat_n(row, values.len()));
                            values.len()
                        }
                        Some(_) => {
                            let raw = cell.map_or("", |n| n.raw);
                            return Err(failed(row, Error::new(format!("{} is no array", quoted(raw))).hint(hint())));
                        }
                    };
                    lengths.push(count);
                }
                let values = self.column(item.data_type(), &items, path);
                let values = values.map_err(|f| Failed { row: rows.get(f.row).copied().unwrap_or(0), ..f })?;
                let nulls: NullBuffer = cells.iter().map(|c| !is_null(c)).collect();
                let made = ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths(lengths), values, Some(nulls));
                made.map(|a| Arc::new(a) as ArrayRef).map_err(|e| failed(0, Error::new(e.to_string())))
            }
            scalar => {
                let texts: Vec<Option<Cow<'_, str>>> = cells.iter().map(|c| text(scalar, *c)).collect();
                let made = typed::column(scalar, texts.iter().map(Option::as_deref));
                let made = made.map_err(|e| failed(e.index, e.error.hint(hint())))?;
                fitted(made, scalar).map_err(|e| failed(0, e))
            }
        }
    }
}

fn hint() -> &'static str {
    "The type was told from the beginning. Look at all of it: sample_size => -1; or say the type: types => 'column: text'."
}

/// A value as a text that its column is read from. Only columns of text take what is no text, as it is written.
fn text<'a>(data_type: &DataType, cell: Option<&'a Node<'a>>) -> Option<Cow<'a, str>> {
    let node = cell?;
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match &node.value {
        Value::Null => None,
        Value::String(text) if is_text => Some(Cow::Borrowed(text.as_ref())),
        // `"1"` is no number, and must not become one where the sample held numbers alone.
        Value::String(text) if is_time(data_type) => Some(Cow::Borrowed(text.as_ref())),
        _ => Some(Cow::Borrowed(node.raw)),
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(_, _))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::infer;
    use arrow::util::pretty::pretty_format_batches;
    use proptest::prelude::*;

    fn nodes_of(text: &str) -> Result<Pieces, Error> {
        let (mut documents, mut pieces) = (Documents::new(Form::Auto), Pieces::default());
        documents.feed(text.as_bytes(), &mut pieces, usize::MAX, usize::MAX)?;
        documents.finish(&mut pieces)?;
        Ok(pieces)
    }

    fn read(sample: &str, text: &str, piece: usize) -> Result<Vec<RecordBatch>, Error> {
        let pieces = nodes_of(sample)?;
        let texts: Vec<(&str, u64)> = pieces.texts().collect::<Result<_, _>>()?;
        let nodes: Vec<Node<'_>> = texts.iter().map(|(t, _)| parse(t)).collect::<Result<_, _>>()?;
        let shape = infer(nodes.iter());
        let schema = Arc::new(shape.schema(false));
        let whole = !matches!(shape, super::super::Shape::Struct(_));
        let projection = (0..schema.fields().len()).collect();
        let wanted = Wanted { schema, projection, form: Form::Auto, whole, ignore_unknown: false, rows_max: 3 };
        let (mut reader, mut out) = (Reader::new(wanted), Vec::new());
        for chunk in text.as_bytes().chunks(piece) {
            reader.feed(chunk, &mut out)?;
        }
        reader.finish(&mut out)?;
        Ok(out)
    }

    fn shown(text: &str) -> String {
        let whole = pretty_format_batches(&read(text, text, 1000).unwrap()).unwrap().to_string();
        assert_eq!(pretty_format_batches(&read(text, text, 3).unwrap()).unwrap().to_string(), whole);
        whole.lines().filter(|l| l.starts_with('|')).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn keys_become_columns_in_the_order_they_are_seen() {
        assert_eq!(
            shown("{\"id\":1,\"price\":1.10}\n{\"price\":2,\"tags\":[\"a\",null],\"id\":null,\"at\":\"2026-01-01T00:00:00Z\"}"),
            "| id | price | tags  | at                   |\n| 1  | 1.10  |       |                      |\n|    | 2.00  | [a, ] | 2026-01-01T00:00:00Z |"
        );
        assert_eq!(
            shown("[{\"a\":{\"b\":[{\"c\":1}]}},{\"a\":null}]"),
            "| a               |\n| {b: [{c: 1}]} |\n|                 |"
                .replace("               |", "             |")
                .replace("                 |", "               |")
        );
        assert_eq!(shown("1\n2"), "| json |\n| 1    |\n| 2    |");
    }

    #[test]
    fn what_is_mixed_stays_as_it_is_written() {
        assert_eq!(
            shown("{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":{\"b\": [1]}}"),
            "| a          |\n| 1          |\n| x          |\n| {\"b\": [1]} |"
        );
        assert_eq!(shown("{\"n\":12345678901234567890}"), "| n                    |\n| 12345678901234567890 |");
    }

    #[test]
    fn what_the_sample_did_not_show_is_an_error_with_its_line() {
        let error = |text: &str| read("{\"a\":1,\"b\":{\"c\":true}}", text, 5).unwrap_err().to_string();
        assert_eq!(error("{\"a\":1}\n{\"a\":\"1\"}"), "line 2, column `a`: `\"1\"` is no value of the type bigint");
        assert_eq!(error("{\"a\":1}\n\n{\"z\":1}"), "line 3: the key `z` is not among those of the documents looked at first");
        assert_eq!(
            error("{\"b\":{\"d\":1}}"),
            "line 1, column `b`: the key `d` is not among those of the documents looked at first"
        );
        assert_eq!(error("{\"b\":[1]}"), "line 1, column `b`: `[1]` is no object");
        assert_eq!(error("{\"a\":\n1,}"), "line 2: expected a key in quotes, found `}`");
    }

    proptest! {
        /// What was inferred of documents takes every one of them.
        #[test]
        fn inferred_columns_hold_what_they_were_inferred_from(documents in proptest::collection::vec(document(), 1..6)) {
            let text = documents.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let read = read(&text, &text, 7);
            prop_assert!(read.is_ok(), "{text}: {read:?}");
            prop_assert_eq!(read.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), documents.len());
        }
    }

    fn document() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e6..1e6_f64).prop_map(Into::into),
            "[a-z0-9é\"\\\\\n-]{0,8}".prop_map(Into::into),
            Just("2026-01-31".into()),
        ];
        let inner = leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
                proptest::collection::hash_map("[a-c]", inner, 0..3)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        });
        proptest::collection::hash_map("[a-d]", inner, 1..4).prop_map(|m| serde_json::Value::Object(m.into_iter().collect()))
    }
}
