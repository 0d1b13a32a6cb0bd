use super::{
    Dialect, Records, Rows,
    sniff::{Asked, header_names, skip_lines},
};
use crate::{Error, error::quoted, typed};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::cast,
    datatypes::{DataType, SchemaRef},
};

/// Bytes of text in one batch.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// What is to be read of files that are written alike.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The columns of the table that the files make.
    pub schema: SchemaRef,
    /// Those that are asked for.
    pub projection: Vec<usize>,
    /// How files are written.
    pub dialect: Dialect,
    /// Whether each begins with names; columns then go by name, whatever their order.
    pub header: bool,
    /// What else was said of them.
    pub asked: Asked,
    /// Whether a column that the table does not have is no error.
    pub ignore_unknown: bool,
    /// Rows in a batch.
    pub rows_max: usize,
}

/// Reads one file as its bytes come.
#[derive(Debug)]
pub struct Reader {
    wanted: Wanted,
    records: Records,
    rows: Rows,
    /// Bytes at the beginning that are not yet known to be a byte order mark or lines to skip.
    head: Option<Vec<u8>>,
    /// For each column that is asked for, where it is in the file; unknown until the header was read.
    places: Option<Vec<Option<usize>>>,
    width: usize,
}

impl Reader {
    /// A reader at the beginning of a file.
    pub fn new(wanted: Wanted) -> Self {
        let records = Records::new(wanted.dialect, wanted.asked.skip + 1);
        let (places, width) = if wanted.header {
            (None, 0)
        } else {
            (Some(wanted.projection.iter().map(|c| Some(*c)).collect()), wanted.schema.fields().len())
        };
        Self { wanted, records, rows: Rows::default(), head: Some(Vec::new()), places, width }
    }

