use axum::{
    Json,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use std::borrow::Cow;

/// An answer that is an error, sent as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<api::Problem>);

impl Problem {
    /// A problem with a stable `code` and one sentence of detail.
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(api::Problem {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            code: code.into(),
            detail: detail.into(),
            hint: None,
            line: None,
            column: None,
        }))
    }

    /// Something named in the path does not exist.
    pub(crate) fn unknown(what: &str, name: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let known: Vec<String> = known.into_iter().map(|k| k.as_ref().to_owned()).collect();
        let problem = Self::new(StatusCode::NOT_FOUND, &format!("{what}.unknown"), format!("There is no {what} named `{name}`."));
        match known.len() {
            0 => problem.hint(format!("This lake has no {what} yet.")),
            1..=12 => problem.hint(format!("There is: {}.", known.join(", "))),
            n => problem.hint(format!("There are {n}; list them to see their names.")),
        }
    }

    /// The path exists, for other methods.
    pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Self {
        let detail = format!("{} is not answered to {method}.", uri.path());
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "request.method", detail)
            .hint("GET /api/openapi.json lists what there is; the header `allow` names the methods of this path.")
    }

    /// An error of lakebox itself or of what it stands on.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(e) = cause {
            detail.push_str(": ");
            detail.push_str(&e.to_string());
            cause = e.source();
        }
        tracing::error!("a request failed: {detail}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into().into_owned());
        self
    }

    /// Where in the query it is: one-based line and column.
    #[must_use]
    pub(crate) fn at(mut self, line: u32, column: u32) -> Self {
        (self.0.line, self.0.column) = (Some(line), Some(column));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(*self.0)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
