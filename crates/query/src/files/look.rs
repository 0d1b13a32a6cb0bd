//! What files hold, found by looking at some of them.

use super::{
    Format, broken, delta,
    listing::{Found, Listing, format_of},
    merge,
    options::Options,
    parquet::footer,
    places::FilePlaces,
    routes::Routes,
    sample::{Sample, compression_of, sample},
    table::{FilesSpec, Reading, TableFile},
};
use crate::{Error, Kind, sql_types::sql_type_name};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::{common::ScalarValue, execution::runtime_env::RuntimeEnv};
use formats::{
    csv::{Asked, Sniffed, sniff},
    json::{Documents, Pieces, Shape, infer, parse},
    paths, typed,
};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectMeta, path::Path};
use std::sync::Arc;

/// Footers of Parquet files that are read where nothing else is said: they are small, and tell all.
const FOOTERS: usize = 1024;
/// Files that are looked at together.
const TOGETHER: usize = 8;
/// The least that is looked at of each of many files.
const SAMPLE_BYTES_MIN: usize = 256 << 10;

/// What looking found.
#[derive(Debug)]
pub(super) enum Looked {
    Files(FilesSpec),
    /// Only empty files; the first one's name.
    Nothing(String),
}

/// Looks at what a path leads to.
///
/// # Errors
/// Where files can't be read, or don't make one table.
pub(super) fn look<'a>(
    routes: &'a Routes,
    places: &'a FilePlaces,
    listing: Listing,
    options: &'a Options,
    env: &'a Arc<RuntimeEnv>,
) -> BoxFuture<'a, Result<Looked, Error>> {
    async move {
        let Listing { shown, root, kind } = listing;
        let files = match kind {
            Found::Files(files) => files,
            Found::Delta => return Ok(Looked::Files(delta::table(routes, &root, &shown, env).await?)),
            Found::Iceberg => {
                return Err(Error::new(Kind::Unsupported, format!("{shown} is an Iceberg table"))
                    .with_hint("Let a crawler register it: its tables are read by their metadata."));
            }
        };
        let eye = Eye { routes, places, options, env };
        let format = match options.format.map_or_else(|| format_of(&files, &shown), |f| Ok(Some(f)))? {
            Some(format) => format,
            None => eye.magic(&files[0]).await?,
        };
        let partitions = if options.partitions { partitions(&files, &root, &shown)? } else { Vec::new() };
        let chosen =
            chosen(&files, if format == Format::Parquet { options.sample_files.max(FOOTERS) } else { options.sample_files });
        let whole = chosen.len() == files.len();
        let seen = match format {
            Format::Csv => eye.csv(&chosen, whole).await?,
            Format::Json => eye.json(&chosen, whole).await?,
            Format::Avro => eye.avro(&chosen).await?,
            Format::Parquet => eye.parquet(&chosen).await?,
        };
        let Some(seen) = seen else { return Ok(Looked::Nothing(eye.shown(&files[0]))) };
        let modified = |shown: &str| chosen.iter().find(|f| eye.shown(f) == shown).map(|f| f.last_modified);
        let mut each = seen.each;
        each.sort_by_cached_key(|(file, _)| modified(file));
        let (files, partitions) = described(files, &partitions, options.filename, places);
        let (schema, reading) = (Arc::new(seen.schema), seen.reading);
        Ok(Looked::Files(FilesSpec { shown, files, schema, partitions, reading, each }))
    }
    .boxed()
}

/// The files as they are now of a table whose columns are known.
///
/// # Errors
/// Where a partition has a value that is not of its column's type.
pub(super) fn listed(files: Vec<ObjectMeta>, root: &Path, known: &FilesSpec, places: &FilePlaces) -> Result<FilesSpec, Error> {
    let mut found = partitions(&files, root, &known.shown)?;
    let names = |p: &[Partition]| p.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    let wanted: Vec<String> = known.partitions.iter().map(|f| f.name().clone()).collect();
    if names(&found) != wanted {
        let message = format!("the folders of {} have other partitions than at the last crawl", known.shown);
        return Err(Error::new(Kind::Invalid, message).with_hint("Crawl again."));
    }
    for (partition, field) in found.iter_mut().zip(&known.partitions) {
        let casted = partition.values.iter().map(|v| v.cast_to(field.data_type())).collect::<Result<Vec<_>, _>>();
        partition.values = casted.map_err(|e| {
            let message = format!(
                "a folder of {} names no value of the partition `{}`: {}",
                known.shown,
                field.name(),
                e.strip_backtrace()
            );
            Error::new(Kind::Invalid, message).with_hint("Crawl again.")
        })?;
        partition.data_type = field.data_type().clone();
    }
    let (files, partitions) = described(files, &found, false, places);
    Ok(FilesSpec { files, partitions, ..known.clone() })
}

