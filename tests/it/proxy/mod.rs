mod breaking;
mod down;
mod hostile;
mod memory;
mod private;
mod server;
mod several;
mod shared;
