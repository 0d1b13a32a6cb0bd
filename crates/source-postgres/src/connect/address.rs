use pipeline::{Error, Kind};
use std::{borrow::Cow, fmt, path::PathBuf, time::Duration};
use url::Url;

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Tcp(String),
    /// The folder of a unix socket.
    Unix(PathBuf),
}

/// How much TLS, with libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A connection URL, checked. Its `Display` is `host:port/database`, and neither it nor `Debug` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) database: String,
    pub(crate) ssl_mode: SslMode,
    /// A PEM file, or `system`.
    pub(crate) ssl_root_cert: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) application_name: String,
}

const KNOWN: &str = "sslmode, sslrootcert, connect_timeout, application_name, host, port, user, password, dbname";

impl Address {
    /// Reads `postgres://user:password@host:port/database?sslmode=…`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).map_err(|why| {
            Error::new(Kind::Misconfigured, format!("the PostgreSQL url can't be used: {why}")).with_hint(
                "Write postgres://user:password@host:5432/database?sslmode=prefer, with special characters percent-encoded.",
            )
        })
    }

    /// As [`Self::parse`], with the reason alone as the error. The text itself never goes into it: it holds the password.
    fn read(text: &str) -> Result<Self, String> {
        let url = Url::parse(&with_host(text)).map_err(|e| e.to_string())?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(format!("its scheme is {}:// and not postgres://", url.scheme()));
        }
        let plain = |part: &str| percent_decode(part).ok_or_else(|| "a percent-encoded part is not UTF-8".to_owned());
        let mut address = Self {
            host: host(&plain(url.host_str().unwrap_or(""))?),
            port: url.port().unwrap_or(5432),
            user: plain(url.username())?,
            password: url.password().map(plain).transpose()?,
            database: plain(url.path().trim_start_matches('/'))?,
            ssl_mode: SslMode::Prefer,
            ssl_root_cert: None,
            connect_timeout: Duration::from_secs(10),
            application_name: "lakebox".into(),
        };
        for (name, value) in url.query_pairs() {
            address.set(&name, &value)?;
        }
        if address.user.is_empty() {
            return Err("it names no user".into());
        }
        if address.database.is_empty() {
            address.database.clone_from(&address.user);
        }
        Ok(address)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "sslmode" => {
                self.ssl_mode = match value {
                    "disable" => SslMode::Disable,
                    "prefer" | "allow" => SslMode::Prefer,
                    "require" => SslMode::Require,
                    "verify-ca" => SslMode::VerifyCa,
                    "verify-full" => SslMode::VerifyFull,
                    other => {
                        return Err(format!(
                            "sslmode={other} is none of disable, allow, prefer, require, verify-ca, verify-full"
                        ));
                    }
                }
            }
            "sslrootcert" => self.ssl_root_cert = Some(value.to_owned()),
            "connect_timeout" => {
                let seconds: u64 = value.parse().map_err(|_| format!("connect_timeout={value} is no number of seconds"))?;
                self.connect_timeout = Duration::from_secs(seconds.clamp(1, 3600));
            }
            "application_name" => self.application_name = value.to_owned(),
            "host" => self.host = host(value),
            "port" => self.port = value.parse().map_err(|_| format!("port={value} is no port"))?,
            "user" => self.user = value.to_owned(),
            "password" => self.password = Some(value.to_owned()),
            "dbname" => self.database = value.to_owned(),
            other => return Err(format!("it has the unknown parameter {other} (known: {KNOWN})")),
        }
        Ok(())
    }

    /// `host:port`, for messages.
    pub(crate) fn server(&self) -> String {
        match &self.host {
            Host::Tcp(host) => format!("{host}:{}", self.port),
            Host::Unix(folder) => format!("{}/.s.PGSQL.{}", folder.display(), self.port),
        }
    }
}

/// The server that a connection URL means, as `host:port`, without connecting. The URL may be any that [`crate::PostgresSource`] takes.
///
/// # Errors
/// Why the URL can't be used, without repeating any of it that may be secret.
pub fn server_of(url: &str) -> Result<String, String> {
    Address::read(url).map(|address| address.server())
}

/// libpq allows an empty host (`postgres://user@/database`), URLs don't.
fn with_host(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Cow::Borrowed(text) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || authority.ends_with('@') {
        return Cow::Owned(format!("{scheme}://{authority}localhost{path}"));
    }
    Cow::Borrowed(text)
}

fn host(text: &str) -> Host {
    match text {
        "" => Host::Tcp("localhost".into()),
        path if path.starts_with('/') => Host::Unix(path.into()),
        name => Host::Tcp(name.trim_start_matches('[').trim_end_matches(']').to_owned()),
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(b) = bytes.get(at) {
        let code = (*b == b'%').then(|| text.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(h, 16).ok())).flatten();
        match code {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(*b);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server(), self.database)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self}, user {}, {:?})", self.user, self.ssl_mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_with_all_their_parts() {
        let a = Address::parse("postgres://me:p%40ss@db.example:6543/shop?sslmode=verify-full&sslrootcert=/ca.pem").unwrap();
        assert_eq!((a.user.as_str(), a.password.as_deref(), a.port), ("me", Some("p@ss"), 6543));
        assert_eq!(
            (a.host.clone(), a.database.as_str(), a.ssl_mode),
            (Host::Tcp("db.example".into()), "shop", SslMode::VerifyFull)
        );
        let a = Address::parse("postgresql://me@%2Ftmp%2Fpg:5433").unwrap();
        assert_eq!((a.host, a.database.as_str()), (Host::Unix("/tmp/pg".into()), "me"));
        let a = Address::parse("postgres://me@/shop?host=/run/pg").unwrap();
        assert_eq!(a.host, Host::Unix("/run/pg".into()));
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_the_password() {
        let cases = [
            ("mysql://u:secret@h/d", "scheme is mysql://"),
            ("postgres://u:secret@h/d?sslmode=maybe", "sslmode=maybe"),
            ("postgres://u:secret@h/d?color=red", "unknown parameter color"),
            ("postgres://h/d", "names no user"),
            ("secret", "relative URL"),
        ];
        for (url, expected) in cases {
            let error = Address::parse(url).unwrap_err();
            assert!(error.message.contains(expected), "{url}: {error}");
            assert!(url == "secret" || !format!("{error:?}").contains("secret"), "{url}: {error:?}");
            assert_eq!(error.kind, Kind::Misconfigured);
        }
        let address = Address::parse("postgres://u:secret@h/d").unwrap();
        assert!(!format!("{address} {address:?}").contains("secret"));
    }
}
