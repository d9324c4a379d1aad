use thegiant::prelude::*;

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    Server::new(App::new).bind("127.0.0.1:6380")?.run()
}
