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
        if self.guests.values().flatten().any(|taken| *taken == name) {
            return Err(Error::new("TAKEN", format_args!("the name {name} is taken")));
        }
        self.announce(format_args!("{name} is here"));
        self.guests.insert(client.id(), Some(name));
        Ok(())
    }

    /// Says something in a room, and returns the number of listeners.
    #[command("SAY")]
    fn say(&self, room: &[u8], text: &str, client: &Client) -> Result<usize, Error> {
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
    let app = App::new();
    let chat = Chat { rooms: app.pubsub(), guests: BTreeMap::new(), lines: VecDeque::new() }.start();
    app.mount(chat.clone()).connected(chat.clone()).disconnected(chat)
}

#[actix::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:6380".to_owned());
    let server = Server::new(app).bind(address)?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    server.run().await
}
