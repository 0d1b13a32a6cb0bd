use super::{Encoder, End};
use crate::{Error, Kind};
use ::arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError, ipc::writer::StreamWriter};

/// The Arrow IPC stream format, uncompressed because not every reader can decompress.
#[derive(Default)]
pub(super) struct ArrowStream {
    writer: Option<StreamWriter<Vec<u8>>>,
}

fn failed(error: ArrowError) -> Error {
    Error::new(Kind::Internal, "the result can't be written as Arrow").with_source(error)
}

impl ArrowStream {
    /// Hands on what was written so far.
    fn drain(&mut self, out: &mut Vec<u8>) {
        if let Some(writer) = &mut self.writer {
            out.append(writer.get_mut());
        }
    }
}

impl Encoder for ArrowStream {
    fn start(&mut self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), Error> {
        self.writer = Some(StreamWriter::try_new(Vec::new(), schema).map_err(failed)?);
        self.drain(out);
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(writer) = &mut self.writer {
            writer.write(batch).map_err(failed)?;
        }
        self.drain(out);
        Ok(())
    }

    fn finish(&mut self, _: &End<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(writer) = &mut self.writer {
            writer.finish().map_err(failed)?;
        }
        self.drain(out);
        Ok(())
    }
}
