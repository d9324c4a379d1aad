//! Checks that replies do not depend on how the input is split.

use super::{
    TestServer,
    client::{let_server_read, shortened},
};
use crate::App;

/// Checks that requests get exactly these replies, for each way to split the requests.
///
/// It sends the requests in one piece, byte by byte, and split in two at each position, each time to a new
/// application.
///
/// ```
/// use thegiant::{prelude::*, test};
///
/// # async fn counts_words() {
/// let app = || App::new().fallback(|request: &Request| request.len());
/// test::assert_replies(app, "COUNT these words\r\n*1\r\n$4\r\nTHEM\r\n", ":3\r\n:1\r\n").await;
/// # }
/// # actix::System::new().block_on(counts_words());
/// ```
///
/// # Panics
/// Panics if the replies differ. The message tells how the requests were split.
pub async fn assert_replies(app: impl Fn() -> App, requests: impl AsRef<[u8]>, replies: impl AsRef<[u8]>) {
    let (requests, replies) = (requests.as_ref(), replies.as_ref());
    let in_two = (0..requests.len()).map(|at| vec![&requests[..at], &requests[at..]]);
    let one_by_one = [requests.chunks(1).collect()];
    for pieces in in_two.chain(one_by_one) {
        let received = exchange(app(), &pieces, replies.len()).await;
        let (first_len, pieces) = (pieces[0].len(), pieces.len());
        assert!(
            received == replies,
            "expected {:?}, received {:?}, for requests in {pieces} pieces, the first of {first_len} bytes",
            shortened(replies),
            shortened(&received)
        );
    }
}

/// Sends the pieces and receives at least `min_len` bytes, or all bytes until the connection ends.
async fn exchange(app: App, pieces: &[&[u8]], min_len: usize) -> Vec<u8> {
    let server = TestServer::start(app);
    let mut client = server.connect();
    for piece in pieces {
        client.send(piece).await;
        let_server_read().await;
    }
    client.receive_at_least(min_len).await
}
