mod down;
mod hostile;
mod private;
mod server;
mod shared;
