//! Feeds the decoder as a connection does. The fuzz target uses this file too.

use thegiant_resp::{Decoder, Progress, ProtocolError, Span};

/// Feeds a decoder piece by piece, and collects the requests.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    decoder: Decoder,
    input: Vec<u8>,
    spans: Vec<Span>,
    large: Vec<Vec<u8>>,
    /// The received part of a large bulk string, and the number of missing bytes.
    partial: Option<(Vec<u8>, usize)>,
    /// The requests so far.
    pub(crate) requests: Vec<Vec<Vec<u8>>>,
    /// The first protocol error. The reader ignores all later input.
    pub(crate) error: Option<ProtocolError>,
}

impl Reader {
    /// Reads all requests of `pieces`.
    pub(crate) fn read<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut reader = Reader::default();
        for piece in pieces {
            reader.feed(piece);
        }
        reader
    }

    /// Takes the next piece.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) {
        if let Some((bytes, missing)) = &mut self.partial {
            let (taken, rest) = piece.split_at(piece.len().min(*missing));
            bytes.extend_from_slice(taken);
            *missing -= taken.len();
            piece = rest;
        }
        self.input.extend_from_slice(piece);
        if self.error.is_none() {
            self.error = self.decode().err();
        }
    }

    fn decode(&mut self) -> Result<(), ProtocolError> {
        loop {
            match self.partial.take() {
                Some((bytes, 0)) => {
                    self.large.push(bytes);
                    self.decoder.large_bulk_taken(self.large.len() - 1, &mut self.spans);
                }
                unfinished @ Some(_) => {
                    self.partial = unfinished;
                    return Ok(());
                }
                None => {}
            }
            match self.step()? {
                Progress::Request => self.take_request(),
                Progress::Large(len) => self.begin_large(len),
                Progress::Incomplete => return Ok(()),
            }
        }
    }

    /// Calls the decoder once. Checks that its position neither goes back nor passes the end of the input.
    fn step(&mut self) -> Result<Progress, ProtocolError> {
        let before = self.decoder.position();
        let progress = self.decoder.decode(&mut self.input, &mut self.spans)?;
        let after = self.decoder.position();
        assert!(before <= after && after <= self.input.len(), "from {before} to {after}");
        assert!(self.decoder.start() <= after, "a request begins at {}", self.decoder.start());
        Ok(progress)
    }

    fn take_request(&mut self) {
        let words = self.spans.drain(..).map(|span| match span {
            Span::Input { start, end } => self.input[start as usize..end as usize].to_vec(),
            Span::Large(index) => std::mem::take(&mut self.large[index as usize]),
        });
        self.requests.push(words.collect());
        self.large.clear();
        self.input.drain(..self.decoder.start());
        self.decoder.rebase();
    }

    fn begin_large(&mut self, len: usize) {
        let position = self.decoder.position();
        let arrived = len.min(self.input.len() - position);
        let bytes = self.input.drain(position..position + arrived).collect();
        self.partial = Some((bytes, len - arrived));
    }
}
