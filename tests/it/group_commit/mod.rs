mod app;
mod failures;
mod groups;
mod later;
