use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use thegiant::{ArrayStream, prelude::*};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::support::{RawClient, Served, eventually, exchange, line, lines};

/// Replies with streaming replies, and counts the elements that the server has generated.
#[derive(Clone, Default)]
struct Lists {
    generated: Arc<AtomicUsize>,
    /// Sends elements into the stream of the last requested list.
    sender: Arc<Mutex<Option<mpsc::UnboundedSender<Item>>>>,
}

type Item = Result<i64, Error>;

impl Actor for Lists {
    type Context = Context<Self>;
}

impl Lists {
    fn stream(&self) -> UnboundedReceiverStream<Item> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.sender.lock().expect("no thread panics with the lock") = Some(sender);
        UnboundedReceiverStream::new(receiver)
    }

    fn send(&self, item: Item) {
        let sender = self.sender.lock().expect("no thread panics with the lock");
        sender.as_ref().expect("a stream was requested").send(item).expect("the server reads the stream");
    }

    fn end(&self) {
        self.sender.lock().expect("no thread panics with the lock").take();
    }

    fn is_stream_dropped(&self) -> bool {
        self.sender
            .lock()
            .expect("no thread panics with the lock")
            .as_ref()
            .is_some_and(mpsc::UnboundedSender::is_closed)
    }
}

#[commands]
impl Lists {
    /// Replies with `count` numbers.
    #[command("NUMBERS", readonly)]
    fn numbers(&self, count: usize) -> Result<ArrayStream, Error> {
        if count > 10_000_000 {
            return Err(Error::err("too many"));
        }
        let generated = Arc::clone(&self.generated);
        Ok(ArrayStream::new((0..count).inspect(move |_| {
            generated.fetch_add(1, SeqCst);
        })))
    }

    /// Replies with `count` texts of a kilobyte.
    #[command("TEXTS", readonly)]
    fn texts(&self, count: u32) -> ArrayStream {
        let generated = Arc::clone(&self.generated);
        ArrayStream::new((0..count).map(move |number| {
            generated.fetch_add(1, SeqCst);
            format!("{number:01024}")
        }))
    }

    #[command("NOTHING", readonly)]
    fn nothing(&self) -> Option<ArrayStream> {
        None
    }

    /// Announces more elements than it generates.
    #[command("SHORT", readonly)]
    fn short(&self) -> ArrayStream {
        struct TooShort(std::ops::Range<i64>);
        impl Iterator for TooShort {
            type Item = i64;
            fn next(&mut self) -> Option<i64> {
                self.0.next()
            }
            fn size_hint(&self) -> (usize, Option<usize>) {
                (5, Some(5))
            }
        }
        impl ExactSizeIterator for TooShort {}
        ArrayStream::new(TooShort(0..3))
    }

    #[command("PANICS", readonly)]
    fn panics(&self) -> ArrayStream {
        ArrayStream::new(
            (0..5).map(|number| if number == 3 { panic!("as the test asks for") } else { number }),
        )
    }

    /// Replies with `count` elements of a stream.
    #[command("STREAM", readonly)]
    fn stream_of(&self, count: usize) -> ArrayStream {
        ArrayStream::from_stream(count, self.stream())
    }

    /// Replies with all elements of a stream.
    #[command("COLLECT", readonly)]
    fn collect(&self, max_bytes: usize) -> ArrayStream {
        ArrayStream::collect(max_bytes, self.stream())
    }
}

fn serve() -> (Served, Lists) {
    let lists = Lists::default();
    let served = lists.clone();
    (Served::start(move || App::new().mount(served.start())), lists)
}

fn numbers(count: usize) -> String {
    format!("*{count}\r\n") + &(0..count).map(|number| format!(":{number}\r\n")).collect::<String>()
}

#[test]
fn streaming_replies_keep_the_order_of_the_pipeline() {
    let (served, _) = serve();
    let mut client = RawClient::connect(served.address());
    client.send(lines("NUMBERS 3 \n ECHO a \n NUMBERS 0 \n NUMBERS 20000 \n NUMBERS 1 \n NOTHING \n ECHO b"));
    let expected = [numbers(3), "$1\r\na\r\n".into(), numbers(0), numbers(20_000), numbers(1)].concat();
    assert_eq!(client.replies(7), expected + "*-1\r\n$1\r\nb\r\n");
    assert_eq!(client.ask(line("NUMBERS 10000001")), "-ERR too many\r\n");
}

#[test]
fn a_reply_of_a_million_elements_lets_other_clients_run() {
    let (served, _) = serve();
    let mut client = RawClient::connect(served.address());
    let mut other = RawClient::connect(served.address());
    client.send(line("NUMBERS 1000000"));
    assert_eq!(other.ask(line("NUMBERS 2")), numbers(2), "the server answers other clients meanwhile");
    assert!(client.reply() == numbers(1_000_000));
}

#[test]
fn elements_are_generated_only_as_fast_as_the_client_reads() {
    let (served, lists) = serve();
    let mut client = RawClient::connect(served.address());
    let mut other = RawClient::connect(served.address());
    client.send(lines("TEXTS 100000 \n ECHO behind"));
    let mut before = usize::MAX;
    let stuck = eventually(|| {
        thread::sleep(Duration::from_millis(50));
        other.let_server_read();
        let generated = lists.generated.load(SeqCst);
        let is_stuck = generated == before;
        before = generated;
        is_stuck.then_some(generated)
    });
    assert!(
        (1..50_000).contains(&stuck),
        "{stuck} of 100,000 were generated for a client that does not read"
    );
    let reply = client.reply();
    assert_eq!(reply.len(), "*100000\r\n".len() + 100_000 * (1024 + "$1024\r\n\r\n".len()));
    assert_eq!(client.reply(), "$6\r\nbehind\r\n");
}

