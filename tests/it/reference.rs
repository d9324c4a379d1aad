use std::{collections::BTreeSet, fs, process::Command};

use thegiant::{
    App,
    command::{Commands, ReplySpec, Spec},
    docs,
    prelude::*,
    resp::Encoder,
};

use crate::support::{Folder, Served};

struct Stats;

impl Reply for Stats {
    const REPLY: ReplySpec = ReplySpec::Record(&[
        ("ready", ReplySpec::Integer),
        ("share", ReplySpec::Double),
        ("names", ReplySpec::Array(&ReplySpec::String)),
    ]);

    fn write_to(self, out: &mut Encoder) {
        out.map(3);
        "ready".write_to(out);
        7.write_to(out);
        "share".write_to(out);
        0.5.write_to(out);
        "names".write_to(out);
        ["a", "b"].write_to(out);
    }
}

#[derive(Debug, Args)]
#[expect(dead_code, reason = "the reply shows the fields")]
struct Options<'a> {
    mode: Option<Mode>,
    #[arg("LIMIT")]
    limit: Option<(i64, i64)>,
    #[arg("FROM", name = "name")]
    from: Vec<&'a str>,
}

#[derive(Debug, Args)]
#[expect(dead_code, reason = "the reply shows the values")]
enum Mode {
    Fast,
    #[arg("EVERY", name = "n")]
    Every(u64),
}

/// Its commands have names that mean something in Python.
struct Shapes;

impl Actor for Shapes {
    type Context = Context<Self>;
}

#[commands(group = "shapes")]
impl Shapes {
    /// Sets a value.
    ///
    /// The text has a \ backslash, """quotes""" and a | bar.
    ///
    /// # See also
    /// `GET`
    ///
    /// # Arguments
    /// - `value` a | b
    #[command("SET", write, fast, alias = "PUT", since = "1.1", complexity = "O(1)")]
    fn set(&mut self, _key: Key, _value: Bytes) {}

    /// Returns a set.
    #[command("LIST GET", deprecated_since = "2.0", replaced_by = "`STATS`")]
    fn list(&self, float: f64, texts: Option<Vec<String>>) -> (BTreeSet<String>, f64, bool, usize) {
        let texts = texts.unwrap_or_default();
        let count = texts.len();
        (texts.into_iter().collect(), float, true, count)
    }

    /// Returns pairs as a map.
    #[command("PAIRS")]
    fn pairs(
        &self,
        import: i64,
        pairs: Vec<(Key<String>, f64)>,
    ) -> std::collections::BTreeMap<String, Option<f64>> {
        pairs.into_iter().map(|(Key(key), value)| (key, Some(value * import as f64))).collect()
    }

    /// Returns the options.
    ///
    /// # Errors
    /// - `EMPTY`: there is no name
    #[command("OPTIONS")]
    fn options(&self, options: Options<'_>, client: &Client) -> Result<Option<(String, i64)>, Error> {
        match options.from[..] {
            ["nobody"] => Ok(None),
            ["error"] => Err(Error::new("EMPTY", "no name")),
            _ => Ok(Some((format!("{options:?}"), i64::from(client.db())))),
        }
    }

    /// Returns statistics.
    #[command("STATS", readonly)]
    fn stats(&self, since: Option<i64>) -> Option<Stats> {
        since.is_none().then_some(Stats)
    }
}

#[test]
fn a_page_has_the_form_of_the_redis_manual() {
    let page = docs::markdown("Shapes", Shapes::specs());
    let expected = "\
## SET

```text
SET key value
```

Sets a value.

The text has a \\ backslash, \"\"\"quotes\"\"\" and a | bar.

### See also
`GET`

- since: 1.1
- group: shapes
- flags: `write`, `fast`
- other names: `PUT`
- complexity: O(1)

### Arguments

| argument | type | |
| --- | --- | --- |
| `key` | key |  |
| `value` | string | a \\| b |

### Reply

OK

## LIST GET

```text
LIST GET float [text [text ...]]
```

> Deprecated since 2.0. Use `STATS` instead.
";
    assert!(page.contains(expected), "{page}");
    assert!(
        page.starts_with("# Shapes\n\n| command | |\n| --- | --- |\n| [`SET`](#set) | Sets a value |\n"),
        "{page}"
    );
    for part in [
        "| [`LIST GET`](#list-get) | Returns a set |",
        "| `EVERY n` | integer, optional |  |",
        "| `FAST` | pure-token, optional |  |",
        "| `LIMIT limit` | first (integer), second (integer), optional |  |",
        "| `FROM name` | string, repeated |  |",
        "| `pair` | key (key), value (double), repeated |  |",
        "### Reply\n\n[string, integer], or null\n\n### Errors\n\n- `EMPTY`: there is no name\n",
        "A map, or null:\n\n- `ready`: integer\n- `share`: double\n- `names`: array of string\n",
        "Clients of RESP2 get",
    ] {
        assert!(page.contains(part), "{part}\nis not in\n{page}");
    }
}

