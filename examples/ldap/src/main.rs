//! Run with `cargo run -p ldap -- ldap://127.0.0.1 dc=example,dc=org`, then log in with `redis-cli -p 6380 --user alice
//! --pass SECRET`.
//!
//! This example shows how clients log in with the passwords of an LDAP directory. The users are the entries `uid=…` of
//! `ou=people`, and the groups in `ou=groups` say what their members may do: `readers` and `writers`.
//!
//! LDAP without TLS is for directories on the same machine, because the password is sent as it is. For others, add the
//! feature `tls-rustls-ring` of the crate `ldap3`, and use `ldaps://`.

use std::{env, io, time::Duration};

use ldap3::{LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, drive};
use thegiant::{Authenticate, Identity, prelude::*};

/// The time that the directory has for each answer.
const LIMIT: Duration = Duration::from_secs(5);

/// The code of LDAP for a wrong password, and for a user that does not exist.
const INVALID_CREDENTIALS: u32 = 49;

/// Asks an LDAP directory.
#[derive(Clone)]
struct Directory {
    url: String,
    /// The entry above the users and groups.
    base: String,
}

impl Directory {
    /// Logs in as a user. Returns the names of its groups, or `None` if the password is wrong.
    async fn groups_of(&self, user: &str, password: &str) -> Result<Option<Vec<String>>, LdapError> {
        let settings = LdapConnSettings::new().set_conn_timeout(LIMIT);
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &self.url).await?;
        drive!(connection);
        let entry = format!("uid={user},ou=people,{}", self.base);
        let bound = ldap.with_timeout(LIMIT).simple_bind(&entry, password).await?;
        if bound.rc == INVALID_CREDENTIALS {
            return Ok(None);
        }
        bound.success()?;
        let (base, filter) = (format!("ou=groups,{}", self.base), format!("(member={entry})"));
        let found = ldap.with_timeout(LIMIT).search(&base, Scope::OneLevel, &filter, ["cn"]).await?;
        let (groups, _) = found.success()?;
        let names = groups.into_iter().filter_map(|group| SearchEntry::construct(group).attrs.remove("cn"));
        Ok(Some(names.flatten().collect()))
    }
}

impl Actor for Directory {
    type Context = Context<Self>;
}

impl Handler<Authenticate> for Directory {
    type Result = ResponseFuture<Result<Identity, Error>>;

    fn handle(&mut self, login: Authenticate, _: &mut Context<Self>) -> Self::Result {
        let directory = self.clone();
        Box::pin(async move {
            // An LDAP server accepts an empty password for any user, and logs nobody in.
            let password = login.password.as_str().filter(|password| !password.is_empty());
            let password = password.ok_or(Error::WRONG_PASSWORD)?;
            let user = login.user;
            // Other characters have a meaning in the names of entries (`,`) and in filters (`)`).
            if user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(Error::WRONG_PASSWORD);
            }
            let groups = directory.groups_of(&user, password).await.map_err(Error::internal)?;
            let rules = rules(&groups.ok_or(Error::WRONG_PASSWORD)?);
            Ok(Identity::with_rules(user, rules))
        })
    }
}

/// Returns what the members of these groups may do.
fn rules(groups: &[String]) -> String {
    let mut rules = "+@connection".to_owned();
    for group in groups {
        match group.as_str() {
            "readers" => rules += " +@read",
            "writers" => rules += " +@write",
            _ => {}
        }
    }
    rules
}

/// Points of all users together.
#[derive(Default)]
struct Score(u64);

impl Actor for Score {
    type Context = Context<Self>;
}

#[commands]
impl Score {
    /// Adds points, and returns the score.
    #[command("SCORE.ADD", write)]
    fn add(&mut self, points: u32) -> u64 {
        self.0 += u64::from(points);
        self.0
    }

    /// Returns the score.
    #[command("SCORE.GET", readonly)]
    fn get(&self) -> u64 {
        self.0
    }
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let mut arguments = env::args().skip(1);
    let (Some(url), Some(base)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("name the address of the directory, and the entry above its users"));
    };
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    let directory = Directory { url, base };
    let app = || App::new().mount(Score::default().start()).authenticate(directory.start());
    let server = Server::new(app).bind(address)?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await
}
