mod answers;
mod app;
mod endings;
mod pushes;

pub(crate) use app::app;
