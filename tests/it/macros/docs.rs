use std::collections::{BTreeMap, HashMap, HashSet};

use thegiant::{
    ArrayStream, Raw, ReplyError,
    command::{Commands, ReplySpec, Spec},
    prelude::*,
    resp::Encoder,
};

use crate::support::{RawClient, Served};

/// A type of the application that does not describe its reply, and one that does.
struct Opaque;
struct Described;

impl Reply for Opaque {
    fn write_to(self, out: &mut Encoder) {
        out.null();
    }
}

impl Reply for Described {
    const REPLY: ReplySpec =
        ReplySpec::Record(&[("ready", ReplySpec::Integer), ("names", ReplySpec::Array(&ReplySpec::String))]);

    fn write_to(self, out: &mut Encoder) {
        out.map(0);
    }
}

struct Replies {
    text: String,
}

impl Actor for Replies {
    type Context = Context<Self>;
}

#[commands]
impl Replies {
    #[command("OK")]
    fn ok(&self) {}

    #[command("OK RESULT")]
    fn ok_result(&self) -> Result<(), Error> {
        Ok(())
    }

    #[command("STRING")]
    fn string(&self) -> Option<&String> {
        Some(&self.text)
    }

    #[command("SIMPLE")]
    fn simple(&self) -> Simple {
        Simple("OK")
    }

    #[command("NUMBERS")]
    fn numbers(&self) -> (u64, f32, &bool) {
        (1, 0.5, &true)
    }

    #[command("ITERATOR")]
    fn iterator(&self) -> Result<Array<impl ExactSizeIterator<Item = (&str, Option<usize>)> + '_>, Error> {
        Ok(Array([(&*self.text, None)].into_iter()))
    }

    #[command("HIDDEN")]
    fn hidden(&self) -> impl Reply + use<> {
        1
    }

    #[command("MAP")]
    fn map(&self) -> HashMap<String, BTreeMap<i64, bool>> {
        HashMap::new()
    }

    #[command("SET")]
    fn set(&self) -> HashSet<Bytes> {
        HashSet::new()
    }

    #[command("STREAM")]
    fn stream(&self) -> Option<ArrayStream> {
        None
    }

    #[command("FUTURE", blocking)]
    fn future(&self) -> ResponseFuture<Result<Vec<i64>, Error>> {
        Box::pin(async { Ok(vec![]) })
    }

    #[command("ACTORFUTURE", blocking)]
    fn actor_future(&mut self) -> ResponseActFuture<Self, String> {
        Box::pin(async { String::new() }.into_actor(self))
    }

    #[command("ASYNC")]
    async fn asynchronous(number: i64) -> Option<i64> {
        Some(number)
    }

    #[command("RESPONDER", blocking)]
    fn responder(&self, responder: Responder<Result<Option<Bytes>, Error>>) {
        drop(responder.send(Ok(None)));
    }

    #[command("OPAQUE")]
    fn opaque(&self) -> Vec<Opaque> {
        vec![]
    }

    #[command("DESCRIBED")]
    fn described(&self) -> Result<Described, Error> {
        Ok(Described)
    }

    #[command("VALUE")]
    fn value(&self) -> Value {
        Value::Null
    }

    #[command("RAW")]
    fn raw(&self) -> Raw {
        Raw(Bytes::from_static(b"+OK\r\n"))
    }
}

#[test]
fn a_row_knows_the_type_of_its_reply() {
    let replies: Vec<(&str, String)> =
        Replies::specs().map(|spec| (spec.name, spec.reply.to_string())).collect();
    let expected = [
        ("OK", "OK"),
        ("OK RESULT", "OK"),
        ("STRING", "string, or null"),
        ("SIMPLE", "string"),
        ("NUMBERS", "[integer, double, boolean]"),
        ("ITERATOR", "array of [string, integer, or null]"),
        ("HIDDEN", "any"),
        ("MAP", "map of string to map of integer to boolean"),
        ("SET", "set of string"),
        ("STREAM", "array of any type, or null"),
        ("FUTURE", "array of integer"),
        ("ACTORFUTURE", "string"),
        ("ASYNC", "integer, or null"),
        ("RESPONDER", "string, or null"),
        ("OPAQUE", "array of any type"),
        ("DESCRIBED", "map {ready: integer, names: array of string}"),
        ("VALUE", "any"),
        ("RAW", "any"),
    ];
    assert_eq!(replies, expected.map(|(name, reply)| (name, reply.to_owned())));
}

