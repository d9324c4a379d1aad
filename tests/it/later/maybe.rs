use actix::{ActorFutureExt, WrapFuture};
use thegiant::{Error, MaybeActFuture, MaybeFuture, prelude::*};

use crate::support::check;

struct Cache(u64);

impl Actor for Cache {
    type Context = Context<Self>;
}

#[commands]
impl Cache {
    /// Replies at once, or later.
    #[command("MAYBE")]
    fn maybe(&self, number: i64) -> MaybeFuture<Result<i64, Error>> {
        match number {
            0 => MaybeFuture::Now(Ok(0)),
            1 => MaybeFuture::Now(Err(Error::err("one"))),
            2 => MaybeFuture::later(async { Err(Error::err("two")) }),
            number => MaybeFuture::later(async move { Ok(number) }),
        }
    }

    /// Replies at once, or adds to the actor later.
    #[command("MAYBE.ACTOR", write)]
    fn maybe_actor(&mut self, number: u64) -> MaybeActFuture<Self, u64> {
        match number {
            0 => MaybeFuture::Now(self.0),
            number => MaybeFuture::later_then(async move { number }, |number, this: &mut Self, _| {
                this.0 += number;
                this.0
            }),
        }
    }

    /// Refuses a number before it has a future.
    #[command("CHECKED")]
    fn checked(&self, number: i64) -> Result<ResponseFuture<i64>, Error> {
        check_number(number)?;
        Ok(Box::pin(async move { number }))
    }

    #[command("CHECKED.MAYBE")]
    fn checked_maybe(&self, number: i64) -> Result<MaybeFuture<i64>, Error> {
        check_number(number)?;
        Ok(if number < 5 { MaybeFuture::Now(number) } else { MaybeFuture::later(async move { number }) })
    }

    #[command("CHECKED.ACTOR", write)]
    fn checked_actor(&mut self, number: i64) -> Result<ResponseActFuture<Self, u64>, Error> {
        check_number(number)?;
        Ok(Box::pin(async {}.into_actor(self).map(|(), this, _| {
            this.0 += 1;
            this.0
        })))
    }
}

fn check_number(number: i64) -> Result<(), Error> {
    if number < 0 { Err(Error::NOT_POSITIVE) } else { Ok(()) }
}

#[test]
fn a_reply_may_be_ready_or_a_future() {
    check(
        || App::new().mount(Cache(0).start()),
        &[("MAYBE 0", ":0"), ("MAYBE 1", "-one"), ("MAYBE 2", "-two"), ("MAYBE 3", ":3")],
    );
}

#[test]
fn a_future_that_may_be_ready_can_change_the_actor() {
    check(
        || App::new().mount(Cache(0).start()),
        &[("MAYBE.ACTOR 0", ":0"), ("MAYBE.ACTOR 3", ":3"), ("MAYBE.ACTOR 4", ":7"), ("MAYBE.ACTOR 0", ":7")],
    );
}

#[test]
fn an_error_may_come_instead_of_a_future() {
    check(
        || App::new().mount(Cache(0).start()),
        &[
            ("CHECKED 1", ":1"),
            ("CHECKED -1", "-value is out of range, must be positive"),
            ("CHECKED.MAYBE 1", ":1"),
            ("CHECKED.MAYBE 9", ":9"),
            ("CHECKED.MAYBE -1", "-value is out of range, must be positive"),
            ("CHECKED.ACTOR 1", ":1"),
            ("CHECKED.ACTOR 1", ":2"),
            ("CHECKED.ACTOR -1", "-value is out of range, must be positive"),
        ],
    );
}
