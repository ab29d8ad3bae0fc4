//! Looks whether a server answers in its own protocol, with nothing but a socket.
//!
//! Each look is bounded in time and size. The answer to "is it healthy" is `Ok(())`, or
//! what was found instead, for the error message of a start that takes too long.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server on this machine that takes longer to answer is not healthy yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// No answer that is looked at is longer.
const ANSWER_MAX: u32 = 64 * 1024;

/// Kafka: the broker on `port` is registered with its controller and takes requests.
///
/// Sends Metadata v1 for no topics; the answer lists the brokers that are alive.
pub(crate) async fn kafka(port: u16) -> Result<(), String> {
    const REQUEST: [u8; 23] = [
        0, 0, 0, 19, // length
        0, 3, 0, 1, // Metadata, version 1
        0, 0, 0, 1, // correlation id
        0, 5, b's', b't', b'a', b'c', b'k', // client id
        0, 0, 0, 0, // no topics
    ];
    let answer = within(async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(&REQUEST).await?;
        let length = stream.read_u32().await?;
        read_bounded(&mut stream.take(u64::from(length.min(ANSWER_MAX)))).await
    })
    .await?;
    match first_broker(&answer) {
        Some(found) if found == i32::from(port) => Ok(()),
        Some(found) => Err(format!("the broker says that it listens on port {found}")),
        None => Err("no broker is registered yet".to_owned()),
    }
}

/// The port of the first broker in a Metadata v1 response.
fn first_broker(answer: &[u8]) -> Option<i32> {
    let word = |at: usize| Some(i32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    // Correlation id, number of brokers, node id, host, port.
    let brokers = word(4)?;
    let host_length = i16::from_be_bytes(answer.get(12..14)?.try_into().ok()?);
    let port = word(14 + usize::try_from(host_length).ok()?)?;
    (brokers > 0).then_some(port)
}

/// MariaDB: the server on `port` sends its handshake, protocol version 10.
pub(crate) async fn mariadb(port: u16) -> Result<(), String> {
    let packet = within(async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut packet = [0; 5];
        stream.read_exact(&mut packet).await?;
        Ok(packet)
    })
    .await?;
    match packet {
        [.., 10] => Ok(()),
        [.., other] => Err(format!("its first packet begins with {other:#04x}")),
    }
}

/// HTTP: the server on `port` answers `GET path` with `status` and `text` in its body.
pub(crate) async fn http(port: u16, path: &str, status: u16, text: &str) -> Result<(), String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let answer = within(async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(request.as_bytes()).await?;
        read_bounded(&mut stream.take(u64::from(ANSWER_MAX))).await
    })
    .await?;
    let answer = String::from_utf8_lossy(&answer);
    let found = answer.split(' ').nth(1).unwrap_or("nothing");
    if found == status.to_string() && answer.contains(text) {
        Ok(())
    } else {
        Err(format!("GET {path} on port {port} answers {found}"))
    }
}

async fn read_bounded(stream: &mut tokio::io::Take<TcpStream>) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn within<T>(look: impl Future<Output = io::Result<T>>) -> Result<T, String> {
    match timeout(PATIENCE, look).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Serves one connection with fixed bytes; returns the port.
    async fn serve(bytes: &'static [u8]) -> (u16, impl Future<Output = ()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            // The client may hang up first.
            let _ = stream.read_to_end(&mut rest).await;
        };
        (port, server)
    }

    #[test]
    fn brokers_are_read_from_metadata_v1() {
        let one = b"\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x0912\x37.0.0.1\0\0\x4e\x20\xff\xff";
        assert_eq!(first_broker(one), Some(20_000));
        let none = b"\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0";
        assert_eq!(first_broker(none), None);
        for cut in 0..one.len() - 2 {
            assert_eq!(first_broker(&one[..cut]), None);
        }
    }

    #[tokio::test]
    async fn a_server_that_refuses_or_is_another_is_not_healthy() {
        let (port, server) = serve(b"\x10\0\0\0\xffHost is blocked").await;
        let (found, ()) = tokio::join!(mariadb(port), server);
        assert!(found.unwrap_err().contains("0xff"));

        let (port, server) = serve(b"HTTP/1.0 503 Busy\r\n\r\n<Error>").await;
        let (found, ()) = tokio::join!(http(port, "/", 403, "<Error>"), server);
        assert!(found.unwrap_err().contains("503"));

        let (port, server) = serve(b"HTTP/1.0 403 No\r\n\r\nnot S3").await;
        let (found, ()) = tokio::join!(http(port, "/", 403, "<Error>"), server);
        found.unwrap_err();
    }

    #[tokio::test]
    async fn nobody_listening_is_said_so() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        assert!(kafka(port).await.unwrap_err().contains("refused"));
    }
}