    /// Takes in bytes; calls `out` with each batch that is full.
    ///
    /// # Errors
    /// What is wrong with the file, at its line. The reader is of no use afterwards.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<RecordBatch>) -> Result<(), Error> {
        if let Some(mut head) = self.head.take() {
            head.extend_from_slice(bytes);
            let lines = head.iter().filter(|b| **b == b'\n').count() as u64;
            if head.len() < 3 || lines < self.wanted.asked.skip {
                self.head = Some(head);
                return Ok(());
            }
            return self.take(self.without_head(&head).to_vec().as_slice(), out);
        }
        self.take(bytes, out)
    }

    fn without_head<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        skip_lines(head.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(head), self.wanted.asked.skip)
    }

    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<RecordBatch>) -> Result<(), Error> {
        while !bytes.is_empty() {
            let used = self.records.feed(bytes, &mut self.rows, self.wanted.rows_max.max(2), BATCH_BYTES_MAX)?;
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
            self.take(self.without_head(&head).to_vec().as_slice(), out)?;
        }
        self.records.finish(&mut self.rows)?;
        self.flush(out)
    }

    /// Turns the rows at hand into a batch. A row that is begun is never among them: the splitter stops in front of it.
    fn flush(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), Error> {
        let mut rows = std::mem::take(&mut self.rows);
        let made = self.batch(&rows);
        rows.clear();
        self.rows = rows;
        out.extend(made?);
        Ok(())
    }

    fn batch(&mut self, rows: &Rows) -> Result<Option<RecordBatch>, Error> {
        let texts = rows.texts()?;
        let mut live: Vec<usize> = Vec::with_capacity(rows.len());
        for row in 0..rows.len() {
            if self.places.is_none() {
                if rows.is_blank(row) {
                    continue;
                }
                self.width = rows.width(row);
                let names = header_names(&texts, row, self.width, &self.wanted.asked);
                self.places = Some(self.find(&names).map_err(|e| e.line(rows.line(row)))?);
                continue;
            }
            // In a file of one column an empty line is a NULL; elsewhere it is nothing.
            if rows.is_blank(row) && self.width != 1 {
                continue;
            }
            self.check_width(rows.width(row)).map_err(|e| e.line(rows.line(row)))?;
            live.push(row);
        }
        let Some(places) = self.places.as_ref().filter(|_| !live.is_empty()) else { return Ok(None) };
        let schema = self.wanted.schema.project(&self.wanted.projection).map_err(|e| Error::new(e.to_string()))?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(places.len());
        for (field, place) in schema.fields().iter().zip(places) {
            let Some(place) = *place else {
                columns.push(new_null_array(field.data_type(), live.len()));
                continue;
            };
            let asked = &self.wanted.asked;
            let values = live.iter().map(|row| {
                let (text, quoted) = texts.get(*row, place)?;
                // An empty text in quotes is a text; of other types it can only be NULL.
                let empty = text.is_empty() && (!quoted || !is_text(field.data_type()));
                (!asked.is_null(text, quoted) && !empty).then_some(text)
            });
            let made = typed::column(field.data_type(), values);
            let made =
                made.map_err(|e| e.error.line(rows.line(live[e.index])).column(field.name().clone()).hint(hint(field.name())))?;
            columns.push(fitted(made, field.data_type()).map_err(|e| e.column(field.name().clone()))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(live.len()));
        let batch = RecordBatch::try_new_with_options(std::sync::Arc::new(schema), columns, &options);
        batch.map(Some).map_err(|e| Error::new(e.to_string()))
    }

    /// Where each column that is asked for is in a file with these names.
    fn find(&self, names: &[String]) -> Result<Vec<Option<usize>>, Error> {
        let schema = &self.wanted.schema;
        if let Some(name) = names.iter().find(|n| schema.index_of(n).is_err()).filter(|_| !self.wanted.ignore_unknown) {
            return Err(Error::new(format!("the file has a column {} that the files looked at first don't have", quoted(name)))
                .hint("Look at all files: sample_files => -1."));
        }
        let place = |column: &usize| names.iter().position(|n| n == schema.field(*column).name());
        Ok(self.wanted.projection.iter().map(place).collect())
    }

    fn check_width(&self, width: usize) -> Result<(), Error> {
        if width == self.width || (width < self.width && self.wanted.asked.null_padding) {
            return Ok(());
        }
        let error = Error::new(format!("the row has {width} fields where {} are expected", self.width));
        Err(if width < self.width {
            error.hint("Say null_padding => true where missing fields at the end are NULL.")
        } else {
            error.hint("Put fields that hold the delimiter into quotes, or name the right one: delimiter => ';'.")
        })
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn hint(column: &str) -> String {
    format!(
        "The type was told from the beginning of the file. Look at all of it: sample_size => -1; or say the type: types => '{}: text'.",
        column.replace('\'', "''")
    )
}

/// The column in the type that the table has it in.
pub(crate) fn fitted(array: ArrayRef, data_type: &DataType) -> Result<ArrayRef, Error> {
    if array.data_type() == data_type {
        return Ok(array);
    }
    cast(&array, data_type).map_err(|e| Error::new(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv::sniff;
    use arrow::util::pretty::pretty_format_batches;
    use std::sync::Arc;

    fn read(text: &str, asked: Asked, piece: usize) -> Result<Vec<RecordBatch>, Error> {
        let bytes = text.as_bytes();
        let bare = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
        let sniffed = sniff(bare, true, &asked)?;
        let schema = Arc::new(sniffed.schema(&asked, false));
        let projection = (0..schema.fields().len()).collect();
        let (dialect, header) = (sniffed.dialect, sniffed.header);
        let wanted = Wanted { schema, projection, dialect, header, asked, ignore_unknown: false, rows_max: 3 };
        let (mut reader, mut out) = (Reader::new(wanted), Vec::new());
        for chunk in bytes.chunks(piece) {
            reader.feed(chunk, &mut out)?;
        }
        reader.finish(&mut out)?;
        Ok(out)
    }

    fn shown(text: &str) -> String {
        let whole = pretty_format_batches(&read(text, Asked::default(), 1000).unwrap()).unwrap().to_string();
        for piece in [1, 2, 7] {
            let pieces = pretty_format_batches(&read(text, Asked::default(), piece).unwrap()).unwrap().to_string();
            assert_eq!(pieces, whole, "{text:?} in pieces of {piece}");
        }
        whole.lines().filter(|l| l.starts_with('|')).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_byte_order_mark_line_ends_and_empty_lines_are_no_values() {
        assert_eq!(
            shown("\u{FEFF}id,name\r\n1,\"a\nb\"\r\n\r\n2,\r\n3,\"\"\r\n4,x\r\n"),
            "| id | name |\n| 1  | a    |\n|    | b    |\n| 2  |      |\n| 3  |      |\n| 4  | x    |"
        );
        assert_eq!(shown("n\n1\n\n3\n"), "| n |\n| 1 |\n|   |\n| 3 |");
    }

    #[test]
    fn an_empty_text_in_quotes_is_a_text_and_an_empty_field_is_null() {
        let batches = read("a,b,c\nx,1,\n\"\",\"\",y\n,3,\"\"\n", Asked::default(), 100).unwrap();
        let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        let nulls: Vec<Vec<bool>> = batch.columns().iter().map(|c| (0..3).map(|r| c.is_null(r)).collect()).collect();
        assert_eq!(nulls, [[false, false, true], [false, true, false], [true, false, false]]);
    }

    #[test]
    fn errors_say_line_and_column() {
        let asked = Asked { typed: vec![("n".into(), DataType::Int64)], ..Asked::default() };
        let error = read("n,t\n1,a\n2,\"b\nb\"\nx,c\n", asked, 5).unwrap_err();
        assert_eq!(error.to_string(), "line 5, column `n`: `x` is no value of the type bigint");
        let error = read("a,b\n1,2\n3\n", Asked::default(), 100).unwrap_err();
        assert_eq!(error.to_string(), "line 3: the row has 1 fields where 2 are expected");
        let padded = Asked { null_padding: true, ..Asked::default() };
        assert_eq!(read("a,b\n1,2\n3\n", padded, 100).unwrap()[0].column(1).null_count(), 1);
        assert!(read("a,b\n1,2\n3,4,5\n", Asked::default(), 100).is_err());
    }
}
