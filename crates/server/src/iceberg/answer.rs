//! Answers of the protocol: its error model, and bodies that are read whatever the client calls them.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::json;

/// An error as the specification spells it: `{"error": {"message", "type", "code"}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// The name of the exception that a client of the reference implementation raises.
    pub kind: &'static str,
    pub message: String,
}

pub(super) type Answer<T> = Result<T, Refusal>;

/// What a request is about, so that what is missing is called by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Namespace,
    Table,
    /// A commit to tables: where its end is not known, the client must not take its files back.
    Commit,
    View,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    /// The lake's error as the specification calls it.
    pub(super) fn of(about: About) -> impl Fn(lake::Error) -> Self {
        move |error| from_lake(about, &error)
    }
}

fn from_lake(about: About, error: &lake::Error) -> Refusal {
    use lake::Kind;
    let missing = match about {
        About::Namespace => "NoSuchNamespaceException",
        About::Table | About::Commit => "NoSuchTableException",
        About::View => "NoSuchViewException",
    };
    let (status, kind) = match error.kind {
        Kind::NotFound => (StatusCode::NOT_FOUND, missing),
        Kind::Exists => (StatusCode::CONFLICT, "AlreadyExistsException"),
        Kind::NotEmpty => (StatusCode::CONFLICT, "NamespaceNotEmptyException"),
        Kind::Conflict => (StatusCode::CONFLICT, "CommitFailedException"),
        Kind::Owned => (StatusCode::FORBIDDEN, "ForbiddenException"),
        Kind::Invalid | Kind::Schema | Kind::Misconfigured => (StatusCode::BAD_REQUEST, "BadRequestException"),
        Kind::Catalog if about == About::Commit => (StatusCode::INTERNAL_SERVER_ERROR, "CommitStateUnknownException"),
        Kind::Storage | Kind::InUse | Kind::Catalog => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException"),
        Kind::Corrupt | Kind::Bug => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
    };
    if status.is_server_error() {
        tracing::error!(%error, "a request of the Iceberg REST catalog failed");
    }
    let message = match &error.hint {
        Some(hint) => format!("{}. {hint}", error.message.trim_end_matches('.')),
        None => error.message.clone(),
    };
    Refusal::new(status, kind, message)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {"message": self.message, "type": self.kind, "code": self.status.as_u16()}});
        (self.status, Json(body)).into_response()
    }
}

/// The body as JSON. Clients differ in what they call its type, so that is not looked at.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let bytes = axum::body::Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|e| Refusal::new(e.status(), "BadRequestException", e.body_text()))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|e| Refusal::bad(format!("the body can't be understood: {e}")))
    }
}

/// The parameters after the question mark.
pub(super) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let found = Query::<T>::from_request_parts(parts, state).await;
        found.map(|Query(value)| Self(value)).map_err(|e| Refusal::bad(e.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_lakes_errors_has_its_status_and_name() {
        use lake::Kind;
        let refused = |about, kind| from_lake(about, &lake::Error::new(kind, "this failed.").with_hint("Do that."));
        for (about, kind, status, name) in [
            (About::Table, Kind::NotFound, 404, "NoSuchTableException"),
            (About::View, Kind::NotFound, 404, "NoSuchViewException"),
            (About::Namespace, Kind::NotFound, 404, "NoSuchNamespaceException"),
            (About::Table, Kind::Exists, 409, "AlreadyExistsException"),
            (About::Namespace, Kind::NotEmpty, 409, "NamespaceNotEmptyException"),
            (About::Commit, Kind::Conflict, 409, "CommitFailedException"),
            (About::Commit, Kind::Owned, 403, "ForbiddenException"),
            (About::Commit, Kind::Schema, 400, "BadRequestException"),
            (About::Commit, Kind::Catalog, 500, "CommitStateUnknownException"),
            (About::Table, Kind::Catalog, 503, "ServiceUnavailableException"),
            (About::Commit, Kind::Storage, 503, "ServiceUnavailableException"),
        ] {
            let refusal = refused(about, kind);
            assert_eq!((refusal.status.as_u16(), refusal.kind), (status, name), "{about:?} {kind:?}");
            assert_eq!(refusal.message, "this failed. Do that.");
        }
        for kind in Kind::ALL {
            assert!(!refused(About::Table, kind).status.is_success());
        }
    }
}
