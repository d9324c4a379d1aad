//! Requests as bytes, encoded without the toolkit.

/// Encodes a request as an array of bulk strings.
pub(crate) fn request<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Vec<u8> {
    let words: Vec<W> = words.into_iter().collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in &words {
        bytes.extend(format!("${}\r\n", word.as_ref().len()).into_bytes());
        bytes.extend(word.as_ref());
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Encodes the words of a line as an array of bulk strings.
pub(crate) fn line(text: &str) -> Vec<u8> {
    request(text.split(' '))
}

/// Encodes a pipeline: each line becomes an array of bulk strings.
pub(crate) fn lines(text: &str) -> Vec<u8> {
    let lines = text.lines().map(str::trim).filter(|text| !text.is_empty());
    lines.map(line).collect::<Vec<_>>().concat()
}
