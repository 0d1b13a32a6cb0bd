use bytes::{Buf, BytesMut};
use pipeline::{Error, Kind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A byte stream to the server: TCP, unix socket or TLS.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A backend message: its letter and its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) tag: u8,
    pub(crate) body: &'a [u8],
}

/// Room made before each read. Big gulps pay twice: fewer system calls here, and fewer wake-ups of the sender there.
const GULP_BYTES: usize = 1 << 20;
/// PostgreSQL sends no larger message.
const FRAME_BYTES_MAX: usize = 1 << 30;

/// The messages of a connection, parsed where they lie in the read buffer.
pub(crate) struct Wire {
    socket: Box<dyn Socket>,
    buffer: BytesMut,
    /// Start of the first message that was not taken.
    at: usize,
    /// `host:port/database`, for messages.
    place: String,
}

impl Wire {
    pub(crate) fn new(socket: Box<dyn Socket>, place: String) -> Self {
        Self { socket, buffer: BytesMut::new(), at: 0, place }
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    fn gone(&self, error: std::io::Error) -> Error {
        Error::new(Kind::Unreachable, format!("the connection to PostgreSQL at {} broke: {error}", self.place)).with_source(error)
    }

    /// Length of the whole message at hand, letter included; `None` where more bytes are needed.
    fn at_hand(&self) -> Result<Option<usize>, Error> {
        let Some([_, a, b, c, d]) = self.buffer.get(self.at..self.at + 5) else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        if !(4..=FRAME_BYTES_MAX).contains(&length) {
            return Err(Error::new(
                Kind::Corrupt,
                format!("{} sent a message of {length} bytes, which is no PostgreSQL message", self.place),
            ));
        }
        Ok((self.buffer.len() - self.at > length).then_some(length + 1))
    }

    /// The next message if it is already here; never reads.
    pub(crate) fn take(&mut self) -> Result<Option<Frame<'_>>, Error> {
        let Some(length) = self.at_hand()? else { return Ok(None) };
        let start = self.at;
        self.at += length;
        Ok(Some(Frame { tag: self.buffer[start], body: &self.buffer[start + 5..start + length] }))
    }

    /// Reads what the socket has, at least one byte. Cancel-safe. Messages taken before are forgotten.
    pub(crate) async fn read_more(&mut self) -> Result<usize, Error> {
        self.buffer.advance(self.at);
        self.at = 0;
        self.buffer.reserve(GULP_BYTES);
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Error::new(Kind::Unreachable, format!("PostgreSQL at {} closed the connection", self.place))
                .with_hint("It was restarted, or an administrator ended the session; lakebox connects again by itself.")),
            Ok(read) => Ok(read),
            Err(error) => Err(self.gone(error)),
        }
    }

    /// The next message, read if need be.
    pub(crate) async fn next(&mut self) -> Result<Frame<'_>, Error> {
        while self.at_hand()?.is_none() {
            self.read_more().await?;
        }
        let place = self.place.clone();
        self.take()?.ok_or_else(|| Error::new(Kind::Bug, format!("a message of {place} was at hand and is gone")))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sent = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        let sent: std::io::Result<()> = sent.await;
        sent.map_err(|e| self.gone(e))
    }

    /// Says goodbye; errors don't matter any more.
    pub(crate) async fn finish(&mut self) {
        let _ = self.send(&message(b'X', b"")).await;
        let _ = self.socket.shutdown().await;
    }
}

/// A frontend message.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(tag);
    out.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_found_however_the_bytes_are_cut() {
        let (mut server, client) = tokio::io::duplex(64);
        let mut wire = Wire::new(Box::new(client), "test".into());
        let mut bytes = message(b'A', b"one");
        bytes.extend(message(b'B', b""));
        bytes.extend(message(b'C', &[7; 300]));
        let send = async {
            for b in bytes {
                server.write_all(&[b]).await.unwrap();
            }
        };
        let receive = async {
            let mut seen = Vec::new();
            for _ in 0..3 {
                let frame = wire.next().await.unwrap();
                seen.push((frame.tag, frame.body.len()));
            }
            seen
        };
        let ((), seen) = tokio::join!(send, receive);
        assert_eq!(seen, [(b'A', 3), (b'B', 0), (b'C', 300)]);
    }

    #[tokio::test]
    async fn a_length_that_makes_no_sense_is_corrupt_and_an_end_is_unreachable() {
        let (mut server, client) = tokio::io::duplex(64);
        let mut wire = Wire::new(Box::new(client), "test".into());
        server.write_all(&[b'A', 0, 0, 0, 3]).await.unwrap();
        assert_eq!(wire.next().await.unwrap_err().kind, Kind::Corrupt);
        let (server, client) = tokio::io::duplex(64);
        drop(server);
        let mut wire = Wire::new(Box::new(client), "test".into());
        assert_eq!(wire.next().await.unwrap_err().kind, Kind::Unreachable);
    }
}
