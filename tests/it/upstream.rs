mod down;
mod private;
mod server;
mod shared;
