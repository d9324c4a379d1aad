#[thegiant::main]
fn main() -> std::io::Result<()> {
    Ok(())
}
