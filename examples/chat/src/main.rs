//! Run with `cargo run -p chat`. `README.md` shows a conversation.
//!
//! This example shows publish and subscribe: the rooms of a chat are channels. Clients subscribe to a room
//! with `SUBSCRIBE`, and `SAY` publishes a line in it. The actor receives [`Connected`] and [`Disconnected`],
//! so it knows the guests. It subscribes to all channels itself, so it can return the last lines.

use std::{
    collections::{BTreeMap, VecDeque},
    env,
    fmt::Display,
    io,
};

use thegiant::{Connected, Disconnected, PubSub, Published, prelude::*};

/// Maximum number of lines that the actor remembers, over all rooms.
const MAX_LINES: usize = 1000;
/// Maximum lengths of a text, and of a name of a guest or a room, in bytes.
const MAX_TEXT: usize = 1000;
const MAX_NAME: usize = 32;

struct Chat {
    rooms: PubSub,
    /// The connected clients by client id, with the names that they have set.
    guests: BTreeMap<u64, Option<String>>,
    /// The last lines, each with its room.
    lines: VecDeque<(Bytes, Bytes)>,
}

impl Actor for Chat {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.rooms.psubscribe("*", context.address());
    }
}

#[commands]
impl Chat {
    /// Sets your name, and announces you in the lobby.
    #[command("NICK")]
    fn nick(&mut self, name: String, client: &Client) -> Result<(), Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_plain) {
            return Err(BAD_NAME);
        }
        let others = self.guests.iter().filter(|(guest, _)| **guest != client.id());
        if others.filter_map(|(_, name)| name.as_ref()).any(|taken| looks(taken) == looks(&name)) {
            return Err(Error::new("TAKEN", format_args!("the name {name} is taken")));
        }
        self.announce(format_args!("{name} is here"));
        self.guests.insert(client.id(), Some(name));
        Ok(())
    }

    /// Says something in a room, and returns the number of listeners.
    #[command("SAY")]
    fn say(&self, room: &str, text: &str, client: &Client) -> Result<usize, Error> {
        if room.len() > MAX_NAME || text.len() > MAX_TEXT || !is_line(room) || !is_line(text) {
            return Err(BAD_TEXT);
        }
        let name = self.guests.get(&client.id()).and_then(Option::as_deref).ok_or(NAMELESS)?;
        // The actor itself is a subscriber too.
        Ok(self.rooms.publish(room, format!("{name}: {text}")).saturating_sub(1))
    }

    /// Returns the names of all guests.
    #[command("WHO", readonly)]
    fn who(&self) -> Vec<&str> {
        self.guests.values().flatten().map(String::as_str).collect()
    }

    /// Returns the last lines of a room.
    #[command("HISTORY", readonly)]
    fn history(&self, room: &[u8]) -> Vec<&Bytes> {
        self.lines.iter().filter(|(said_in, _)| said_in == room).map(|(_, line)| line).collect()
    }
}

impl Chat {
    fn announce(&self, news: impl Display) {
        self.rooms.publish("lobby", format!("* {news}"));
    }
}

const NAMELESS: Error = Error::from_static("NONAME set a name with NICK first");
const BAD_NAME: Error = Error::from_static("BADNAME a name has up to 32 letters, digits, - and _ of ASCII");
const BAD_TEXT: Error = Error::from_static(
    "BADTEXT a text is one line of up to 1000 bytes, and a room has up to 32 bytes, without control characters",
);

/// Returns what a name looks like: the same for `Ian` and `lan`.
fn looks(name: &str) -> String {
    name.to_ascii_lowercase().replace(['i', '1'], "l").replace('0', "o")
}

/// Returns whether a text is one line that changes nothing outside of itself on a terminal: it has no control characters, line
/// separators or marks of the writing direction.
fn is_line(text: &str) -> bool {
    let is_mark =
        |char| matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.contains(|char: char| char.is_control() || is_mark(char))
}

impl Handler<Connected> for Chat {
    type Result = ();

    fn handle(&mut self, Connected(client): Connected, _: &mut Context<Self>) {
        // A command may arrive before this message, so the client may have a name already.
        self.guests.entry(client.id()).or_default();
    }
}

impl Handler<Disconnected> for Chat {
    type Result = ();

    fn handle(&mut self, Disconnected(client): Disconnected, _: &mut Context<Self>) {
        if let Some(Some(name)) = self.guests.remove(&client.id()) {
            self.announce(format_args!("{name} has left"));
        }
    }
}

impl Handler<Published> for Chat {
    type Result = ();

    fn handle(&mut self, said: Published, _: &mut Context<Self>) {
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((said.channel, said.message));
    }
}

fn app() -> App {
    // Only the actor publishes, so that nobody speaks for others.
    let app = App::new().without("PUBLISH").without("SPUBLISH");
    let chat = Chat { rooms: app.pubsub(), guests: BTreeMap::new(), lines: VecDeque::new() }.start();
    app.mount(chat.clone()).on_connect(chat.clone()).on_disconnect(chat)
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:6380".to_owned());
    let server = Server::new(app).bind(address)?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await
}