/// `[LIMIT n] [SORTED | SHUFFLED]`
#[derive(Args)]
struct Options {
    #[arg("LIMIT", name = "n")]
    #[expect(dead_code, reason = "only documented")]
    limit: Option<u64>,
    order: Option<Order>,
}

#[derive(Args)]
enum Order {
    Sorted,
    Shuffled,
}

#[derive(Debug, ReplyError)]
struct Unused;

impl std::fmt::Display for Unused {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Unused {}

struct Documented;

impl Actor for Documented {
    type Context = Context<Self>;
}

#[commands(group = "pages")]
impl Documented {
    /// Lists the pages
    /// of books.
    ///
    /// The order is that of the books:
    ///
    /// ```text
    /// # Errors
    /// ```
    ///
    /// # Arguments
    ///
    /// - `books` names of books,
    ///   at least one
    /// - `max_len`: the most pages, or 0
    /// - `LIMIT` - how many to skip
    /// * `sorted` by name
    ///
    /// # Errors
    ///
    /// - `NOBOOK`: no book has the name
    ///
    /// # See also
    /// Another command.
    #[command(
        "PAGES",
        readonly,
        complexity = "O(N)",
        since = "1.0",
        deprecated_since = "2.0",
        replaced_by = "`LEAVES`"
    )]
    fn pages(&self, max_len: u64, options: Options, books: Vec<Bytes>) -> Result<usize, Unused> {
        match options.order {
            Some(Order::Sorted | Order::Shuffled) => Err(Unused),
            None => Ok(books.len() + max_len as usize),
        }
    }

    /** Has a comment of one block.

    With a second paragraph. */
    #[command("BLOCK")]
    fn block(&self) {}
}

#[test]
fn a_doc_comment_documents_a_command() {
    let specs: Vec<&Spec> = Documented::specs().collect();
    let docs = specs[0].docs();
    assert_eq!(specs[0].summary, "Lists the pages of books");
    assert_eq!(
        docs.description,
        "The order is that of the books:\n\n```text\n# Errors\n```\n\n# See also\nAnother command."
    );
    let arguments = [
        ("book", "names of books, at least one"),
        ("max-len", "the most pages, or 0"),
        ("LIMIT", "how many to skip"),
        ("sorted", "by name"),
    ];
    assert_eq!(docs.arguments, arguments);
    assert_eq!(docs.errors, "- `NOBOOK`: no book has the name");
    assert_eq!(
        (specs[1].summary, specs[1].docs().description),
        ("Has a comment of one block", "With a second paragraph.")
    );
    assert_eq!(specs[0].syntax(), "PAGES max-len [LIMIT n] [SORTED | SHUFFLED] book [book ...]");
}

#[test]
fn command_docs_has_the_fields_of_redis() {
    let server = Served::start(|| App::new().mount(Documented.start()));
    let mut client = RawClient::connect(server.address());
    let docs = client.ask(b"*4\r\n$7\r\nCOMMAND\r\n$4\r\nDOCS\r\n$5\r\npages\r\n$5\r\nblock\r\n");
    let docs = format!("{docs:?}");
    let fields = [
        "summary",
        "Lists the pages of books",
        "since",
        "1.0",
        "group",
        "pages",
        "complexity",
        "O(N)",
        "doc_flags",
        "deprecated",
        "deprecated_since",
        "2.0",
        "replaced_by",
        "`LEAVES`",
        "arguments",
        "max-len",
        "the most pages, or 0",
        "LIMIT",
        "how many to skip",
        "sorted",
        "by name",
        "book",
        "names of books, at least one",
    ];
    let mut rest = &*docs;
    for field in fields {
        let at = rest.find(field).unwrap_or_else(|| panic!("{field} is not in {rest}"));
        rest = &rest[at + field.len()..];
    }
}

#[test]
fn an_application_lists_its_commands() {
    actix::System::new().block_on(async {
        let app = App::new().mount(Documented.start()).fallback(|_: &Request| 1);
        let names: Vec<&str> = app.commands().map(|spec| spec.name).collect();
        assert_eq!(names, ["PAGES", "BLOCK"]);
        assert!(App::builtin_commands().any(|spec| spec.name == "CLIENT SETNAME"));
    });
}
