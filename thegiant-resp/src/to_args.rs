//! Writes values as the arguments of a request.

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
#[derive(Clone, Debug, Default)]
pub struct RequestBuilder {
    words: usize,
    encoded: Vec<u8>,
}

impl RequestBuilder {
    /// Creates a request with the words of this name: `GET`, or `CONFIG GET`. An empty name has no words.
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
        self.words += 1;
        self.encoded.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        self.encoded.extend_from_slice(word);
        self.encoded.extend_from_slice(b"\r\n");
        self
    }

    /// Appends the words of a value.
    pub fn arg<T: ToArgs + ?Sized>(&mut self, value: &T) -> &mut Self {
        value.to_args(self);
        self
    }

    /// Returns the number of words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words
    }

    /// Whether the request has no words. Servers do not reply to such a request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words == 0
    }

    /// Appends the encoded request to `out`.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("*{}\r\n", self.words).as_bytes());
        out.extend_from_slice(&self.encoded);
    }

    /// Returns the encoded request.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.append_to(&mut out);
        out
    }
}

/// A value that a client sends as one argument, or as several.
///
/// Strings, bytes, integers and floats are one argument each. `None` is no argument. Slices, vectors and tuples are the
/// arguments of their elements. `#[derive(ToArgs)]` of the crate `thegiant-client` implements it for options.
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
    note = "write `#[derive(ToArgs)]` above options with `#[derive(Args)]`, or implement `ToArgs` for your own type",
    note = "or leave the command out of the client: `#[command(\"…\", no_client)]`"
)]
pub trait ToArgs {
    /// Appends the words of the value.
    fn to_args(&self, out: &mut RequestBuilder);
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

bytes!([u8] Vec<u8> Bytes str String);

impl<const N: usize> ToArgs for [u8; N] {
    fn to_args(&self, out: &mut RequestBuilder) {
        out.word(self);
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl ToArgs for $number {
            fn to_args(&self, out: &mut RequestBuilder) {
                out.word(self.to_string().as_bytes());
            }
        }
    )*};
}

// `u8` is missing because a slice of it is a string.
numbers!(i8 i16 i32 i64 isize i128 u16 u32 u64 usize u128 f32 f64);

impl<T: ToArgs> ToArgs for Option<T> {
    fn to_args(&self, out: &mut RequestBuilder) {
        self.iter().for_each(|value| value.to_args(out));
    }
}

impl<T: ToArgs> ToArgs for [T] {
    fn to_args(&self, out: &mut RequestBuilder) {
        self.iter().for_each(|value| value.to_args(out));
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