fn described(
    files: Vec<ObjectMeta>,
    partitions: &[Partition],
    filename: bool,
    places: &FilePlaces,
) -> (Vec<TableFile>, Vec<FieldRef>) {
    let mut fields: Vec<FieldRef> = partitions.iter().map(|p| Arc::new(Field::new(&p.name, p.data_type.clone(), true))).collect();
    if filename {
        fields.push(Arc::new(Field::new("filename", DataType::Utf8, false)));
    }
    let mut out = Vec::with_capacity(files.len());
    for (i, meta) in files.into_iter().enumerate() {
        let mut values: Vec<ScalarValue> = partitions.iter().map(|p| p.values[i].clone()).collect();
        let shown = shown(places, &meta.location);
        if filename {
            values.push(ScalarValue::Utf8(Some(shown.clone())));
        }
        out.push(TableFile { shown, rows: None, meta, partition: values });
    }
    (out, fields)
}

/// A column that directories say.
struct Partition {
    name: String,
    data_type: DataType,
    /// One for each file.
    values: Vec<ScalarValue>,
}

/// The columns that directories below `root` say. All files must say the same ones.
fn partitions(files: &[ObjectMeta], root: &Path, shown: &str) -> Result<Vec<Partition>, Error> {
    let depth = root.parts().count();
    let of = |file: &ObjectMeta| {
        let parts: Vec<String> = file.location.parts().skip(depth).map(|p| p.as_ref().to_owned()).collect();
        let folders: Vec<&str> = parts.iter().map(String::as_str).take(parts.len().saturating_sub(1)).collect();
        paths::partitions(&folders)
    };
    let all: Vec<Vec<(String, Option<String>)>> = files.iter().map(of).collect();
    let names = |p: &[(String, Option<String>)]| p.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    let Some(first) = all.first().map(|p| names(p)) else { return Ok(Vec::new()) };
    if all.iter().any(|p| names(p) != first) {
        return Err(Error::new(Kind::Invalid, format!("the files at {shown} lie in folders of different partitions"))
            .with_hint("Name a part of them, or say hive_partitioning => false."));
    }
    let column = |(i, name): (usize, &String)| -> Result<Partition, Error> {
        let texts: Vec<Option<&str>> = all.iter().map(|p| p[i].1.as_deref()).collect();
        let data_type = paths::partition_type(texts.iter().copied().flatten());
        let values = partition_values(&data_type, &texts).map_err(|e| broken(shown, e.column(name.clone())))?;
        Ok(Partition { name: name.clone(), data_type, values })
    };
    first.iter().enumerate().map(column).collect()
}

/// Values of a partition column from their texts.
pub(super) fn partition_values(data_type: &DataType, texts: &[Option<&str>]) -> Result<Vec<ScalarValue>, formats::Error> {
    let array = typed::column(data_type, texts.iter().copied()).map_err(|e| e.error)?;
    let array = arrow::compute::cast(&array, data_type).map_err(|e| formats::Error::new(e.to_string()))?;
    let value = |i| ScalarValue::try_from_array(&array, i).map_err(|e| formats::Error::new(e.to_string()));
    (0..texts.len()).map(value).collect()
}

/// Which files to look at: all where they are few enough, else some from the first to the last.
fn chosen(files: &[ObjectMeta], most: usize) -> Vec<&ObjectMeta> {
    if files.len() <= most {
        return files.iter().collect();
    }
    let last = files.len() - 1;
    let mut chosen: Vec<&ObjectMeta> = (0..most).map(|i| &files[i * last / most.saturating_sub(1).max(1)]).collect();
    chosen.dedup_by(|a, b| a.location == b.location);
    chosen
}

/// What the files that were looked at hold together, and each by itself.
struct Seen {
    schema: Schema,
    reading: Reading,
    each: Vec<(String, SchemaRef)>,
}

struct Eye<'a> {
    routes: &'a Routes,
    places: &'a FilePlaces,
    options: &'a Options,
    env: &'a Arc<RuntimeEnv>,
}

