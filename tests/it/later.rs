mod answers;
mod app;
mod endings;
mod pushes;
