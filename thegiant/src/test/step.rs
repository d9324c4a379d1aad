//! A step of a test, which fails at the line of the test.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A future of a test client. If it fails, it panics, and the place of the panic is the `.await` in the test.
pub(super) struct Step<F>(Pin<Box<F>>);

impl<F> Step<F> {
    pub(super) fn new(run: F) -> Self {
        Step(Box::pin(run))
    }
}

impl<T, F: Future<Output = Result<T, String>>> Future for Step<F> {
    type Output = T;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match ready!(self.0.as_mut().poll(context)) {
            Ok(output) => Poll::Ready(output),
            Err(failure) => panic!("{failure}"),
        }
    }
}
