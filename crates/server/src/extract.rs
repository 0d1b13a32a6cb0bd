//! Extractors whose refusals are problems, like every other error of the API.

use crate::problem::Problem;
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

/// The body, as JSON.
pub(crate) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let refused = |e: axum::extract::rejection::JsonRejection| {
            Problem::new(StatusCode::BAD_REQUEST, "request.invalid", e.body_text())
                .hint("Send JSON as /api/openapi.json describes it, with the header content-type: application/json.")
        };
        Json::<T>::from_request(request, state).await.map(|Json(value)| Self(value)).map_err(refused)
    }
}

/// The parameters after the question mark.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |e: axum::extract::rejection::QueryRejection| {
            Problem::new(StatusCode::BAD_REQUEST, "request.invalid", e.body_text())
                .hint("Correct the parameters after the question mark.")
        };
        Query::<T>::from_request_parts(parts, state).await.map(|Query(value)| Self(value)).map_err(refused)
    }
}
