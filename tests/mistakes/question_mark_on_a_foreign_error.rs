use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("READ")]
    fn read(&self) -> Result<String, Error> {
        Ok(std::fs::read_to_string("/etc/hostname")?)
    }

    #[command("WRITE")]
    fn write(&self) -> Result<(), std::io::Error> {
        std::fs::write("/etc/hostname", "thegiant")
    }
}

fn main() {}
