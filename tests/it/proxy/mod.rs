mod breaking;
mod down;
mod hostile;
mod private;
mod server;
mod several;
mod shared;
