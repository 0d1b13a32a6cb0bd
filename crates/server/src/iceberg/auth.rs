//! Who may come in: tokens that are signed with the client's secret, so that nothing has to be remembered and a changed secret ends them.

use super::{
    IcebergClient, IcebergSettings,
    answer::{Answer, Refusal},
};
use crate::app::App;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ring::hmac;

/// The form of tokens, so that it can change.
const FORM: &str = "lb1";
/// What the specification answers to a token that was good once.
const AUTHENTICATION_TIMEOUT: u16 = 419;

/// Lets requests pass that bring a token, or all of them where nobody needs one.
pub(super) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    match admit(&app.iceberg, request.headers(), app.clock.now_us() / 1_000_000) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let mut response = refusal.into_response();
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
            response
        }
    }
}

fn admit(settings: &IcebergSettings, headers: &HeaderMap, now_s: i64) -> Answer<()> {
    if settings.clients.is_empty() {
        let message =
            "This catalog has no clients, and it is not only reachable from this machine: add some to `server.iceberg.clients`";
        return if settings.open { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, "ForbiddenException", message)) };
    }
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| scheme(v, "bearer"));
    let Some(token) = bearer else {
        return Err(not_authorized("This catalog needs a token: get one with POST /iceberg/v1/oauth/tokens"));
    };
    owner(settings, token, now_s).map(|_| ())
}

/// What follows the scheme of an `Authorization` header.
pub(super) fn scheme<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(name).then(|| rest.trim())
}

fn not_authorized(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "NotAuthorizedException", message)
}

/// A token for a client, good until `until_s` (seconds since 1970).
pub(super) fn token(client: &IcebergClient, until_s: i64) -> String {
    let body = format!("{FORM}.{}.{until_s}", hex(client.id.as_bytes()));
    let signature = hmac::sign(&key(client), body.as_bytes());
    format!("{body}.{}", hex(signature.as_ref()))
}

/// The client that a token was made for.
///
/// # Errors
/// 401 where nobody here made it, 419 where its time is over.
pub(super) fn owner<'a>(settings: &'a IcebergSettings, token: &str, now_s: i64) -> Answer<&'a IcebergClient> {
    let unknown = || not_authorized("This token was not given by this catalog, or its client is gone: get a new one");
    let (body, signature) = token.rsplit_once('.').ok_or_else(unknown)?;
    let mut parts = body.split('.');
    let (Some(FORM), Some(id), Some(until), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(unknown());
    };
    let client = settings.clients.iter().find(|c| hex(c.id.as_bytes()) == id).ok_or_else(unknown)?;
    let signature = unhex(signature).ok_or_else(unknown)?;
    hmac::verify(&key(client), body.as_bytes(), &signature).map_err(|_| unknown())?;
    if until.parse::<i64>().map_err(|_| unknown())? <= now_s {
        let status = StatusCode::from_u16(AUTHENTICATION_TIMEOUT).unwrap_or(StatusCode::UNAUTHORIZED);
        return Err(Refusal::new(status, "AuthenticationTimeoutException", "This token's time is over: get a new one"));
    }
    Ok(client)
}

/// The client of these credentials. Takes as long for a wrong secret as for the right one.
pub(super) fn client<'a>(settings: &'a IcebergSettings, id: &str, secret: &str) -> Option<&'a IcebergClient> {
    let found = settings.clients.iter().find(|c| c.id == id);
    let wanted = found.map_or("", |c| c.secret.as_str());
    let compare = hmac::Key::new(hmac::HMAC_SHA256, b"comparing secrets");
    let matches = hmac::verify(&compare, secret.as_bytes(), hmac::sign(&compare, wanted.as_bytes()).as_ref()).is_ok();
    found.filter(|_| matches)
}

fn key(client: &IcebergClient) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, format!("lakebox token {}", client.secret).as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};

    fn settings(clients: &[(&str, &str)], open: bool) -> IcebergSettings {
        let client = |(id, secret): &(&str, &str)| IcebergClient { id: (*id).to_owned(), secret: (*secret).to_owned() };
        IcebergSettings {
            clients: clients.iter().map(client).collect(),
            open,
            token_lifetime: Duration::from_secs(60),
            storage: BTreeMap::new(),
            credentials: BTreeMap::new(),
        }
    }

    fn status(settings: &IcebergSettings, authorization: Option<&str>, now_s: i64) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        admit(settings, &headers, now_s).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn without_clients_only_an_open_catalog_answers() {
        assert_eq!(status(&settings(&[], true), None, 0), 200);
        assert_eq!(status(&settings(&[], false), None, 0), 403);
        assert_eq!(status(&settings(&[("a", "s")], true), None, 0), 401);
    }

    #[test]
    fn a_token_is_good_for_its_time_and_its_secret_only() {
        let made = settings(&[("spark", "secret"), ("duck", "other")], false);
        let token = token(&made.clients[0], 100);
        assert!(!token.contains("secret"));
        assert_eq!(status(&made, Some(&format!("Bearer {token}")), 99), 200);
        assert_eq!(status(&made, Some(&format!("bearer {token}")), 99), 200);
        assert_eq!(status(&made, Some(&format!("Bearer {token}")), 100), 419);
        assert_eq!(status(&made, Some(&format!("Basic {token}")), 99), 401);
        let longer = token.replacen(".100.", ".900.", 1);
        assert_eq!(status(&made, Some(&format!("Bearer {longer}")), 99), 401);
        assert_eq!(status(&settings(&[("spark", "changed")], false), Some(&format!("Bearer {token}")), 99), 401);
        assert_eq!(status(&settings(&[("duck", "secret")], false), Some(&format!("Bearer {token}")), 99), 401);
        for odd in ["", "lb1", "lb1.x.1.zz", "a.b.c.d", "lb1.737061726b.100.é"] {
            assert_eq!(owner(&made, odd, 0).unwrap_err().status.as_u16(), 401, "{odd}");
        }
    }

    #[test]
    fn credentials_must_fit_each_other() {
        let made = settings(&[("spark", "secret"), ("duck", "other")], false);
        assert!(client(&made, "spark", "secret").is_some());
        for (id, secret) in [("spark", "other"), ("spark", ""), ("nobody", ""), ("nobody", "secret"), ("", "")] {
            assert!(client(&made, id, secret).is_none(), "{id}:{secret}");
        }
    }
}
