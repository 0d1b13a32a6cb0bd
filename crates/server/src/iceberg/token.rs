//! `POST /v1/oauth/tokens`: client credentials for a token, and a token for its successor.

use super::auth;
use crate::app::App;
use axum::{
    Json,
    extract::{Form, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The form of RFC 6749 and RFC 8693, as far as the specification of Iceberg uses it.
#[derive(Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    subject_token: Option<String>,
}

/// Gives a token. Errors are those of OAuth, not of the rest of the protocol.
pub(super) async fn issue(State(app): State<App>, headers: HeaderMap, form: Result<Form<Request>, FormRejection>) -> Response {
    let Ok(Form(request)) = form else {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "Send a form: grant_type, client_id and client_secret");
    };
    let settings = &app.iceberg;
    let lifetime_s = i64::try_from(settings.token_lifetime.as_secs()).unwrap_or(i64::MAX);
    let now_s = app.clock.now_us() / 1_000_000;
    if settings.clients.is_empty() {
        // Nobody needs a token here, but some clients will not go on without one.
        return granted("anonymous", lifetime_s);
    }
    let client = match request.grant_type.as_str() {
        "client_credentials" => {
            let (id, secret) = credentials(&request, &headers);
            auth::client(settings, &id, &secret)
        }
        TOKEN_EXCHANGE => request.subject_token.as_deref().and_then(|t| auth::owner(settings, t, now_s).ok()),
        _ => {
            let what = "Only client_credentials and token-exchange are understood";
            return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type", what);
        }
    };
    match client {
        Some(client) => granted(&auth::token(client, now_s.saturating_add(lifetime_s)), lifetime_s),
        None => {
            tracing::warn!("a client of the Iceberg REST catalog was turned away: wrong credentials");
            refused(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "The credentials are not those of a client in `server.iceberg.clients`",
            )
        }
    }
}

/// From the form, or from a header of HTTP's basic authentication.
fn credentials(request: &Request, headers: &HeaderMap) -> (String, String) {
    let basic = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let decoded = decode(auth::scheme(value, "basic")?)?;
        decoded.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
    };
    match (&request.client_id, &request.client_secret) {
        (Some(id), Some(secret)) => (id.clone(), secret.clone()),
        _ => basic().unwrap_or_default(),
    }
}

/// Base64 as HTTP uses it.
fn decode(text: &str) -> Option<String> {
    let mut bits = 0_u32;
    let mut count = 0_u32;
    let mut bytes = Vec::new();
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

fn granted(token: &str, lifetime_s: i64) -> Response {
    let body: Value = json!({
        "access_token": token,
        "token_type": "bearer",
        "expires_in": lifetime_s,
        "issued_token_type": ACCESS_TOKEN,
        "scope": "catalog",
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn refused(status: StatusCode, error: &str, description: &str) -> Response {
    (status, Json(json!({"error": error, "error_description": description}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_http_writes_it() {
        assert_eq!(decode("c3Bhcms6c2VjcmV0").as_deref(), Some("spark:secret"));
        assert_eq!(decode("YTpi").as_deref(), Some("a:b"));
        assert_eq!(decode("YTpiYw==").as_deref(), Some("a:bc"));
        assert_eq!(decode("YTo/Pj8=").as_deref(), Some("a:?>?"));
        assert_eq!(decode("no base64"), None);
    }
}
