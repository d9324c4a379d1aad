use thegiant::prelude::*;

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    let server = Server::new(App::new).bind("127.0.0.1:6380")?;
    server.run();
    println!("the server has stopped");
    Ok(())
}
