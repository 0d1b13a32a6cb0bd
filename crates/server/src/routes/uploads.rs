use crate::{app::App, problem::Problem};
use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart, path::Path as ObjectPath};
use serde::Deserialize;
use utoipa::IntoParams;

/// The folder of the warehouse that uploads are kept in; SQL finds it under the same name.
const FOLDER: &str = "uploads";
/// Bytes of one upload's part on its way to the store.
const PART_BYTES: usize = 8 << 20;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 120;
/// Uploads that are listed.
const LISTED_MAX: usize = 10_000;
/// Names that are tried where one is taken.
const NAMES_TRIED: u32 = 1000;

/// Which file it is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Named {
    /// The file's name, for example `orders.csv`. It is made plain: letters, digits, `.`, `-` and `_`.
    name: String,
    /// Whether a file of that name is replaced; else the new one gets a number.
    #[serde(default)]
    replace: bool,
}

/// Every uploaded file, the newest first.
#[utoipa::path(get, path = "/api/v1/uploads", tag = "sql", responses((status = 200, body = [api::Upload])))]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<api::Upload>>, Problem> {
    let objects = app.lake.store();
    let listed = objects.list(Some(&ObjectPath::from(FOLDER))).take(LISTED_MAX).try_collect::<Vec<_>>().await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(object_store::Error::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(Problem::internal(&error)),
    };
    let mut uploads: Vec<api::Upload> = listed
        .into_iter()
        .filter(|meta| meta.location.parts().count() == 2)
        .map(|meta| upload(meta.location.filename().unwrap_or_default(), meta.size, meta.last_modified.timestamp_micros()))
        .collect();
    uploads.sort_by_key(|u| std::cmp::Reverse(u.modified_us));
    Ok(Json(uploads))
}

fn upload(name: &str, bytes: u64, modified_us: i64) -> api::Upload {
    api::Upload { name: name.to_owned(), path: format!("{FOLDER}/{name}"), bytes, modified_us }
}

/// Keeps a file for SQL to read. The body is the file itself; it is written as it comes, and there once all of it came.
#[utoipa::path(post, path = "/api/v1/uploads", tag = "sql", params(Named),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = api::Upload), (status = 400, body = api::Problem), (status = 413, body = api::Problem)))]
pub(crate) async fn add(
    State(app): State<App>,
    named: Result<Query<Named>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<api::Upload>), Problem> {
    let Query(named) = named.map_err(|e| {
        Problem::new(StatusCode::BAD_REQUEST, "request.invalid", e.body_text())
            .hint("Name the file: POST /api/v1/uploads?name=orders.csv")
    })?;
    let most = app.uploads_bytes_max;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if length.is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    let objects = app.lake.store();
    let wanted = plain_name(&named.name)?;
    let name = if named.replace { wanted } else { free_name(objects.as_ref(), &wanted).await? };
    let path = ObjectPath::from_iter([FOLDER, name.as_str()]);
    let failed = |e: object_store::Error| Problem::internal(&e);
    let mut upload_parts = WriteMultipart::new_with_chunk_size(objects.put_multipart(&path).await.map_err(failed)?, PART_BYTES);
    let mut bytes = 0_u64;
    let mut chunks = body.into_data_stream();
    let broken = loop {
        match chunks.next().await {
            None => break None,
            Some(Err(e)) => {
                let detail = format!("The upload broke off after {bytes} bytes: {e}");
                break Some(Problem::new(StatusCode::BAD_REQUEST, "upload.broken", detail).hint("Send it again."));
            }
            Some(Ok(chunk)) => {
                bytes += chunk.len() as u64;
                if bytes > most {
                    break Some(too_large(most));
                }
                upload_parts.wait_for_capacity(2).await.map_err(failed)?;
                upload_parts.write(&chunk);
            }
        }
    };
    if let Some(problem) = broken {
        // What is left of it is in nobody's way; the store collects it.
        if let Err(error) = upload_parts.abort().await {
            tracing::warn!("an upload could not be given up: {error}");
        }
        return Err(problem);
    }
    upload_parts.finish().await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(upload(&name, bytes, app.clock.now_us()))))
}

fn too_large(most: u64) -> Problem {
    let detail = format!("The file is larger than {} MiB.", most >> 20);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "upload.too_large", detail)
        .hint("Raise `server.upload_max`, compress the file (.gz, .zst), or put it where `server.files` says.")
}

/// Removes an uploaded file.
#[utoipa::path(delete, path = "/api/v1/uploads/{name}", tag = "sql", params(("name" = String, Path, description = "Its name")),
    responses((status = 204), (status = 404, body = api::Problem)))]
pub(crate) async fn remove(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let gone = || Problem::new(StatusCode::NOT_FOUND, "upload.unknown", format!("There is no upload named `{name}`."));
    // Only names that an upload can have lead to a file.
    if plain_name(&name).ok().as_deref() != Some(name.as_str()) {
        return Err(gone());
    }
    let path = ObjectPath::from_iter([FOLDER, name.as_str()]);
    let objects = app.lake.store();
    match objects.head(&path).await {
        Ok(_) => {}
        Err(object_store::Error::NotFound { .. }) => return Err(gone()),
        Err(error) => return Err(Problem::internal(&error)),
    }
    objects.delete(&path).await.map_err(|e| Problem::internal(&e))?;
    Ok(StatusCode::NO_CONTENT)
}

/// A name of letters, digits, `.`, `-` and `_`, without folders. It begins with a letter or digit, so that it is no hidden file.
fn plain_name(name: &str) -> Result<String, Problem> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String =
        last.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' }).collect();
    let plain = plain.trim_start_matches(['.', '-', '_']);
    let cut: String = match (plain.len() > NAME_CHARS_MAX).then(|| plain.split_at(plain.len() - NAME_CHARS_MAX)) {
        // The end says what the file is.
        Some((_, end)) => end.trim_start_matches(['.', '-', '_']).to_owned(),
        None => plain.to_owned(),
    };
    if cut.is_empty() {
        let detail = format!("`{name}` is no name for a file.");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "upload.name", detail).hint("Give it one such as orders.csv."));
    }
    Ok(cut)
}

/// The name, with a number before its endings where it is taken.
async fn free_name(objects: &dyn ObjectStore, name: &str) -> Result<String, Problem> {
    let (stem, endings) = name.split_once('.').map_or((name, String::new()), |(stem, rest)| (stem, format!(".{rest}")));
    for number in 0..NAMES_TRIED {
        let tried = if number == 0 { name.to_owned() } else { format!("{stem}_{number}{endings}") };
        match objects.head(&ObjectPath::from_iter([FOLDER, tried.as_str()])).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(tried),
            Ok(_) => {}
            Err(error) => return Err(Problem::internal(&error)),
        }
    }
    let detail = format!("There are {NAMES_TRIED} uploads named like `{name}`.");
    Err(Problem::new(StatusCode::CONFLICT, "upload.name", detail).hint("Give it another name, or remove old uploads."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_plain_and_lead_nowhere_else() {
        for (name, plain) in [
            ("orders.csv", Some("orders.csv")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\a b\\März 2026.csv", Some("M_rz_2026.csv")),
            ("..", None),
            (".hidden.csv", Some("hidden.csv")),
            ("", None),
            ("a/", None),
        ] {
            assert_eq!(plain_name(name).ok().as_deref(), plain, "{name}");
        }
        let long = plain_name(&format!("{}.csv", "x".repeat(500))).unwrap_or_default();
        assert!(long.len() == NAME_CHARS_MAX && long.ends_with(".csv"));
    }
}
