use super::handlers::{Handler, Service};
use crate::{Engine, Error, Kind};
use async_trait::async_trait;
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, PgWireServerHandlers,
        auth::{StartupHandler, noop::NoopStartupHandler},
        cancel::CancelHandler,
        copy::CopyHandler,
        query::{ExtendedQueryHandler, SimpleQueryHandler},
    },
    error::{ErrorInfo, PgWireError, PgWireResult},
    messages::{PgWireBackendMessage, PgWireFrontendMessage},
    tokio::process_socket,
};
use futures::Sink;
use runtime::CancellationToken;
use std::{fmt::Debug, sync::Arc};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

/// Serves the engine over the PostgreSQL wire protocol until `cancel`; connections that are open then are closed.
///
/// Anyone who can connect may read everything: bind it to loopback or put something in front.
///
/// # Errors
/// [`Kind::Internal`] where the listener itself fails.
pub async fn serve_pgwire(engine: Engine, listener: TcpListener, cancel: CancellationToken) -> Result<(), Error> {
    let places = Arc::new(Semaphore::new(engine.settings().connections_max));
    let service = Handler(Arc::new(Service::new(engine)));
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
        let handlers = Arc::new(Connection { service: service.clone(), startup: Arc::new(Startup { full: place.is_none() }) });
        connections.spawn(async move {
            if let Err(error) = process_socket(socket, None, handlers).await {
                tracing::debug!(%from, %error, "a PostgreSQL connection ended");
            }
            drop(place);
        });
    }
}

struct Connection {
    service: Handler,
    startup: Arc<Startup>,
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::new(self.service.clone())
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::new(self.service.clone())
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::clone(&self.startup)
    }

    fn copy_handler(&self) -> Arc<impl CopyHandler> {
        Arc::new(self.service.clone())
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(self.service.clone())
    }
}

/// Lets everyone in while there are places.
struct Startup {
    full: bool,
}

#[async_trait]
impl NoopStartupHandler for Startup {
    async fn post_startup<C>(&self, _: &mut C, _: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !self.full {
            return Ok(());
        }
        let info = ErrorInfo::new("FATAL".to_owned(), "53300".to_owned(), "sorry, too many clients already".to_owned());
        Err(PgWireError::UserError(Box::new(info)))
    }
}
