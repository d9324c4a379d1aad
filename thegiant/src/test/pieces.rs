//! The same bytes, however they arrive.

use super::{
    TestServer,
    client::{let_server_read, shown},
};
use crate::App;

/// Sends requests whole, byte by byte, and cut in two at each place, each time to a new application, and looks
/// whether exactly these replies come.
///
/// ```
/// use thegiant::{prelude::*, test};
///
/// # async fn counts_words() {
/// let app = || App::new().fallback(|call: &Call| call.len());
/// test::assert_replies(app, "COUNT these words\r\n*1\r\n$4\r\nTHEM\r\n", ":3\r\n:1\r\n").await;
/// # }
/// # actix::System::new().block_on(counts_words());
/// ```
///
/// # Panics
/// If other replies come. It says how the requests were cut.
pub async fn assert_replies(app: impl Fn() -> App, requests: impl AsRef<[u8]>, replies: impl AsRef<[u8]>) {
    let (requests, replies) = (requests.as_ref(), replies.as_ref());
    let in_two = (0..requests.len()).map(|at| vec![&requests[..at], &requests[at..]]);
    let one_by_one = [requests.chunks(1).collect()];
    for pieces in in_two.chain(one_by_one) {
        let came = exchange(app(), &pieces, replies.len()).await;
        let (cut, pieces) = (pieces[0].len(), pieces.len());
        assert!(
            came == replies,
            "{:?} was expected, and {:?} has come, to requests in {pieces} pieces, the first of {cut} bytes",
            shown(replies),
            shown(&came)
        );
    }
}

/// What is answered to these pieces: so many bytes, or all that there are, and what comes along with them.
async fn exchange(app: App, pieces: &[&[u8]], expected: usize) -> Vec<u8> {
    let server = TestServer::start(app);
    let mut client = server.connect();
    for piece in pieces {
        client.send(piece).await;
        let_server_read().await;
    }
    client.receive_some(expected).await
}