impl Eye<'_> {
    fn shown(&self, file: &ObjectMeta) -> String {
        shown(self.places, &file.location)
    }

    /// The format of a file whose name does not say it.
    async fn magic(&self, file: &ObjectMeta) -> Result<Format, Error> {
        let compression = compression_of(file, self.options);
        let start = sample(self.routes, file, compression, 4096, &self.shown(file)).await?;
        Ok(match start.text() {
            [b'P', b'A', b'R', b'1', ..] => Format::Parquet,
            [b'O', b'b', b'j', 1, ..] => Format::Avro,
            text if matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) => Format::Json,
            _ => Format::Csv,
        })
    }

    async fn samples(&self, files: &[&ObjectMeta]) -> Result<Vec<(String, Sample)>, Error> {
        let share = self.options.sample_bytes / files.len().div_ceil(TOGETHER).max(1);
        let bytes = share.max(SAMPLE_BYTES_MIN).min(self.options.sample_bytes);
        let one = |file: &&ObjectMeta| {
            let (file, shown, routes) = (ObjectMeta::clone(file), self.shown(file), self.routes.clone());
            let compression = compression_of(&file, self.options);
            async move {
                let sample = sample(&routes, &file, compression, bytes, &shown).await?;
                Ok::<_, Error>((shown, sample))
            }
            .boxed()
        };
        let all: Vec<BoxFuture<'static, _>> = files.iter().map(one).collect();
        futures::stream::iter(all).buffered(TOGETHER).try_collect().await
    }

    async fn csv(&self, files: &[&ObjectMeta], all: bool) -> Result<Option<Seen>, Error> {
        let samples = self.samples(files).await?;
        let sampled = !all || samples.iter().any(|(_, s)| !s.whole);
        let mut asked = self.options.csv.clone();
        let tabs = files.iter().any(|f| is_tsv(f));
        if asked.delimiter.is_none() && tabs {
            asked.delimiter = Some(b'\t');
        }
        let mut known: Option<(String, Sniffed)> = None;
        let mut each = Vec::with_capacity(samples.len());
        for (file, sample) in samples.iter().filter(|(_, s)| !s.text().trim_ascii().is_empty()) {
            // The first file says how all are written.
            let like = known.as_ref().map_or_else(
                || asked.clone(),
                |(_, k)| Asked {
                    delimiter: Some(k.dialect.delimiter),
                    escape: k.dialect.escape,
                    header: Some(k.header),
                    ..asked.clone()
                },
            );
            let sniffed = sniff(sample.text(), sample.whole, &like).map_err(|e| broken(file, e))?;
            each.push((file.clone(), Arc::new(sniffed.schema(&asked, false))));
            known = Some(match known {
                None => (file.clone(), sniffed),
                Some((first, known)) => (first.clone(), joined(known, sniffed, &first, file, &asked)?),
            });
        }
        let Some((file, sniffed)) = known else { return Ok(None) };
        for (name, _) in &asked.typed {
            if !sniffed.columns.iter().any(|(n, _)| n == name) {
                let names: Vec<&str> = sniffed.columns.iter().map(|(n, _)| n.as_str()).collect();
                return Err(Error::new(Kind::Invalid, format!("{file} has no column `{name}`"))
                    .with_hint(format!("It has: {}.", names.join(", "))));
            }
        }
        let schema = sniffed.schema(&asked, sampled);
        let reading =
            Reading::Csv { dialect: sniffed.dialect, header: sniffed.header, asked: Box::new(asked), options: self.reading() };
        Ok(Some(Seen { schema, reading, each }))
    }

    fn reading(&self) -> super::table::TextOptions {
        super::table::TextOptions { compression: self.options.compression, ignore_unknown: self.options.ignore_unknown }
    }

    async fn json(&self, files: &[&ObjectMeta], all: bool) -> Result<Option<Seen>, Error> {
        let samples = self.samples(files).await?;
        let sampled = !all || samples.iter().any(|(_, s)| !s.whole);
        let mut shape: Option<Shape> = None;
        let mut each = Vec::with_capacity(samples.len());
        for (file, sample) in &samples {
            let found = self.shape(sample).map_err(|e| broken(file, e))?;
            if let Some(found) = &found {
                each.push((file.clone(), Arc::new(found.schema(false))));
            }
            shape = match (shape, found) {
                (known, None) => known,
                (None, found) => found,
                (Some(known), Some(found)) => Some(known.join(found)),
            };
        }
        let Some(shape) = shape else { return Ok(None) };
        let whole = !matches!(shape, Shape::Struct(_));
        let mut fields: Vec<FieldRef> = shape.schema(sampled).fields().to_vec();
        for (name, data_type) in &self.options.csv.typed {
            match fields.iter_mut().find(|f| f.name() == name) {
                Some(field) => *field = Arc::new(Field::new(name, data_type.clone(), true)),
                None => fields.push(Arc::new(Field::new(name, data_type.clone(), true))),
            }
        }
        let reading = Reading::Json { form: self.options.json, whole, options: self.reading() };
        Ok(Some(Seen { schema: Schema::new(fields), reading, each }))
    }

    /// What the documents of a sample look like; none where there are none.
    fn shape(&self, sample: &Sample) -> Result<Option<Shape>, formats::Error> {
        let (mut documents, mut pieces) = (Documents::new(self.options.json), Pieces::default());
        documents.feed(sample.text(), &mut pieces, usize::MAX, usize::MAX)?;
        if sample.whole {
            documents.finish(&mut pieces)?;
        }
        let mut nodes = Vec::with_capacity(pieces.len());
        for piece in pieces.texts() {
            let (text, line) = piece?;
            nodes.push(parse(text).map_err(|mut e| {
                e.place.line = Some(line + e.place.line.unwrap_or(1) - 1);
                e
            })?);
        }
        Ok((!nodes.is_empty()).then(|| infer(nodes.iter())))
    }

    async fn avro(&self, files: &[&ObjectMeta]) -> Result<Option<Seen>, Error> {
        let mut schemas = Vec::with_capacity(files.len());
        for (file, sample) in self.samples(files).await?.into_iter().filter(|(_, s)| !s.bytes.is_empty()) {
            let schema = formats::avro::schema(&sample.bytes).map_err(|e| broken(&file, e))?;
            schemas.push((file, Arc::new(schema)));
        }
        if schemas.is_empty() {
            return Ok(None);
        }
        Ok(Some(Seen { schema: union(&schemas)?, reading: Reading::Avro { options: self.reading() }, each: schemas }))
    }

    async fn parquet(&self, files: &[&ObjectMeta]) -> Result<Option<Seen>, Error> {
        let one = |file: &&ObjectMeta| {
            let (file, shown, routes) = (ObjectMeta::clone(file), self.shown(file), self.routes.clone());
            let env = Arc::clone(self.env);
            async move { footer(&routes, &file, &env, &shown).await.map(|(schema, _)| (shown, schema)) }.boxed()
        };
        let all: Vec<BoxFuture<'static, _>> = files.iter().map(one).collect();
        let schemas: Vec<(String, SchemaRef)> = futures::stream::iter(all).buffered(2 * TOGETHER).try_collect().await?;
        Ok(Some(Seen { schema: union(&schemas)?, reading: Reading::Parquet { finer_times: false }, each: schemas }))
    }
}

