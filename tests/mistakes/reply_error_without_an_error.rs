use thegiant::ReplyError;

#[derive(Debug, ReplyError)]
#[reply(code = "NOSTOCK")]
struct OutOfStock;

fn main() {}
