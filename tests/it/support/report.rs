//! Replies that are text for people, and the fields in them.

use super::{RawClient, Reply, line};

/// The fields of a line of `CLIENT LIST` or of a section of `INFO`, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// Fields that end with `separator`, each `name`, `equals`, value.
    fn parse(text: &str, separator: &str, equals: char) -> Self {
        let fields = text.split(separator).filter_map(|field| field.split_once(equals));
        Fields(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field that has to be there.
    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The value of a field that has to be a number.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name} is no number in {self:?}"))
    }
}

/// The text that a request is answered with.
#[track_caller]
pub(crate) fn report(client: &mut RawClient, request: &str) -> String {
    let reply = client.ask(line(request));
    match Reply::only(&reply) {
        Some(Reply::Bulk(text) | Reply::Verbatim(_, text)) => String::from_utf8(text).expect("text"),
        _ => panic!("{request} is answered with {reply:?}"),
    }
}

/// The fields of sections of `INFO`.
#[track_caller]
pub(crate) fn info(client: &mut RawClient, sections: &str) -> Fields {
    Fields::parse(&report(client, &format!("INFO {sections}")), "\r\n", ':')
}

/// The lines of `CLIENT LIST`, with these options if any.
#[track_caller]
pub(crate) fn client_list(client: &mut RawClient, options: &str) -> Vec<Fields> {
    let text = report(client, format!("CLIENT LIST {options}").trim_end());
    text.lines().map(|line| Fields::parse(line, " ", '=')).collect()
}

/// The line of `CLIENT LIST` of a connection, if it is there.
#[track_caller]
pub(crate) fn listed(client: &mut RawClient, id: u64) -> Option<Fields> {
    client_list(client, &format!("ID {id}")).pop()
}
