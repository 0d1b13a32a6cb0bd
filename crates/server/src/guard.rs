use crate::problem::Problem;
use axum::{
    extract::{Request, State},
    http::{HeaderName, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};

/// Names under which this server may be addressed, besides IP addresses and `localhost`.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowedHosts(pub Arc<[String]>);

/// Refuses requests that a foreign web page could have caused: a host name that is not ours (DNS rebinding), or a changing request from another
/// origin. Programs that are not browsers send no `Origin` and pass.
pub(crate) async fn same_site(State(allowed): State<AllowedHosts>, request: Request, next: Next) -> Response {
    match refusal(&request, &allowed) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(request: &Request, allowed: &AllowedHosts) -> Option<Problem> {
    let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).or(request.uri().authority().map(Authority::as_str)).unwrap_or("");
    if !is_ours(host, allowed) {
        let detail = format!("This server does not answer for the host name `{host}`.");
        let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, "host.unknown", detail);
        return Some(problem.hint("Add the name to `server.hosts` in the configuration, or use the IP address."));
    }
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, rest)| rest));
    let foreign = !request.method().is_safe() && origin.is_some_and(|origin| origin != host);
    let detail = "A page of another site may not change anything here.";
    foreign.then(|| Problem::new(StatusCode::FORBIDDEN, "origin.foreign", detail))
}

fn is_ours(host: &str, allowed: &AllowedHosts) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok()
        || allowed.0.iter().any(|a| a.eq_ignore_ascii_case(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_and_addresses_pass() {
        let allowed = AllowedHosts(Arc::from(["lake.example".to_owned()]));
        for (host, ours) in [
            ("127.0.0.1:8480", true),
            ("[::1]:8480", true),
            ("localhost", true),
            ("LAKE.example:80", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example:8480", false),
            ("", false),
        ] {
            assert_eq!(is_ours(host, &allowed), ours, "{host}");
        }
    }
}