#[test]
fn elements_of_a_stream_are_sent_as_they_arrive() {
    let (served, lists) = serve();
    let mut client = RawClient::connect(served.address());
    let mut other = RawClient::connect(served.address());
    client.send(lines("STREAM 3 \n ECHO behind"));
    eventually(|| (!client.is_silent()).then_some(()));
    other.let_server_read();
    lists.send(Ok(1));
    other.let_server_read();
    lists.send(Err(Error::err("an element")));
    lists.send(Ok(3));
    assert_eq!(client.replies(2), "*3\r\n:1\r\n-ERR an element\r\n:3\r\n$6\r\nbehind\r\n");
    let info = other.ask(line("INFO errorstats"));
    assert!(!String::from_utf8_lossy(&info).contains("ERR:"), "no command has failed");
}

#[test]
fn a_client_that_disconnects_drops_the_stream() {
    let (served, lists) = serve();
    let mut client = RawClient::connect(served.address());
    client.send(line("STREAM 3"));
    eventually(|| (!client.is_silent()).then_some(()));
    lists.send(Ok(1));
    drop(client);
    eventually(|| lists.is_stream_dropped().then_some(()));
}

#[test]
fn streams_of_unknown_length_are_collected_up_to_a_limit() {
    let (served, lists) = serve();
    let mut client = RawClient::connect(served.address());
    let mut other = RawClient::connect(served.address());
    let mut begin = |client: &mut RawClient, max_bytes: usize| {
        lists.end();
        client.send(lines(&format!("COLLECT {max_bytes} \n ECHO behind")));
        eventually(|| lists.sender.lock().expect("no thread panics with the lock").is_some().then_some(()));
        other.let_server_read();
    };
    begin(&mut client, 1000);
    (1..=3).for_each(|number| lists.send(Ok(number)));
    lists.end();
    assert_eq!(client.replies(2), "*3\r\n:1\r\n:2\r\n:3\r\n$6\r\nbehind\r\n");

    begin(&mut client, 8);
    (1..=3).for_each(|number| lists.send(Ok(number)));
    assert_eq!(client.replies(2), "-ERR the reply exceeds 8 bytes\r\n$6\r\nbehind\r\n");

    begin(&mut client, 1000);
    lists.send(Ok(1));
    lists.send(Err(Error::new("GONE", "the other server has left")));
    assert_eq!(client.replies(2), "-GONE the other server has left\r\n$6\r\nbehind\r\n");

    begin(&mut client, 1 << 30);
    (0..300_000).for_each(|number| lists.send(Ok(number)));
    lists.end();
    assert!(client.reply() == numbers(300_000));
    assert_eq!(client.reply(), "$6\r\nbehind\r\n");

    let info = client.ask(line("INFO errorstats"));
    assert_eq!(info, "$61\r\n# Errorstats\r\nerrorstat_ERR:count=1\r\nerrorstat_GONE:count=1\r\n\r\n");
}

#[test]
fn a_reply_that_cannot_be_completed_closes_the_connection() {
    let (served, _) = serve();
    assert_eq!(exchange(served.address(), lines("SHORT \n ECHO behind")), "");
    assert_eq!(exchange(served.address(), lines("PANICS \n ECHO behind")), "");
    assert_eq!(exchange(served.address(), line("PING")), "+PONG\r\n");
}

#[test]
fn a_transaction_runs_iterators_and_refuses_streams() {
    let (served, lists) = serve();
    let mut client = RawClient::connect(served.address());
    client
        .send(lines("MULTI \n NUMBERS 3 \n STREAM 2 \n SHORT \n PANICS \n NUMBERS 1 \n EXEC \n ECHO behind"));
    client.replies(6);
    let refused = "-ERR a transaction cannot wait for this reply\r\n";
    let internal = "-ERR internal error\r\n";
    assert_eq!(
        client.replies(2),
        format!("*5\r\n{}{refused}{internal}{internal}{}$6\r\nbehind\r\n", numbers(3), numbers(1))
    );
    assert!(lists.is_stream_dropped());
}

#[test]
fn a_skipped_reply_generates_no_elements() {
    let (served, lists) = serve();
    let mut client = RawClient::connect(served.address());
    client.send(lines("CLIENT REPLY SKIP \n NUMBERS 100000 \n NUMBERS 2"));
    assert_eq!(client.reply(), numbers(2));
    assert_eq!(lists.generated.load(SeqCst), 2, "the skipped reply generates no elements");
}

/// Neither a pub/sub message nor a protocol error may come between the elements.
#[test]
fn pushes_and_errors_wait_for_the_end_of_a_streaming_reply() {
    let (served, _) = serve();
    let mut client = RawClient::connect(served.address());
    let mut other = RawClient::connect(served.address());
    client.send(lines("HELLO 3 \n SUBSCRIBE news"));
    client.replies(2);
    let texts = "*30000\r\n".len() + 30_000 * (1024 + "$1024\r\n\r\n".len());
    client.send(line("TEXTS 30000"));
    eventually(|| (!client.is_silent()).then_some(()));
    assert_eq!(other.ask(line("PUBLISH news flash")), ":1\r\n");
    assert_eq!(client.reply().len(), texts);
    assert_eq!(client.reply(), ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nflash\r\n");
    client.send([line("TEXTS 30000"), b"*1\r\n$x\r\n".to_vec()].concat());
    assert_eq!(client.reply().len(), texts);
    assert_eq!(client.rest(), "-ERR Protocol error: invalid bulk length\r\n");
}
