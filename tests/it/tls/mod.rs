mod authority;
mod client;
mod command_line;
mod files;
mod handshakes;
mod listener;
mod typed_client;
mod upstream;
