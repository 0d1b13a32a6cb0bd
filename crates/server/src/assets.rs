use crate::problem::Problem;
use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::fmt::Write as _;

/// The dashboard, built into the binary.
#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[exclude = ".gitkeep"]
struct Dashboard;

/// Serves the dashboard: files by path, and its page for every other path, since the dashboard routes by itself.
pub(crate) async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") || path.starts_with("iceberg/") {
        return Problem::new(StatusCode::NOT_FOUND, "route.unknown", format!("There is nothing at /{path}."))
            .hint("GET /api/openapi.json lists what there is.")
            .into_response();
    }
    if let Some(file) = Dashboard::get(path).filter(|_| !path.is_empty()) {
        // Names under assets/ carry a hash of their content, so they may be kept for ever.
        let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        return answer(path, file, cache, &headers);
    }
    match Dashboard::get("index.html") {
        Some(page) => answer("index.html", page, "no-cache", &headers),
        None => Problem::new(StatusCode::NOT_FOUND, "ui.missing", "This binary was built without the dashboard.")
            .hint("Build it with `make ui build`. The API works all the same: GET /api/openapi.json.")
            .into_response(),
    }
}

fn answer(path: &str, file: EmbeddedFile, cache: &'static str, headers: &HeaderMap) -> Response {
    let etag = file.metadata.sha256_hash().iter().take(12).fold(String::from("\""), |mut tag, byte| {
        let _ = write!(tag, "{byte:02x}");
        tag
    }) + "\"";
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let heads = [(header::CONTENT_TYPE, mime.to_string()), (header::CACHE_CONTROL, cache.to_owned()), (header::ETAG, etag)];
    (heads, Body::from(file.data)).into_response()
}
