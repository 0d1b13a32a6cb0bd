//! A lake on an object store that fails and lies: what is read is right or an error, and what was committed is there.

use crate::world::{rows, schema};
use async_trait::async_trait;
use bytes::Bytes;
use catalog::Catalog;
use futures::{StreamExt, stream::BoxStream};
use lake::{DataFileWriter, Kind, Lake, Store, TableChange, TableSpec, WriterOptions, WrittenFile, new_data_path};
use model::{LakeTable, Layer};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, memory::InMemory, path::Path,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use xxhash_rust::xxh3::xxh3_64;

/// A store in memory that fails or lies at a share of all requests, drawn by a seed.
#[derive(Debug)]
struct Lying {
    inner: InMemory,
    seed: u64,
    per_mille: AtomicU64,
    asked: AtomicU64,
    lied: AtomicU64,
}

impl fmt::Display for Lying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lying")
    }
}

fn broken() -> Error {
    Error::Generic { store: "lying", source: "the connection broke".into() }
}

fn missing(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "so it says".into() }
}

impl Lying {
    fn new(seed: u64, per_mille: u64) -> Arc<Self> {
        let zero = AtomicU64::default;
        Arc::new(Self { inner: InMemory::new(), seed, per_mille: per_mille.into(), asked: zero(), lied: zero() })
    }

    /// A number for the lie that is due, if one is.
    fn draw(&self) -> Option<u64> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let dice = xxh3_64(&[self.seed.to_le_bytes(), number.to_le_bytes()].concat());
        let lies = dice % 1000 < self.per_mille.load(Ordering::Relaxed);
        self.lied.fetch_add(u64::from(lies), Ordering::Relaxed);
        lies.then_some(dice / 1000)
    }
}

