use std::{collections::HashMap, fmt::Debug};

use thegiant::{Mountable, prelude::*, test::TestServer};

/// A generic plugin: it mounts any actor with commands, and adds a section of `INFO`.
fn add<A: Mountable>(app: App, actor: Addr<A>) -> App {
    app.mount(actor).info("Plugins", |info| info.field("plugin", std::any::type_name::<A>()))
}

/// A plugin that starts the actor itself, supervised.
fn supervised<A>(app: App) -> App
where
    A: Mountable + Actor<Context = Context<A>> + Default,
{
    app.mount_supervised(A::default)
}

/// A plugin as a trait.
trait Plugin {
    /// Returns a part of the application.
    fn app(self) -> App;
}

impl<A: Mountable> Plugin for Addr<A> {
    fn app(self) -> App {
        App::new().mount(self)
    }
}

/// A store of values of any type that is an argument and a reply.
struct Store<T> {
    values: HashMap<Bytes, T>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Store { values: HashMap::new() }
    }
}

impl<T: Unpin + 'static> Actor for Store<T> {
    type Context = Context<Self>;
}

#[commands]
impl<T> Store<T>
where
    T: for<'a> FromArg<'a> + Reply + Clone + Unpin + 'static,
{
    /// Sets a value.
    #[command("SET", write)]
    fn set(&mut self, key: Key, value: T) -> Option<T> {
        self.values.insert(key.into(), value)
    }

    /// Returns a value.
    #[command("GET", readonly)]
    fn get<'a>(&'a self, key: Key<&'a [u8]>) -> Option<T> {
        self.values.get(*key).cloned()
    }
}

/// A place for values, behind a trait object.
trait Backend: Debug {
    fn load(&self, key: &[u8]) -> Option<&str>;
    fn store(&mut self, key: Bytes, value: String) -> Result<(), Full>;
}

#[derive(Debug, ReplyError)]
#[reply(code = "FULL")]
struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no room")
    }
}

impl std::error::Error for Full {}

#[derive(Debug, Default)]
struct Memory(HashMap<Bytes, String>);

impl Backend for Memory {
    fn load(&self, key: &[u8]) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn store(&mut self, key: Bytes, value: String) -> Result<(), Full> {
        if value.len() > 3 {
            return Err(Full);
        }
        self.0.insert(key, value);
        Ok(())
    }
}

/// An actor whose state is a boxed trait.
struct Boxed {
    backend: Box<dyn Backend>,
}

impl Actor for Boxed {
    type Context = Context<Self>;
}

#[commands]
impl Boxed {
    /// Sets a text.
    #[command("PUT", write)]
    fn put(&mut self, key: Key, value: String) -> Result<(), Full> {
        self.backend.store(key.into(), value)
    }

    /// Returns a text: a reference into the trait object.
    #[command("TAKE", readonly)]
    fn take(&self, key: Key<&[u8]>) -> Option<&str> {
        self.backend.load(*key)
    }
}

/// An actor with a constant parameter and one with a function as a parameter.
#[derive(Default)]
struct Limit<const N: usize>;

impl<const N: usize> Actor for Limit<N> {
    type Context = Context<Self>;
}

#[commands]
impl<const N: usize> Limit<N> {
    /// Returns the constant.
    #[command("LIMIT")]
    fn limit(&self) -> usize {
        N
    }
}

#[thegiant::test]
async fn generic_plugins_mount_generic_actors() {
    let app = add(App::new(), Store::<i64>::default().start());
    let app = supervised::<Limit<9>>(app);
    let boxed = Boxed { backend: Box::new(Memory::default()) }.start();
    let app = app.merge(boxed.app()).merge_with_prefix("text.", Store::<String>::default().start().app());
    let server = TestServer::start(app);
    let mut client = server.connect();
    assert_eq!(client.call(["SET", "a", "1"]).await, Value::Null);
    assert_eq!(client.call(["GET", "a"]).await, Value::Integer(1));
    assert_eq!(
        client.call(["SET", "a", "x"]).await,
        Value::Error(Error::err("value is not an integer or out of range"))
    );
    assert_eq!(client.call(["TEXT.SET", "a", "x"]).await, Value::Null);
    assert_eq!(client.call(["TEXT.GET", "a"]).await, Value::bulk("x"));
    assert_eq!(client.call(["LIMIT"]).await, Value::Integer(9));
    assert_eq!(client.call(["PUT", "a", "abc"]).await, Value::Simple("OK".into()));
    assert_eq!(client.call(["PUT", "a", "abcd"]).await, Value::Error(Error::new("FULL", "no room")));
    assert_eq!(client.call(["TAKE", "a"]).await, Value::bulk("abc"));
}

#[thegiant::test]
async fn two_generic_actors_of_one_type_have_different_names_in_errors() {
    let app = App::new().mount(Store::<i64>::default().start());
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(app.mount(Store::<String>::default().start()));
    }));
    let message = panic.expect_err("SET is mounted twice");
    let message = message.downcast_ref::<String>().expect("a text");
    assert!(message.contains("Store<i64>") && message.contains("String>"), "{message}");
}
