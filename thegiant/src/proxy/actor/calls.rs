//! Commands that the application sends.

use super::state::{Call, ProxyState};
use crate::{
    Error, Value,
    proxy::{
        conn::{ApplicationCall, CallError, InFlight, PoolKey, Requester},
        routing::{Readiness, Redirect, Route},
        wire::{LossReason, Words},
    },
};

impl ProxyState {
    /// Sends a command of the application.
    pub(super) fn call(&mut self, (words, answer): Call) {
        match self.routing.readiness(&self.pool.servers, None) {
            Readiness::Ready => {}
            Readiness::Soon => return self.waiting.calls.push((words, answer)),
            // The application may have dropped the future that waits for the reply.
            Readiness::Not(error) => return drop(answer.send(Err(CallError::NotSent(error)))),
        }
        self.call_count += 1;
        let number = self.call_count;
        let server = match self.routing.route_as_is(Words::Own(&words), &mut self.pool.servers, false) {
            Route::To(server) => server,
            Route::Any => self.pool.servers.any(number),
            Route::Split(split) => {
                return self.insert_split(Requester::Application(answer), PoolKey::FIRST, number, split);
            }
            Route::Rewrite(rewrite) => {
                let split = rewrite.into_split(self.pool.servers.any(number));
                return self.insert_split(Requester::Application(answer), PoolKey::FIRST, number, split);
            }
            Route::Listen { .. } => return drop(answer.send(Err(CallError::NotSent(Error::CROSS_SLOT)))),
            Route::Reply(Value::Error(error)) => {
                return drop(answer.send(Err(CallError::NotSent(error))));
            }
            Route::Reply(reply) => return drop(answer.send(Ok(reply))),
        };
        let index = self.pool.connection_for(server, PoolKey::FIRST, number);
        let connection = &self.pool.connections[index];
        if connection.is_full() {
            let full = LossReason::from("its send buffer is full");
            return drop(answer.send(Err(connection.stats.unsent(&full, 1))));
        }
        let id = self.in_flight.next_id();
        self.in_flight.insert(id, InFlight::Call(ApplicationCall::new(words, answer)));
        self.send_or_fail(id, 0, Redirect { server, asking: false }, PoolKey::FIRST, number);
    }
}
