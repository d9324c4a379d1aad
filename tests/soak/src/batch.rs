//! Requests, and the replies that are due.

/// Some requests that are sent at once, and what has to come back.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) requests: Vec<u8>,
    pub(crate) replies: Vec<u8>,
    /// Where each request ends, and its reply.
    ends: Vec<(usize, usize)>,
}

impl Batch {
    /// One request and its reply.
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

    /// The same, as one transaction. A request that cannot be queued has none of them run, which the caller has to know.
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

    /// The request whose reply this byte belongs to, for a person to read.
    pub(crate) fn request_at(&self, reply_byte: usize) -> String {
        let index = self.ends.partition_point(|(_, end)| *end <= reply_byte).min(self.ends.len() - 1);
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].0);
        let request = excerpt(&self.requests[start..self.ends[index].0]);
        format!("request {} of {}, {request}", index + 1, self.len())
    }
}

/// A request as an array of bulk strings.
pub(crate) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(bulk(word));
    }
    bytes
}

/// A bulk string, in a request or as a reply.
pub(crate) fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// The first bytes, for a person to read.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 100;
    let cut = if bytes.len() > SHOWN { "..." } else { "" };
    format!("\"{}{cut}\"", bytes[..bytes.len().min(SHOWN)].escape_ascii())
}
