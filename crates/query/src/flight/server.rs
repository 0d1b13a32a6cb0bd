use super::service::Service;
use crate::{Access, Engine, Error, Kind};
use arrow_flight::flight_service_server::FlightServiceServer;
use futures::{Stream, StreamExt};
use runtime::CancellationToken;
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Server, server::Connected};

/// How long a client may take to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Clients that may do so at once.
const HANDSHAKES_AT_ONCE: usize = 64;
/// The largest message that a client may send: a batch of parameters, or of rows.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Serves the engine over Arrow Flight SQL until `cancel`; streams that are open then are cut off.
///
/// # Errors
/// [`Kind::Internal`] where the listener itself fails.
pub async fn serve_flight(engine: Engine, listener: TcpListener, access: Access, cancel: CancellationToken) -> Result<(), Error> {
    let service = Service::new(engine, access.users)?;
    let connections = TcpListenerStream::new(listener).filter_map(async |socket: std::io::Result<TcpStream>| {
        let socket =
            socket.inspect_err(|error| tracing::warn!(%error, "a connection to the Flight SQL port was not accepted")).ok()?;
        // Small answers must not wait for more to send.
        socket.set_nodelay(true).ok()?;
        Some(socket)
    });
    match access.tls {
        None => serve(service, connections.map(Ok), cancel).await,
        Some(tls) => {
            let acceptor = tokio_rustls::TlsAcceptor::from(tls);
            let encrypted = connections
                .map(move |socket| {
                    let acceptor = acceptor.clone();
                    async move { tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await.ok()?.ok() }
                })
                .buffer_unordered(HANDSHAKES_AT_ONCE)
                .filter_map(async |socket| socket)
                .map(Ok);
            serve(service, encrypted, cancel).await
        }
    }
}

async fn serve<I>(
    service: Service,
    connections: impl Stream<Item = std::io::Result<I>>,
    cancel: CancellationToken,
) -> Result<(), Error>
where
    I: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    I::ConnectInfo: Clone + Send + Sync + 'static,
{
    let service = FlightServiceServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let serving = Server::builder().add_service(service).serve_with_incoming(connections);
    tokio::select! {
        biased;
        () = cancel.cancelled() => Ok(()),
        served = serving => served.map_err(|e| Error::new(Kind::Internal, "the Flight SQL port can't be served").with_source(e)),
    }
}
