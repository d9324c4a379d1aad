mod answers;
mod app;
mod endings;
mod maybe;
mod pushes;

pub(crate) use app::app;
