use std::fmt;

use thegiant::ReplyError;

#[derive(Debug, ReplyError)]
#[reply(code = "NoStock")]
enum ShopError {
    #[reply(code = "OUT OF STOCK")]
    OutOfStock,
    #[reply(code = "")]
    Closed,
    #[reply(code = "DISK", internal)]
    Disk,
    #[reply(kode = "X")]
    Other,
}

impl fmt::Display for ShopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no")
    }
}

impl std::error::Error for ShopError {}

#[derive(ReplyError)]
union Bits {
    float: f32,
    integer: u32,
}

fn main() {}