/// A path in all places as people would write it.
pub(super) fn shown(places: &FilePlaces, path: &Path) -> String {
    match Routes::split(path) {
        Some((place, rest)) => places.shown(place, rest.as_ref()),
        None => path.to_string(),
    }
}

fn is_tsv(file: &ObjectMeta) -> bool {
    let name = file.location.filename().unwrap_or_default().to_ascii_lowercase();
    name.split('.').any(|part| part == "tsv" || part == "tab")
}

/// The columns of two files that are written alike: by name where they have names, else by place.
fn joined(known: Sniffed, other: Sniffed, first: &str, file: &str, asked: &Asked) -> Result<Sniffed, Error> {
    let mut columns = known.columns;
    if !known.header && columns.len() != other.columns.len() && !asked.null_padding {
        let message = format!("{first} has {} columns and {file} {}", columns.len(), other.columns.len());
        return Err(Error::new(Kind::Invalid, message)
            .with_hint("Without names in a header, all files need the same columns. Name some of them with a pattern."));
    }
    for (name, guess) in other.columns {
        match columns.iter_mut().find(|(n, _)| *n == name) {
            Some((_, known)) => *known = known.join(guess),
            None => columns.push((name, guess)),
        }
    }
    Ok(Sniffed { columns, ..known })
}

fn union(schemas: &[(String, SchemaRef)]) -> Result<Schema, Error> {
    merge::union(schemas.iter().map(|(file, schema)| (file.as_str(), schema))).map_err(|clash| {
        let merge::Clash { column, first, second } = *clash;
        let (a, b) = (sql_type_name(&first.1), sql_type_name(&second.1));
        Error::new(Kind::Invalid, format!("the column `{column}` is {a} in {} and {b} in {}", first.0, second.0))
            .with_hint("No type holds both exactly. Read the files apart, cast the column, and put them together with UNION ALL.")
    })
}
