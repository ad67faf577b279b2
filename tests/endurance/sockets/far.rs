//! A proxy that delays all responses of a server by a fixed latency.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// A delayed connection to a server. It ends when it is dropped.
pub(super) struct DelayedServer {
    address: SocketAddr,
    _alive: oneshot::Sender<()>,
}

impl DelayedServer {
    /// Listens on loopback and forwards everything to `server`.
    pub(super) fn start(server: SocketAddr, latency: Duration) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        let (alive, over) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    _ = over => {}
                    () = accept(listener, server, latency) => {}
                }
            });
        });
        Self { address, _alive: alive }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, latency: Duration) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Ok(there) = TcpStream::connect(server).await else { return };
            let _ = (near.set_nodelay(true), there.set_nodelay(true));
            let ((mut from_client, to_client), (from_server, mut to_server)) =
                (near.into_split(), there.into_split());
            tokio::spawn(back(from_server, to_client, latency));
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            let _ = to_server.shutdown().await;
        });
    }
}

/// Reads immediately and writes each part after the latency, so that a part does not wait for the ones before
/// it.
async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, latency: Duration) {
    let (send, mut in_flight) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = async move {
        loop {
            let mut bytes = vec![0; 16 * 1024];
            match from.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(read) => bytes.truncate(read),
            }
            if send.send((Instant::now() + latency, bytes)).is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = in_flight.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
