//! Requests with their expected replies.

/// Requests that a client sends at once, and the expected replies.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) requests: Vec<u8>,
    pub(crate) replies: Vec<u8>,
    /// The end of each request and of its reply.
    ends: Vec<(usize, usize)>,
}

impl Batch {
    /// Creates a batch of one request and its reply.
    pub(crate) fn of(words: &[&[u8]], reply: impl AsRef<[u8]>) -> Batch {
        let mut batch = Batch::default();
        batch.push(&request(words), reply);
        batch
    }

    pub(crate) fn push(&mut self, request: &[u8], reply: impl AsRef<[u8]>) {
        self.requests.extend(request);
        self.replies.extend(reply.as_ref());
        self.ends.push((self.requests.len(), self.replies.len()));
    }

    /// Wraps the requests in one transaction.
    ///
    /// All requests have to be queueable: a request that the server rejects would abort the transaction.
    pub(crate) fn in_transaction(self) -> Batch {
        let mut batch = Batch::of(&[b"MULTI"], "+OK\r\n");
        let mut begin = 0;
        for (end, _) in &self.ends {
            batch.push(&self.requests[begin..*end], "+QUEUED\r\n");
            begin = *end;
        }
        let head = format!("*{}\r\n", self.len());
        batch.push(&request(&[b"EXEC"]), [head.as_bytes(), &self.replies].concat());
        batch
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Describes the request to whose reply this byte belongs.
    pub(crate) fn request_at(&self, reply_byte: usize) -> String {
        let index = self.ends.partition_point(|(_, end)| *end <= reply_byte).min(self.ends.len() - 1);
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].0);
        let request = excerpt(&self.requests[start..self.ends[index].0]);
        format!("request {} of {}, {request}", index + 1, self.len())
    }
}

/// Encodes a request as an array of bulk strings.
pub(crate) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(bulk(word));
    }
    bytes
}

/// Encodes a bulk string.
pub(crate) fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Returns the first bytes as readable text.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const MAX_LEN: usize = 100;
    let cut = if bytes.len() > MAX_LEN { "..." } else { "" };
    format!("\"{}{cut}\"", bytes[..bytes.len().min(MAX_LEN)].escape_ascii())
}