#[async_trait]
impl ObjectStore for Lying {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.draw().map(|n| n % 3) {
            Some(0) => Ok(PutResult { e_tag: None, version: None }),
            Some(1) => Err(broken()),
            Some(_) => {
                self.inner.put_opts(path, payload, options).await?;
                Err(broken())
            }
            None => self.inner.put_opts(path, payload, options).await,
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(path, options).await?;
        Ok(Box::new(LyingUpload { upload, lie: self.draw().is_some() }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let lie = self.draw();
        if options.head {
            return if lie.is_some() { Err(missing(path)) } else { self.inner.get_opts(path, options).await };
        }
        let answer = self.inner.get_opts(path, options).await?;
        let (meta, range, attributes) = (answer.meta.clone(), answer.range.clone(), answer.attributes.clone());
        let mut bytes = answer.bytes().await?.to_vec();
        if let Some(n) = lie {
            let at = usize::try_from(n / 5).unwrap_or(0) % bytes.len().max(1);
            match n % 5 {
                0 => return Err(missing(path)),
                1 => return Err(broken()),
                2 => bytes.truncate(at),
                3 => bytes.rotate_left(at.max(1)),
                _ => bytes[at] ^= 1 << (n / 7 % 8),
            }
        }
        let payload = GetResultPayload::Stream(futures::stream::once(async move { Ok(Bytes::from(bytes)) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct LyingUpload {
    upload: Box<dyn MultipartUpload>,
    lie: bool,
}

#[async_trait]
impl MultipartUpload for LyingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let done = self.upload.complete().await;
        if self.lie { Err(broken()) } else { done }
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

fn table() -> LakeTable {
    LakeTable::new(Layer::Silver, "shop_orders")
}

async fn catalog(dir: &tempfile::TempDir) -> Catalog {
    Catalog::open(&format!("sqlite:{}", dir.path().join("c.db").display()), runtime::SystemClock::shared()).await.unwrap()
}

async fn file(lake: &Lake, ids: Vec<i64>) -> Result<Arc<WrittenFile>, lake::Error> {
    let store = lake.warehouse().clone();
    let write = move || {
        let mut writer = DataFileWriter::create(&store, new_data_path(&table()), &schema(), WriterOptions::default())?;
        for ids in ids.chunks(1000) {
            writer.write(&rows(ids))?;
        }
        writer.finish().map(Arc::new)
    };
    runtime::blocking("writing a file", write).await.unwrap()
}

/// Tries until it is done; only what blames the store may be in the way.
macro_rules! in_the_end {
    ($what:expr) => {{
        let mut tries = 0;
        loop {
            match $what.await {
                Ok(done) => break done,
                Err(error) => assert!(tries < 20 && error.kind == Kind::Storage, "{error}"),
            }
            tries += 1;
        }
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_and_reads_survive_a_store_that_lies_at_every_fifth_request() {
    for seed in 0..4 {
        let lying = Lying::new(seed, 200);
        let objects: Arc<dyn ObjectStore> = Arc::clone(&lying) as Arc<dyn ObjectStore>;
        let dir = tempfile::tempdir().unwrap();
        let catalog = catalog(&dir).await;
        let clock = runtime::SystemClock::shared();
        let lake = Lake::over(Store::over(Arc::clone(&objects)), catalog.clone(), clock.clone()).await.unwrap();
        let (mut files, mut live) = (Vec::new(), 0);
        for round in 0..8_i64 {
            let ids: Vec<i64> = (round * 3000..round * 3000 + 2500).collect();
            let file = in_the_end!(file(&lake, ids.clone()));
            files.push((file.path.clone(), ids));
            let mut change = TableChange::new(table());
            change.spec = Some(TableSpec::new(schema()));
            change.append.push(Arc::clone(&file));
            change.deletes.push((file.path.clone(), (0..10).collect()));
            live += 2490;
            in_the_end!(lake.commit(vec![change.clone()], None));
        }
        drop(lake);
        // Every commit is there, over the same bad network.
        let lake = in_the_end!(Lake::over(Store::over(Arc::clone(&objects)), catalog.clone(), clock.clone()));
        assert_eq!(lake.view().tables[&table()].live_rows(), live, "seed {seed}");
        for (path, ids) in &files {
            for _ in 0..4 {
                let bytes = in_the_end!(lake.warehouse().get(path));
                let read = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().with_batch_size(1 << 20).build().unwrap();
                let read: Vec<_> = read.map(Result::unwrap).collect();
                assert_eq!(read.iter().map(|b| b.num_rows()).sum::<usize>(), ids.len());
                let column = arrow::compute::concat(&read.iter().map(|b| b.column(0).as_ref()).collect::<Vec<_>>()).unwrap();
                let expected = Arc::new(arrow::array::Int64Array::from(ids.clone())) as arrow::array::ArrayRef;
                assert_eq!(&column, &expected);
            }
        }
        assert!(lying.lied.load(Ordering::Relaxed) > 20 && lake.warehouse().refused_answers() > 0, "{lying:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_range_of_a_data_file_is_right_or_an_error() {
    let lying = Lying::new(77, 0);
    let objects: Arc<dyn ObjectStore> = Arc::clone(&lying) as Arc<dyn ObjectStore>;
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::over(Store::over(objects), catalog(&dir).await, runtime::SystemClock::shared()).await.unwrap();
    let file = file(&lake, (0..150_000).collect()).await.unwrap();
    let whole = lying.inner.get(&file.path).await.unwrap().bytes().await.unwrap();
    assert!(whole.len() > 600 << 10, "{} bytes are more than two blocks", whole.len());
    let size = whole.len() as u64;
    for per_mille in [0, 300] {
        lying.per_mille.store(per_mille, Ordering::Relaxed);
        let mut failed = 0;
        for n in 0..300_u64 {
            // A store of its own each time, so that nothing is known of the file.
            let store = Store::over(Arc::clone(&lying) as Arc<dyn ObjectStore>).objects();
            let at = |salt: u64| xxh3_64(&[n.to_le_bytes(), salt.to_le_bytes()].concat()) % size;
            let ranges: Vec<_> = (0..3).map(|i| at(2 * i).min(at(2 * i + 1))..at(2 * i).max(at(2 * i + 1)) + 1).collect();
            match store.get_ranges(&file.path, &ranges).await {
                Ok(parts) => {
                    for (range, part) in ranges.iter().zip(parts) {
                        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                        assert!(part == whole.slice(range.clone()), "{range:?} of {size}");
                    }
                }
                Err(error) => {
                    failed += 1;
                    assert!(per_mille > 0 && !error.to_string().is_empty());
                }
            }
        }
        assert!(failed < 60, "{failed} of 300 reads failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_damaged_for_good_is_an_error_that_names_it() {
    let lying = Lying::new(1, 0);
    let dir = tempfile::tempdir().unwrap();
    let objects: Arc<dyn ObjectStore> = Arc::clone(&lying) as Arc<dyn ObjectStore>;
    let lake = Lake::over(Store::over(objects), catalog(&dir).await, runtime::SystemClock::shared()).await.unwrap();
    let file = file(&lake, (0..60_000).collect()).await.unwrap();
    let mut bytes = lying.inner.get(&file.path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[300_000] ^= 1;
    lying.inner.put(&file.path, bytes.into()).await.unwrap();
    let error = lake.warehouse().get(&file.path).await.unwrap_err();
    assert_eq!(error.kind, Kind::Storage);
    assert!(error.message.contains(file.path.as_ref()) && error.message.contains("checksum"), "{error}");
}
