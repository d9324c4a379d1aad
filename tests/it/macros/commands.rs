use std::fmt;

use thegiant::{
    command::{ArgKind, ArgSpec, Commands, Flags, KeySpec, Row, Spec},
    prelude::*,
};

use crate::support::{RawClient, Served};

/// A generic actor, so that the macro must repeat its type parameter.
#[derive(Default)]
struct Store<T> {
    value: T,
}

impl<T: Unpin + 'static> Actor for Store<T> {
    type Context = Context<Self>;
}

#[commands(include(MORE, GROUPED))]
impl<T: fmt::Display + From<i64> + Unpin + 'static> Store<T> {
    /// Sets the value
    /// of a key.
    ///
    /// And tells nobody.
    #[command("SET", write, no_auth, alias = "PUT", alias = "STORE", since = "1.2.0", group = "kept")]
    fn set(&mut self, _key: Key<&[u8]>, new_value: i64, _unused: Option<f64>) {
        self.value = T::from(new_value);
    }

    #[command("GET")]
    fn get(&self, _context: &mut Context<Self>) -> String {
        self.value.to_string()
    }
}

#[commands(rows = MORE)]
impl<T: Unpin + 'static> Store<T> {
    /** Renames a key. */
    #[command("KEY RENAME")]
    fn rename<'a>(&mut self, old: Key<&'a str>, r#type: Key<&'a str>) -> (&'a str, &'a str) {
        (old.into_inner(), r#type.into_inner())
    }

    /// Takes the parameters that are not arguments, with an argument among them.
    #[command("WHO")]
    fn who(
        &self,
        client: &Client,
        word: &str,
        context: &mut <Self as Actor>::Context,
        request: &Request<'_>,
    ) -> String {
        let name = String::from_utf8_lossy(request.name());
        format!(
            "{name} {word} {} {:?}",
            client.id(),
            AsyncContext::address(context) == AsyncContext::address(context)
        )
    }

    fn helper(&self) -> usize {
        0
    }

    #[cfg(unix)]
    #[command("SYSTEM")]
    fn unix(&self) -> &'static str {
        "unix"
    }

    #[cfg(not(unix))]
    #[command("SYSTEM")]
    fn other(&self) -> &'static str {
        "other"
    }

    #[cfg(any())]
    #[command("NEVER")]
    fn never(&self) -> Unknown {
        self.helper()
    }
}

macro_rules! counters {
    ($group:literal, $($name:literal $method:ident $ty:ty = $reply:expr;)*) => {
        #[commands(rows = GROUPED, group = $group)]
        impl<T: Unpin + 'static> Store<T> {
            $(
                #[command($name, fast)]
                fn $method(&self, argument: $ty) -> impl Reply + use<T> {
                    let _ = (self.helper(), argument);
                    $reply
                }
            )*
        }
    };
}

counters! {
    "numbers",
    "ONE" one &Client = 1;
    "TWO" two Option<&str> = Ok::<_, Error>(vec![1, 2]);
}

type Rows = &'static [&'static [Row<Store<i64>>]];

const ROWS: Rows = <Store<i64> as Commands>::ROWS;

fn spec(name: &str) -> &'static Spec {
    ROWS.iter()
        .flat_map(|rows| rows.iter())
        .find(|row| row.spec.name == name)
        .map(|row| &row.spec)
        .expect(name)
}

#[test]
fn rows_keep_the_order_of_their_blocks() {
    let names: Vec<Vec<&str>> =
        ROWS.iter().map(|rows| rows.iter().map(|row| row.spec.name).collect()).collect();
    assert_eq!(names, [vec!["SET", "GET"], vec!["KEY RENAME", "WHO", "SYSTEM"], vec!["ONE", "TWO"]]);
}

#[test]
fn a_row_has_the_properties_of_its_attribute() {
    let set = spec("SET");
    assert_eq!(set.flags, Flags::WRITE.union(Flags::NO_AUTH));
    assert_eq!(set.aliases, ["PUT", "STORE"]);
    assert_eq!(set.since, Some("1.2.0"));
    assert_eq!(set.group, "kept");
    assert_eq!(set.summary, "Sets the value of a key");
    let get = spec("GET");
    assert_eq!((get.flags, get.aliases, get.since), (Flags::NONE, &[][..], None));
    assert_eq!((get.group, get.summary), ("store", ""));
    assert_eq!(spec("KEY RENAME").summary, "Renames a key");
    assert_eq!(spec("ONE").group, "numbers");
}

#[test]
fn a_row_describes_the_parameters() {
    let set = spec("SET");
    assert_eq!(
        set.args,
        [
            ArgSpec::new(ArgKind::Key).named("key"),
            ArgSpec::new(ArgKind::Integer).named("new-value"),
            ArgSpec::new(ArgKind::Double).named("unused").optional(),
        ]
    );
    assert_eq!(set.arity(), -3);
    let rename = spec("KEY RENAME");
    let names: Vec<&str> = rename.args.iter().map(|arg| arg.name).collect();
    assert_eq!(names, ["old", "type"]);
    assert_eq!(rename.arity(), 4);
    let keys = rename.keys.map(|KeySpec { first, last, step, .. }| (first, last, step));
    assert_eq!(keys, Some((2, 3, 1)));
    assert_eq!(spec("WHO").arity(), 2);
}

#[test]
fn methods_get_the_arguments_and_send_the_reply() {
    let server = Served::start(|| App::new().mount(Store { value: 0i64 }.start()));
    let mut client = RawClient::connect(server.address());
    let mut check = |line: &str, expected: &str| {
        let reply = client.ask(format!("{line}\r\n"));
        assert_eq!(String::from_utf8_lossy(&reply), format!("{expected}\r\n"), "{line}");
    };
    check("set k 5", "+OK");
    check("GET", "$1\r\n5");
    check("PUT k 6 0.5", "+OK");
    check("GET", "$1\r\n6");
    check("SET k six", "-ERR value is not an integer or out of range");
    check("SET k 7 much", "-ERR value is not a valid float");
    check("SET k", "-ERR wrong number of arguments for 'set' command");
    check("SET k 7 8 9", "-ERR wrong number of arguments for 'set' command");
    check("GET", "$1\r\n6");
    check("key rename a b", "*2\r\n$1\r\na\r\n$1\r\nb");
    check("wHo there", "$16\r\nwHo there 1 true");
    check("SYSTEM", "$4\r\nunix");
    check("ONE", ":1");
    check("TWO x", "*2\r\n:1\r\n:2");
    check("NEVER", "-ERR unknown command 'NEVER', with args beginning with: ");
}
