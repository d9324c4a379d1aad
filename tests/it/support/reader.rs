//! The decoder, fed as a connection feeds it. The fuzz target reads with it too.

use thegiant_resp::{Decoder, Progress, ProtocolError, Span};

/// Feeds a decoder piece by piece and keeps the requests that it finds.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    decoder: Decoder,
    input: Vec<u8>,
    spans: Vec<Span>,
    large: Vec<Vec<u8>>,
    /// A large bulk string, and how many bytes of it are missing.
    filling: Option<(Vec<u8>, usize)>,
    /// What was found so far.
    pub(crate) requests: Vec<Vec<Vec<u8>>>,
    /// Where the input was broken; nothing is read behind.
    pub(crate) error: Option<ProtocolError>,
}

impl Reader {
    /// All that is found in `pieces`.
    pub(crate) fn read<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut reader = Reader::default();
        for piece in pieces {
            reader.feed(piece);
        }
        reader
    }

    /// Takes the next piece.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) {
        if let Some((bytes, missing)) = &mut self.filling {
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
            match self.filling.take() {
                Some((bytes, 0)) => {
                    self.large.push(bytes);
                    self.decoder.large_bulk_taken(self.large.len() - 1, &mut self.spans);
                }
                unfinished @ Some(_) => {
                    self.filling = unfinished;
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

    /// One call of the decoder, which never goes back nor beyond the end.
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
        self.filling = Some((bytes, len - arrived));
    }
}
