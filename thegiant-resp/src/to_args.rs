//! Writes values as the arguments of a request.

use std::{borrow::Cow, fmt, io::Write as _, iter, mem, ops::Range};

use bytes::Bytes;

/// A request that is built word by word.
///
/// ```
/// use thegiant_resp::RequestBuilder;
///
/// let mut request = RequestBuilder::new("CONFIG SET");
/// request.word(b"maxclients").arg(&20);
/// assert_eq!(request.to_vec(), b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$10\r\nmaxclients\r\n$2\r\n20\r\n");
/// ```
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    /// The bytes of all words, one after another.
    bytes: Vec<u8>,
    /// The end of each word.
    ends: Vec<usize>,
    /// The reason why a word cannot be written.
    error: Option<String>,
}

/// Room for the words of most requests.
const CAPACITY: usize = 64;

impl Default for RequestBuilder {
    fn default() -> Self {
        RequestBuilder { bytes: Vec::with_capacity(CAPACITY), ends: Vec::new(), error: None }
    }
}

impl RequestBuilder {
    /// Creates a request with the words of this name: `GET`, or `CONFIG GET`.
    ///
    /// An empty name has no words.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut request = RequestBuilder::default();
        for word in name.split_ascii_whitespace() {
            request.word(word.as_bytes());
        }
        request
    }

    /// Appends one word.
    pub fn word(&mut self, word: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len());
        self
    }

    /// Appends the words of a value.
    pub fn arg<T: ToArgs + ?Sized>(&mut self, value: &T) -> &mut Self {
        value.to_args(self);
        self
    }

    /// Makes the request unusable: an argument cannot be written, for this reason.
    ///
    /// A client does not send it.
    ///
    /// ```
    /// use thegiant_resp::RequestBuilder;
    ///
    /// let mut request = RequestBuilder::new("SET point");
    /// request.fail("the point has no coordinates");
    /// assert_eq!(request.error(), Some("the point has no coordinates"));
    /// assert_eq!(request.to_vec(), b"");
    /// ```
    pub fn fail(&mut self, reason: impl fmt::Display) -> &mut Self {
        self.error.get_or_insert_with(|| reason.to_string());
        self
    }

    /// Returns the first reason why the request is unusable.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Returns the number of words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether the request has no words. Servers do not reply to such a request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends the encoded request to `out`; nothing if it has [failed](Self::fail).
    pub fn append_to(&self, out: &mut Vec<u8>) {
        if self.error.is_some() {
            return;
        }
        out.reserve(self.bytes.len() + HEADER_LEN * (1 + self.len()));
        append_header(out, '*', self.len());
        for word in self.spans() {
            append_header(out, '$', word.len());
            out.extend_from_slice(&self.bytes[word]);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Returns the encoded request, which is empty if it has [failed](Self::fail).
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.append_to(&mut out);
        out
    }

    /// Returns the words, which share one buffer.
    ///
    /// ```
    /// use thegiant_resp::RequestBuilder;
    ///
    /// let mut request = RequestBuilder::new("EXPIRE key");
    /// request.arg(&60);
    /// assert_eq!(request.into_words().unwrap(), ["EXPIRE", "key", "60"]);
    /// ```
    ///
    /// # Errors
    /// The reason why the request has [failed](Self::fail).
    pub fn into_words(mut self) -> Result<Vec<Bytes>, String> {
        if let Some(reason) = self.error {
            return Err(reason);
        }
        let bytes = Bytes::from(mem::take(&mut self.bytes));
        Ok(self.spans().map(|word| bytes.slice(word)).collect())
    }

    /// Returns the place of each word in the bytes.
    fn spans(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start..*end)
    }
}

/// The length of the longest header in most requests, and of the end of a word.
const HEADER_LEN: usize = 8;

/// Appends the number of words, or the length of a word.
fn append_header(out: &mut Vec<u8>, kind: char, number: usize) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{kind}{number}\r\n");
}

