//! The application of the tests beside a real redis-server.

use thegiant::Bytes;

use super::{Process, Served, app, exchange};

/// Both servers, to be given the same input.
#[derive(Debug)]
pub(crate) struct Pair {
    redis: Process,
    served: Served,
}

impl Pair {
    pub(crate) fn start() -> Self {
        Pair { redis: Process::redis(), served: Served::start(app) }
    }

    /// What comes back from both: ours first, then what Redis says.
    pub(crate) fn exchange(&self, input: &[u8]) -> [Bytes; 2] {
        [self.served.address(), self.redis.address()].map(|address| exchange(address, input))
    }

    /// Asserts that both say the same to this input.
    #[track_caller]
    pub(crate) fn assert_same(&self, input: impl AsRef<[u8]>) {
        let [actual, expected] = self.exchange(input.as_ref());
        assert_eq!(actual, expected, "given {}", shown(input.as_ref()));
    }

    /// Asserts that both say this to this input.
    #[track_caller]
    pub(crate) fn assert_answer(&self, input: impl AsRef<[u8]>, answer: &str) {
        let [actual, expected] = self.exchange(input.as_ref());
        assert_eq!(expected, answer, "redis-server, given {}", shown(input.as_ref()));
        assert_eq!(actual, answer, "given {}", shown(input.as_ref()));
    }
}

fn shown(input: &[u8]) -> String {
    format!("{:?}", Bytes::copy_from_slice(&input[..input.len().min(100)]))
}
