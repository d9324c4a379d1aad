use thegiant::ReplyError;

#[derive(Debug, ReplyError)]
#[reply(code = "NOSTOCK")]
struct OutOfStock;

#[derive(ReplyError)]
enum ShopError {
    Closed,
    #[reply(code = "NOSTOCK")]
    OutOfStock(String),
}

fn main() {}
