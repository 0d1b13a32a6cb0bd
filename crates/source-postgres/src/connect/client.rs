use super::{
    address::{Address, Host, SslMode},
    auth,
    refusal::Refusal,
    tls,
    wire::{Frame, Socket, Wire, message},
};
use pipeline::{Error, Kind};
use std::{collections::HashMap, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// SQL.
    Sql,
    /// SQL and the replication commands.
    Replication,
}

/// A row of a simple query; every value is text.
pub(crate) type Row = Vec<Option<String>>;

/// A connection: simple queries, COPY TO STDOUT, and replication, over one [`Wire`].
pub(crate) struct Client {
    pub(crate) wire: Wire,
    parameters: HashMap<String, String>,
}

/// What all sessions are set to, so that text means the same whatever the server's or role's defaults are.
const SESSION: [(&str, &str); 9] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("search_path", "pg_catalog"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

impl Client {
    /// Connects and logs in.
    pub(crate) async fn connect(address: &Address, mode: Mode) -> Result<Self, Error> {
        match tokio::time::timeout(address.connect_timeout, Self::connect_now(address, mode)).await {
            Ok(result) => result,
            Err(_) => Err(unreachable(address, &format!("no answer within {} s", address.connect_timeout.as_secs()))),
        }
    }

    async fn connect_now(address: &Address, mode: Mode) -> Result<Self, Error> {
        let socket = open_socket(address).await?;
        let mut client = Self { wire: Wire::new(socket, address.to_string()), parameters: HashMap::new() };
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        let mut put = |name: &str, value: &str| {
            for part in [name, value] {
                body.extend_from_slice(part.as_bytes());
                body.push(0);
            }
        };
        put("user", &address.user);
        put("database", &address.database);
        put("application_name", &address.application_name);
        if mode == Mode::Replication {
            put("replication", "database");
        }
        for (name, value) in SESSION {
            put(name, value);
        }
        body.push(0);
        let mut startup = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        startup.extend(body);
        client.wire.send(&startup).await?;
        auth::log_in(&mut client.wire, address).await?;
        client.until_ready("logging in").await?;
        Ok(client)
    }

    /// The server's version as a number, for example 150018.
    pub(crate) fn version(&self) -> u32 {
        let text = self.parameters.get("server_version").map_or("", String::as_str);
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse::<u32>().unwrap_or(0));
        parts.next().unwrap_or(0) * 10_000 + parts.next().unwrap_or(0)
    }

    async fn until_ready(&mut self, doing: &str) -> Result<(), Error> {
        let mut refused: Option<Error> = None;
        loop {
            let frame = self.wire.next().await?;
            match frame.tag {
                b'Z' => return refused.map_or(Ok(()), Err),
                b'E' => {
                    let error = Refusal::parse(frame.body).into_error(doing);
                    // Before the first ReadyForQuery the server hangs up after an error.
                    if doing == "logging in" {
                        return Err(error);
                    }
                    refused = Some(error);
                }
                b'S' => {
                    let (name, value) = parameter(frame.body);
                    self.parameters.insert(name, value);
                }
                _ => {}
            }
        }
    }

    /// Runs a statement with the simple protocol; `doing` completes "while …".
    pub(crate) async fn query(&mut self, sql: &str, doing: &str) -> Result<Vec<Row>, Error> {
        self.send_query(sql).await?;
        let mut rows = Vec::new();
        let mut refused: Option<Error> = None;
        loop {
            let Frame { tag, body } = self.wire.next().await?;
            match tag {
                b'D' => rows.push(data_row(body).ok_or_else(|| corrupt("a result row", doing))?),
                b'E' => refused = Some(Refusal::parse(body).into_error(doing)),
                b'Z' => return refused.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    /// As [`Self::query`], where the refusal itself is wanted.
    pub(crate) async fn try_query(&mut self, sql: &str) -> Result<Result<Vec<Row>, Refusal>, Error> {
        self.send_query(sql).await?;
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            let Frame { tag, body } = self.wire.next().await?;
            match tag {
                b'D' => rows.push(data_row(body).ok_or_else(|| corrupt("a result row", sql))?),
                b'E' => refused = Some(Refusal::parse(body)),
                b'Z' => return Ok(refused.map_or(Ok(rows), Err)),
                _ => {}
            }
        }
    }

    pub(crate) async fn send_query(&mut self, sql: &str) -> Result<(), Error> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.wire.send(&message(b'Q', &body)).await
    }

    /// Sends a command that turns the connection into a copy stream (`H` for COPY OUT, `W` for replication), and waits for it to begin.
    pub(crate) async fn start_copy(&mut self, sql: &str, doing: &str) -> Result<(), Error> {
        self.send_query(sql).await?;
        loop {
            let frame = self.wire.next().await?;
            match frame.tag {
                b'H' | b'W' => return Ok(()),
                b'E' => return Err(Refusal::parse(frame.body).into_error(doing)),
                b'Z' => return Err(corrupt("the start of a copy", doing)),
                _ => {}
            }
        }
    }

    /// Says goodbye.
    pub(crate) async fn finish(mut self) {
        // A server that does not read any more must not hold us.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.wire.finish()).await;
    }
}

fn corrupt(what: &str, doing: &str) -> Error {
    Error::new(Kind::Corrupt, format!("PostgreSQL sent {what} that can't be read while {doing}"))
}

fn unreachable(address: &Address, why: &str) -> Error {
    Error::new(Kind::Unreachable, format!("PostgreSQL at {} can't be reached: {why}", address.server()))
        .with_hint("Check host and port in the source's url, that the server runs, that it listens there (listen_addresses), and firewalls in between.")
}

async fn open_socket(address: &Address) -> Result<Box<dyn Socket>, Error> {
    match &address.host {
        Host::Unix(folder) => {
            let path = folder.join(format!(".s.PGSQL.{}", address.port));
            let socket = UnixStream::connect(&path).await.map_err(|e| unreachable(address, &e.to_string()).with_source(e))?;
            Ok(Box::new(socket))
        }
        Host::Tcp(host) => {
            let socket = TcpStream::connect((host.as_str(), address.port))
                .await
                .map_err(|e| unreachable(address, &e.to_string()).with_source(e))?;
            // Small status messages must not wait for company.
            let _ = socket.set_nodelay(true);
            encrypt(socket, address).await
        }
    }
}

async fn encrypt(mut socket: TcpStream, address: &Address) -> Result<Box<dyn Socket>, Error> {
    if address.ssl_mode == SslMode::Disable {
        return Ok(Box::new(socket));
    }
    let mut answer = [0_u8];
    let asked = async {
        socket.write_all(&SSL_REQUEST).await?;
        socket.read_exact(&mut answer).await
    };
    asked.await.map_err(|e| unreachable(address, &e.to_string()).with_source(e))?;
    match (answer[0], address.ssl_mode) {
        (b'S', _) => tls::wrap(socket, address).await,
        (_, SslMode::Prefer) => Ok(Box::new(socket)),
        _ => Err(Error::new(
            Kind::Refused,
            format!("PostgreSQL at {} does not offer TLS, but sslmode asks for it", address.server()),
        )
        .with_hint("Turn ssl on in postgresql.conf, or use sslmode=prefer in the url.")),
    }
}

fn parameter(body: &[u8]) -> (String, String) {
    let mut parts = body.split(|b| *b == 0).map(|p| String::from_utf8_lossy(p).into_owned());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn data_row(body: &[u8]) -> Option<Row> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut row = Vec::with_capacity(usize::from(u16::from_be_bytes(*count)));
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => {
                row.push(None);
                rest = tail;
            }
            Ok(length) => {
                let (value, tail) = tail.split_at_checked(length)?;
                row.push(Some(String::from_utf8_lossy(value).into_owned()));
                rest = tail;
            }
        }
    }
    Some(row)
}
