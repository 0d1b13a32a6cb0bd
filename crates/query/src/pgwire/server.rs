use super::handlers::{Handler, Service};
use crate::{Engine, Error, Kind, Users, engine::SERVER_VERSION};
use async_trait::async_trait;
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, PgWireServerHandlers, PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
        auth::{
            AuthSource, DefaultServerParameterProvider, LoginInfo, Password, ServerParameterProvider, StartupHandler,
            finish_authentication, protocol_negotiation,
            sasl::{SASLAuthStartupHandler, scram::ScramAuth},
            save_startup_parameters_to_metadata,
        },
        cancel::CancelHandler,
        copy::CopyHandler,
        query::{ExtendedQueryHandler, SimpleQueryHandler},
    },
    error::{ErrorInfo, PgWireError, PgWireResult},
    messages::{PgWireBackendMessage, PgWireFrontendMessage},
    tokio::{TlsAcceptor, process_socket},
};
use futures::Sink;
use runtime::CancellationToken;
use std::{collections::HashMap, fmt::Debug, sync::Arc};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

/// How connections are let in.
#[derive(Clone, Default)]
pub struct Access {
    /// Who may connect; whoever can where there are none.
    pub users: Users,
    /// The certificate to encrypt with; connections are plain without it.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("users", &self.users).field("tls", &self.tls.is_some()).finish()
    }
}

/// Serves the engine over the PostgreSQL wire protocol until `cancel`; connections that are open then are closed.
///
/// Without users, anyone who can connect may read everything: bind it to loopback then.
///
/// # Errors
/// [`Kind::Internal`] where the listener itself fails.
pub async fn serve_pgwire(engine: Engine, listener: TcpListener, access: Access, cancel: CancellationToken) -> Result<(), Error> {
    let places = Arc::new(Semaphore::new(engine.settings().connections_max));
    let service = Handler(Arc::new(Service::new(engine)));
    let tls = access.tls.map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (socket, from) = match accepted {
            Ok(accepted) => accepted,
            // One connection that broke before it was accepted is not the listener's end; no file handles left is the machine's matter.
            Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => {
                return Err(Error::new(Kind::Internal, "the PostgreSQL port can't accept connections").with_source(e));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the PostgreSQL port was not accepted");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let place = Arc::clone(&places).try_acquire_owned().ok();
        let door = if place.is_none() { Door::Full } else { Door::for_users(&access.users) };
        let handlers = Arc::new(Connection { service: service.clone(), door: Arc::new(door) });
        let tls = tls.clone();
        connections.spawn(async move {
            if let Err(error) = process_socket(socket, tls, handlers).await {
                tracing::debug!(%from, %error, "a PostgreSQL connection ended");
            }
            drop(place);
        });
    }
}

struct Connection {
    service: Handler,
    door: Arc<Door>,
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::new(self.service.clone())
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::new(self.service.clone())
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::clone(&self.door)
    }

    fn copy_handler(&self) -> Arc<impl CopyHandler> {
        Arc::new(self.service.clone())
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(self.service.clone())
    }
}

/// How one connection is let in.
enum Door {
    /// There is no place: whoever comes is told so.
    Full,
    /// Everyone may pass.
    Open,
    /// Users prove that they know their password (SCRAM-SHA-256, RFC 7677), without sending it.
    Locked(Box<SASLAuthStartupHandler<Parameters>>),
}

impl Door {
    fn for_users(users: &Users) -> Self {
        if users.is_open() {
            return Self::Open;
        }
        let scram = ScramAuth::new(Arc::new(Passwords(users.clone())));
        Self::Locked(Box::new(SASLAuthStartupHandler::new(Arc::new(Parameters)).with_scram(scram)))
    }
}

/// What the server says of itself when a connection begins.
#[derive(Debug)]
struct Parameters;

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let mut parameters = DefaultServerParameterProvider::default().server_parameters(client)?;
        for (name, value) in [("server_version", SERVER_VERSION), ("search_path", "gold, silver"), ("is_superuser", "off")] {
            parameters.insert(name.to_owned(), value.to_owned());
        }
        parameters.insert("TimeZone".to_owned(), "UTC".to_owned());
        Some(parameters)
    }
}

#[derive(Debug)]
struct Passwords(Users);

#[async_trait]
impl AuthSource for Passwords {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let verifier = self.0.verifier(login.user().unwrap_or_default());
        Ok(Password::new(Some(verifier.salt), verifier.salted))
    }
}

#[async_trait]
impl StartupHandler for Door {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match (self, message) {
            (Self::Full, PgWireFrontendMessage::Startup(_)) => {
                let info = ErrorInfo::new("FATAL".to_owned(), "53300".to_owned(), "sorry, too many clients already".to_owned());
                Err(PgWireError::UserError(Box::new(info)))
            }
            (Self::Open, PgWireFrontendMessage::Startup(startup)) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                let (pid, key) = RandomPidSecretKeyGenerator::default().generate(client);
                client.set_pid_and_secret_key(pid, key);
                finish_authentication(client, &Parameters).await
            }
            (Self::Locked(scram), message) => scram.on_startup(client, message).await.map_err(|error| match error {
                // The exchange itself carries no name: it was told when the connection began.
                PgWireError::InvalidPassword(_) => {
                    let user = client.metadata().get("user").map_or("", String::as_str);
                    let message = format!("password authentication failed for user \"{user}\"");
                    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), "28P01".to_owned(), message)))
                }
                other => other,
            }),
            _ => Ok(()),
        }
    }
}