/// A client without redis-py: the module needs only `execute_command`.
const CLIENT: &str = r##"
import socket
import sys

from shapes import Shapes


class Client:
    def __init__(self, port, protocol):
        self.file = socket.create_connection(("127.0.0.1", port)).makefile("rwb")
        self.execute_command("HELLO", protocol)

    def execute_command(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.file.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        self.file.flush()
        reply = self.read()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def read(self):
        line = self.file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind in b"$" and rest != b"-1":
            return self.file.read(int(rest) + 2)[:-2]
        if kind in b"*~" and rest != b"-1":
            return [self.read() for _ in range(int(rest))]
        if kind == b"%":
            return {self.read(): self.read() for _ in range(int(rest))}
        if kind == b"-":
            return Exception(rest.decode())
        return {b"+": rest, b":": rest and int(rest) if kind == b":" else 0, b"#": rest == b"t", b",": rest}.get(kind)


for protocol in (2, 3):
    shapes = Shapes(Client(int(sys.argv[1]), protocol))
    assert shapes.set("key", b"\xff") is None
    assert shapes.list_get(0.5, "a", "b") == ({b"a", b"b"}, 0.5, True, 2)
    assert shapes.list_get(1) == (set(), 1.0, True, 0)
    assert shapes.pairs(2, ("a", 1.5), ("b", -1)) == {b"a": 3.0, b"b": -2.0}
    text, db = shapes.options(fast=True, limit=(-1, 2), from_=["a", "b"])
    assert (text, db) == (b'Options { mode: Some(Fast), limit: Some((-1, 2)), from: ["a", "b"] }', 0), text
    assert b"Every(3)), limit: None" in shapes.options(every=3, from_=["a"])[0]
    assert shapes.options(from_=["nobody"]) is None
    try:
        shapes.options(from_=["error"])
    except Exception as error:
        assert str(error) == "EMPTY no name"
    else:
        raise AssertionError("no error")
    assert shapes.stats() == {"ready": 7, "share": 0.5, "names": [b"a", b"b"]}
    assert shapes.stats(since=1) is None
"##;

#[test]
fn a_python_module_calls_each_command_in_both_protocols() {
    let folder = Folder::new();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("shapes.py", &docs::python("Shapes", Shapes::specs()));
    write("test.py", CLIENT);
    let served = Served::start(|| App::new().mount(Shapes.start()));
    let port = served.address().rsplit(':').next().expect("a port").to_owned();
    let output = Command::new("python3").arg("-B").arg(folder.path().join("test.py")).arg(port).output();
    let output = output.expect("python3 can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// All shapes of arguments and replies that the toolkit has.
#[test]
fn all_builtin_commands_have_a_page_and_python_methods() {
    let folder = Folder::new();
    let module = docs::python("Server", App::builtin_commands());
    let path = folder.path().join("server.py");
    fs::write(&path, &module).expect("a file");
    let output = Command::new("python3")
        .args(["-B", "-c", "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')"])
        .arg(path)
        .output();
    let output = output.expect("python3 can be run");
    assert!(output.status.success(), "{}\n{module}", String::from_utf8_lossy(&output.stderr));
    let page = docs::markdown("Server", App::builtin_commands());
    let specs: Vec<&Spec> = App::builtin_commands().collect();
    assert!(specs.iter().all(|spec| page.contains(&format!("## {}\n", spec.name))));
}