/// A value that a client sends as one argument, or as several.
///
/// Strings, bytes, integers, floats, times, [`Parsed`](crate::Parsed) and `Json` are one argument each. `None` is no argument.
/// Slices, vectors and tuples are the arguments of their elements. `#[derive(ToArgs)]` of the crate `thegiant-client`
/// implements it for options, enums of words and tuple structs.
///
/// ```
/// use thegiant_resp::{RequestBuilder, ToArgs};
///
/// /// A colour, written `#rrggbb`.
/// struct Colour(u32);
///
/// impl ToArgs for Colour {
///     fn to_args(&self, out: &mut RequestBuilder) {
///         out.word(format!("#{:06x}", self.0).as_bytes());
///     }
/// }
///
/// let mut request = RequestBuilder::new("PAINT");
/// request.arg(&("wall", [Colour(0xff), Colour(0xff00)], None::<i64>));
/// let mut same = RequestBuilder::new("PAINT wall #0000ff #00ff00");
/// assert_eq!(request.to_vec(), same.to_vec());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as an argument",
    label = "a client cannot send this type",
    note = "write `#[derive(ToArgs)]` above a type of yours, next to `#[derive(FromArg)]` or `#[derive(Args)]`",
    note = "or leave the command out of the client: `#[command(\"…\", no_client)]`"
)]
pub trait ToArgs {
    /// Appends the words of the value.
    fn to_args(&self, out: &mut RequestBuilder);

    /// Appends the words of a list of it. A list of `u8` is a string.
    #[doc(hidden)]
    fn list_to_args(items: &[Self], out: &mut RequestBuilder)
    where
        Self: Sized,
    {
        items.iter().for_each(|value| value.to_args(out));
    }
}

impl<T: ToArgs + ?Sized> ToArgs for &T {
    fn to_args(&self, out: &mut RequestBuilder) {
        (**self).to_args(out);
    }
}

macro_rules! bytes {
    ($($bytes:ty)*) => {$(
        impl ToArgs for $bytes {
            fn to_args(&self, out: &mut RequestBuilder) {
                out.word(self.as_ref());
            }
        }
    )*};
}

bytes!(Bytes str String);

impl ToArgs for Cow<'_, str> {
    fn to_args(&self, out: &mut RequestBuilder) {
        out.word(self.as_bytes());
    }
}

macro_rules! texts {
    ($($type:ty)*) => {$(
        impl ToArgs for $type {
            fn to_args(&self, out: &mut RequestBuilder) {
                out.word(self.to_string().as_bytes());
            }
        }
    )*};
}

texts!(char i8 i16 i32 i64 isize i128 u16 u32 u64 usize u128 f32 f64);

impl ToArgs for u8 {
    fn to_args(&self, out: &mut RequestBuilder) {
        u16::from(*self).to_args(out);
    }

    fn list_to_args(items: &[Self], out: &mut RequestBuilder) {
        out.word(items);
    }
}

impl<T: ToArgs> ToArgs for Option<T> {
    fn to_args(&self, out: &mut RequestBuilder) {
        self.iter().for_each(|value| value.to_args(out));
    }
}

impl<T: ToArgs> ToArgs for [T] {
    fn to_args(&self, out: &mut RequestBuilder) {
        T::list_to_args(self, out);
    }
}

impl<T: ToArgs> ToArgs for Vec<T> {
    fn to_args(&self, out: &mut RequestBuilder) {
        self.as_slice().to_args(out);
    }
}

impl<T: ToArgs, const N: usize> ToArgs for [T; N] {
    fn to_args(&self, out: &mut RequestBuilder) {
        self.as_slice().to_args(out);
    }
}

macro_rules! tuples {
    ($($field:ident)*) => {
        impl<$($field: ToArgs),*> ToArgs for ($($field,)*) {
            #[allow(non_snake_case, reason = "a field is named after its type")]
            fn to_args(&self, out: &mut RequestBuilder) {
                let ($($field,)*) = self;
                $($field.to_args(out);)*
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_bytes_is_one_argument() {
        let mut request = RequestBuilder::default();
        request.arg(&(&b"ab"[..], vec![b'c'], *b"de", 7u8, 'ä', Cow::Borrowed("f")));
        assert_eq!(request.to_vec(), RequestBuilder::new("ab c de 7 ä f").to_vec());
    }

    #[test]
    fn a_request_that_has_failed_is_never_encoded() {
        let mut request = RequestBuilder::new("SET key");
        request.fail("first").word(b"more").fail("second");
        assert_eq!((request.error(), request.to_vec().as_slice()), (Some("first"), &b""[..]));
        assert_eq!(request.into_words(), Err("first".to_owned()));
        assert_eq!(RequestBuilder::new("GET").error(), None);
    }
}
