//! Connections that are closed when their reader takes nothing.
//!
//! A connection that has bytes to send and gets rid of none for [`STALLED`] is closed: whoever holds
//! it open without reading keeps neither its memory nor its place among the requests.

use std::{
    io::{Error, ErrorKind, IoSlice, Result},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep},
};

/// How long a connection may get rid of nothing.
pub(super) const STALLED: Duration = Duration::from_secs(30);

/// Accepts connections with that deadline.
pub(super) struct Deadline {
    listener: TcpListener,
    stalled: Duration,
}

/// Who connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote(pub(super) SocketAddr);

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    stalled: Duration,
    /// Runs while bytes wait that the reader does not take.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(super) const fn new(listener: TcpListener, stalled: Duration) -> Self {
        Self { listener, stalled }
    }
}

impl Listener for Deadline {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Connection { stream, stalled: self.stalled, waiting: None }, address)
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Deadline>> for Remote {
    fn connect_info(stream: IncomingStream<'_, Deadline>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Connection {
    /// The result of a write, or the end of the connection if it waits for too long.
    fn in_time<T>(
        &mut self,
        written: Poll<Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let stalled = self.stalled;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(stalled)));
        match waiting.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let why = format!("the reader took nothing for {stalled:?}");
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, why)))
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, bytes)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.in_time(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, routing::get};
    use futures::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A server of endless answers, that counts those it still holds.
    async fn endless(stalled: Duration) -> (SocketAddr, tokio::sync::mpsc::Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (held, released) = tokio::sync::mpsc::channel::<()>(1);
        let answer = move || {
            let held = held.clone();
            async move {
                let pieces = stream::unfold(held, async |held| {
                    Some((Ok::<_, std::convert::Infallible>(vec![0_u8; 1 << 16]), held))
                });
                Body::from_stream(pieces)
            }
        };
        let router = Router::new().route("/", get(answer));
        tokio::spawn(async move {
            let listener = Deadline::new(listener, stalled);
            axum::serve(listener, router.into_make_service_with_connect_info::<Remote>()).await
        });
        (address, released)
    }

    async fn asked(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
        stream
    }

    #[tokio::test]
    async fn who_takes_nothing_loses_the_connection_and_who_reads_slowly_does_not() {
        let stalled = Duration::from_secs(3);
        let (address, _) = endless(stalled).await;
        let mut slow = asked(address).await;
        let mut dead = asked(address).await;
        let mut piece = vec![0; 1 << 20];
        // For longer than a connection may get rid of nothing.
        for _ in 0..16 {
            tokio::time::sleep(stalled / 12).await;
            slow.read_exact(&mut piece).await.expect("it is still served");
        }
        // What the kernel holds is still read, then the end.
        let end = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                match dead.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        });
        end.await.expect("the connection is closed");
    }
}
