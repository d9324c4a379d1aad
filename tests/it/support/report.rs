//! Text replies, such as `INFO` and `CLIENT LIST`, and their fields.

use super::{RawClient, Reply, line};

/// The fields of a line of `CLIENT LIST` or of a section of `INFO`, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// Parses fields of a name, `equals` and a value. Each field ends with `separator`.
    fn parse(text: &str, separator: &str, equals: char) -> Self {
        let fields = text.split(separator).filter_map(|field| field.split_once(equals));
        Fields(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value of a field. Panics if there is none.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Returns the value of a numeric field. Panics if there is none.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name} is not a number in {self:?}"))
    }
}

/// Sends a request. Returns the text of its reply.
#[track_caller]
pub(crate) fn report(client: &mut RawClient, request: &str) -> String {
    let reply = client.ask(line(request));
    match Reply::only(&reply) {
        Some(Reply::Bulk(text) | Reply::Verbatim(_, text)) => String::from_utf8(text).expect("text"),
        _ => panic!("the reply to {request} is {reply:?}"),
    }
}

/// Returns the fields of sections of `INFO`.
#[track_caller]
pub(crate) fn info(client: &mut RawClient, sections: &str) -> Fields {
    Fields::parse(&report(client, &format!("INFO {sections}")), "\r\n", ':')
}

/// Returns the lines of `CLIENT LIST` with these options.
#[track_caller]
pub(crate) fn client_list(client: &mut RawClient, options: &str) -> Vec<Fields> {
    let text = report(client, format!("CLIENT LIST {options}").trim_end());
    text.lines().map(|line| Fields::parse(line, " ", '=')).collect()
}

/// Returns the line of a client in `CLIENT LIST`, if the client is connected.
#[track_caller]
pub(crate) fn listed(client: &mut RawClient, id: u64) -> Option<Fields> {
    client_list(client, &format!("ID {id}")).pop()
}
