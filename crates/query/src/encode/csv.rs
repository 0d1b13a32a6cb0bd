use super::{Cell, Encoder, End, Style, text_cell, unique_names};
use crate::Error;
use ::arrow::{
    array::{Array, RecordBatch},
    datatypes::{DataType, SchemaRef},
};

/// RFC 4180: a header, lines that end with CR LF, quotes where a field needs them. NULL is nothing, an empty text is `""`.
pub(super) struct Csv;

impl Encoder for Csv {
    fn start(&mut self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error> {
        for (i, name) in unique_names(schema).iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            field(out, name.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        let cells: Vec<(&dyn Array, Cell<'_>)> =
            batch.columns().iter().map(|c| (c.as_ref(), text_cell(c.as_ref(), Style::Iso))).collect();
        let mut value = Vec::new();
        for row in 0..batch.num_rows() {
            for (i, (array, cell)) in cells.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                if array.is_null(row) || *array.data_type() == DataType::Null {
                    continue;
                }
                value.clear();
                cell(&mut value, row);
                field(out, &value);
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn finish(&mut self, _: &End<'_>, _: &mut Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

fn field(out: &mut Vec<u8>, value: &[u8]) {
    if !value.is_empty() && !value.iter().any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n')) {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for byte in value {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::arrow::{
        array::{ArrayRef, StringArray},
        datatypes::{Field, Schema},
    };
    use std::sync::Arc;

    #[test]
    fn null_and_empty_text_differ_and_quotes_are_doubled() {
        let schema = Arc::new(Schema::new(vec![Field::new("a,b", DataType::Utf8, true), Field::new("c", DataType::Utf8, true)]));
        let column = |v: Vec<Option<&str>>| Arc::new(StringArray::from(v)) as ArrayRef;
        let columns = vec![column(vec![None, Some(""), Some("x\"y")]), column(vec![Some("1"), None, Some("two\r\nlines")])];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let mut out = Vec::new();
        Csv.start(&schema, &mut out).unwrap();
        Csv.batch(&batch, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\"a,b\",c\r\n,1\r\n\"\",\r\n\"x\"\"y\",\"two\r\nlines\"\r\n");
    }
}
